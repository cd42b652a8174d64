//! Every setting there is, declared once: key, kind, range, default and meaning.
//!
//! The [reader](super::section), the [schema](super::schema) and the tables of the documentation are all made from
//! these declarations, so they cannot disagree.

use super::listen;
use super::names;
use super::units::Fault;
use super::words::{Words, words_of};

mod admin;
mod http;
mod inputs;
mod journald;
mod network;
mod outputs;
mod processing;
mod top;

pub(super) use inputs::{FILE, INPUTS};
pub(super) use outputs::{KINESIS, QUEUE};
pub(super) use processing::{PIPELINE, TEST};
pub(super) use top::{SECRET, TOP};

use admin::ADMIN;
use http::HTTP;
use inputs::{MULTILINE, STDIN, TLS};
use journald::JOURNALD;
use network::{SYSLOG, TCP, UDP, UNIX};
use outputs::{ASSUME_ROLE, AUTH, DEAD_LETTERS, PARTITION_KEY};

/// The settings of one section.
#[derive(Debug)]
pub(super) struct Group {
    /// What it is called in the documentation.
    pub(super) name: &'static str,
    /// The word for `type` that makes a section one of this group.
    pub(super) of_type: Option<&'static str>,
    /// Where the section stands, such as `outputs.ID.queue`; empty for the file itself.
    pub(super) place: &'static str,
    /// The settings, in the order of the documentation.
    pub(super) settings: &'static [Setting],
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Default,
    /// What it means, in Markdown without line breaks.
    pub(super) about: &'static str,
    /// Something that could be written for it, where its kind alone does not say.
    pub(super) example: Option<&'static str>,
    /// Its value is never shown.
    pub(super) secret: bool,
    /// Set for a setting of a later version: the spellings that say what this version does anyway.
    pub(super) later: Option<&'static [&'static str]>,
}

/// What stands for a setting that is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    /// It must be given.
    Required,
    /// Nothing.
    Nothing,
    /// This, as it would be written.
    Is(&'static str),
    /// Something that depends on other settings, as it is shown.
    Shown(&'static str),
}

/// What a setting holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Text that passes a check; the regular expression, if any, tells the schema the same.
    Text(fn(&str) -> Result<(), Fault>, Option<&'static str>),
    /// `true` or `false`.
    Flag,
    /// A whole number from the first to the second.
    Integer(u64, u64),
    /// Bytes from the first to the second.
    Size(u64, u64),
    /// Milliseconds from the first to the second.
    Period(u64, u64),
    /// Bytes from the first to the second, or 0 for none.
    SizeOrNone(u64, u64),
    /// Milliseconds from the first to the second, or 0 for none.
    PeriodOrNone(u64, u64),
    /// A word, or milliseconds from the first to the second.
    WordOrPeriod(&'static str, u64, u64),
    /// One of a few words.
    Word(fn() -> Vec<&'static str>),
    /// A path of a file or directory.
    Path,
    /// A list of text.
    Texts,
    /// A list of patterns of files; at least one if it is required.
    Patterns,
    /// A section.
    Section(&'static Group),
    /// Sections by id, each of one of these groups.
    Sections(&'static [&'static Group]),
    /// A program in VRL.
    Program,
    /// A list of events.
    Events,
    /// A list of events, or such lists by output.
    EventsOrByOutput,
    /// One word, or a section with exactly one setting in it.
    WordOrSection(fn() -> Vec<&'static str>, &'static Group),
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Longest time that a batch may be kept: ten years, which is as good as for ever.
const KEEP_MAX: u64 = 3_650 * DAY;

/// Smallest size of a queue.
pub(super) const QUEUE_BYTES_MIN: u64 = 4 * MIB;

/// Largest size of a queue that is believed: 1 EiB, which is as good as no limit.
pub(super) const SIZE_MAX: u64 = 1 << 60;

/// Largest limit in events per second: more than any stream takes, so that no limit says the same.
pub(super) const DRAIN_RATE_MAX: u64 = 1_000_000_000;

impl Kind {
    const fn word<T: Words>() -> Self {
        Self::Word(words_of::<T>)
    }
}

const fn setting(key: &'static str, kind: Kind, default: Default, about: &'static str) -> Setting {
    Setting { key, kind, default, about, example: None, secret: false, later: None }
}

const fn secret(key: &'static str, about: &'static str) -> Setting {
    let kind = Kind::Text(names::any, None);
    Setting {
        key,
        kind,
        default: Default::Nothing,
        about,
        example: Some("\"${VARIABLE}\""),
        secret: true,
        later: None,
    }
}

/// A setting whose value is never shown.
const fn kept_secret(setting: Setting) -> Setting {
    Setting { secret: true, ..setting }
}

/// A setting that a later version brings; `same` are the values that say what this version does anyway.
const fn later(key: &'static str, same: &'static [&'static str]) -> Setting {
    let kind = Kind::Text(names::any, None);
    Setting {
        key,
        kind,
        default: Default::Nothing,
        about: "",
        example: None,
        secret: false,
        later: Some(same),
    }
}

impl Setting {
    const fn like(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }
}

impl Group {
    /// The declaration of a key, if there is one.
    pub(super) fn find(&self, key: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// The settings that this version has.
    pub(super) fn available(&self) -> impl Iterator<Item = &'static Setting> {
        self.settings.iter().filter(|setting| setting.later.is_none())
    }
}

/// The groups with settings of their own that are documented, the file itself first.
pub(super) const GROUPS: &[&Group] = &[
    &TOP,
    &ADMIN,
    &FILE,
    &MULTILINE,
    &HTTP,
    &TCP,
    &UDP,
    &SYSLOG,
    &UNIX,
    &JOURNALD,
    &STDIN,
    &TLS,
    &KINESIS,
    &AUTH,
    &ASSUME_ROLE,
    &PARTITION_KEY,
    &QUEUE,
    &DEAD_LETTERS,
    &SECRET,
    &PIPELINE,
    &TEST,
];
