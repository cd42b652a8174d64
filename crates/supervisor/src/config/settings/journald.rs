//! The settings of the input `journald`.

use super::inputs::MAX_LINE;
use super::processing::INPUT_PIPELINE;
use super::*;
use crate::config::checked::ReadFrom;
use crate::config::words::InputType;

pub(in crate::config) static JOURNALD: Group = Group {
    name: "journald",
    of_type: Some("journald"),
    place: "inputs.ID",
    settings: &[
        setting(
            "type",
            Kind::word::<InputType>(),
            Default::Required,
            "`journald`: the journal of systemd, read by its `journalctl`, which must be in the `PATH`.",
        ),
        setting(
            "units",
            Kind::Texts,
            Default::Is("[]"),
            "Units whose entries are read, as `journalctl --unit` takes them: `[nginx.service, \"app@*\"]`. None for all entries.",
        )
        .like("[nginx.service]"),
        setting(
            "read_from",
            Kind::word::<ReadFrom>(),
            Default::Is("beginning"),
            "Where reading starts at the first start: at the `beginning` of the journal, or at its `end` as it is then.",
        ),
        setting(
            "directory",
            Kind::Path,
            Default::Shown("where systemd keeps it"),
            "A directory of journal files, such as one that `systemd-journal-remote` writes.",
        )
        .like("/var/log/journal/remote"),
        setting(
            MAX_LINE.key,
            MAX_LINE.kind,
            MAX_LINE.default,
            "Longest entry as JSON; a longer one is cut, wrapped as text, and counted.",
        ),
        INPUT_PIPELINE,
    ],
};
