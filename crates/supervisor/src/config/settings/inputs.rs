//! The settings of inputs.

use super::http::HTTP;
use super::journald::JOURNALD;
use super::network::{SYSLOG, TCP, UDP, UNIX};
use super::processing::INPUT_PIPELINE;
use super::*;
use crate::chunk::Codec;
use crate::config::checked::ReadFrom;
use crate::config::words::InputType;

/// Every type of input. Where one has no type, it is read as the last of these that has all of its settings.
pub(in crate::config) static INPUTS: &[&Group] =
    &[&FILE, &HTTP, &TCP, &UDP, &SYSLOG, &UNIX, &JOURNALD, &STDIN];

pub(super) const CODEC: Setting = setting(
    "codec",
    Kind::word::<Codec>(),
    Default::Is("text"),
    "`text` wraps a line: `{\"_raw\":…,\"_time\":…,\"host\":…,\"source\":…}`. `json` passes a line that is a JSON object through as it is; any other line is wrapped as text and counted.",
);

pub(super) const MAX_LINE: Setting = setting(
    "max_line",
    Kind::Size(16, 64 * MIB),
    Default::Is("1 MiB"),
    "Longest line; a longer one is cut and counted.",
);

pub(in crate::config) static FILE: Group = Group {
    name: "file",
    of_type: Some("file"),
    place: "inputs.ID",
    settings: &[
        setting(
            "type",
            Kind::word::<InputType>(),
            Default::Required,
            "`file`: files that grow. Rotation by rename and by copy-and-truncate is followed.",
        ),
        setting(
            "include",
            Kind::Patterns,
            Default::Required,
            "Patterns of the files to read, such as `[\"/var/log/app/*.log\"]`. `*` and `?` stay within a directory, `**` crosses directories, `[…]` and `{a,b}` choose.",
        ),
        setting(
            "exclude",
            Kind::Patterns,
            Default::Is("[]"),
            "Patterns of files to leave out. A pattern without a `/` means files of that name in any directory: `[\"*.gz\"]`.",
        ),
        setting(
            "read_from",
            Kind::word::<ReadFrom>(),
            Default::Is("beginning"),
            "Where reading starts in a file that has no position yet: at the `beginning`, or at the `end` as it stands at start-up. Files that appear later are read from the beginning.",
        ),
        setting(
            "rescan",
            Kind::Period(100, 24 * HOUR),
            Default::Is("60s"),
            "How often directories and files are looked at besides the change notices of the system, which do not arrive on network mounts.",
        ),
        CODEC,
        MAX_LINE,
        setting(
            "multiline",
            Kind::Section(&MULTILINE),
            Default::Shown("none: each line is an event"),
            "How events of several lines are told apart, such as stack traces; see below.",
        ),
        INPUT_PIPELINE,
    ],
};

pub(in crate::config) static MULTILINE: Group = Group {
    name: "multiline",
    of_type: None,
    place: "inputs.ID.multiline",
    settings: &[
        setting(
            "start",
            Kind::Text(names::check_regex, None),
            Default::Required,
            "A regular expression (RE2 syntax). A line that it matches begins an event; the lines up to the next one belong to it. `^` and `$` mean the ends of the line. Begin it with `^` if it should match at the beginning only.",
        )
        .like("\"^[0-9]{4}-\""),
        setting(
            "timeout",
            Kind::Period(10, HOUR),
            Default::Is("1s"),
            "The last event of a file is finished when nothing was written for so long. Lines that come later and do not match `start` are an event of their own.",
        ),
    ],
};

pub(in crate::config) static STDIN: Group = Group {
    name: "stdin",
    of_type: Some("stdin"),
    place: "inputs.ID",
    settings: &[
        setting(
            "type",
            Kind::word::<InputType>(),
            Default::Required,
            "`stdin`: standard input, until its end. When every input has ended, `run` delivers everything and exits.",
        ),
        CODEC,
        MAX_LINE,
        later("multiline", &[]),
        INPUT_PIPELINE,
    ],
};

/// TLS of an input that listens.
pub(super) const TLS_SETTING: Setting = setting(
    "tls",
    Kind::Section(&TLS),
    Default::Shown("none: not encrypted"),
    "The certificate to show, for TLS 1.2 and 1.3; see below.",
);

pub(in crate::config) static TLS: Group = Group {
    name: "tls",
    of_type: None,
    place: "inputs.ID.tls",
    settings: &[
        setting(
            "cert_file",
            Kind::Path,
            Default::Required,
            "PEM file of the certificate, and of those between it and its authority. Like the other two files it is read again when it has changed, and the one read before stays in force if the new one is bad.",
        )
        .like("/etc/millpond/cert.pem"),
        setting("key_file", Kind::Path, Default::Required, "PEM file of the certificate's private key.")
            .like("/etc/millpond/key.pem"),
        setting(
            "client_ca_file",
            Kind::Path,
            Default::Nothing,
            "PEM file of authorities. With it, only clients that show a certificate of one of them are served.",
        )
        .like("/etc/millpond/clients-ca.pem"),
    ],
};
