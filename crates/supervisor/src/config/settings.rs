//! Every setting there is, declared once: key, kind, range, default and meaning.
//!
//! The [reader](super::section), the [schema](super::schema) and the tables of the documentation are all made from
//! these declarations, so they cannot disagree.

use super::checked::{Backpressure, OnFull, Oversize, ReadFrom};
use super::names;
use super::units::Fault;
use super::words::{
    AuthMethod, Compression, InputType, Mode, OutputType, Packing, RandomKey, SignatureVersion, Words,
    words_of,
};
use crate::chunk::Codec;

/// The settings of one section.
#[derive(Debug)]
pub(super) struct Group {
    /// What it is called in the documentation.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tables of the documentation are made by a test"))]
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
pub(super) const GROUPS: [&Group; 9] =
    [&TOP, &FILE, &STDIN, &KINESIS, &AUTH, &ASSUME_ROLE, &PARTITION_KEY, &QUEUE, &SECRET];

pub(super) static TOP: Group = Group {
    name: "top",
    of_type: None,
    place: "",
    settings: &[
        setting(
            "data_dir",
            Kind::Path,
            Default::Is("./millpond-data"),
            "Directory of everything that millpond keeps: queues, positions of inputs, dead letters. It is created if it is not there.",
        ),
        setting(
            "shutdown_timeout",
            Kind::Period(0, HOUR),
            Default::Is("10s"),
            "How long a stop waits for puts in flight. What is not delivered by then goes to the queue, or stays unacknowledged and is read again after the next start.",
        ),
        setting("inputs", Kind::Sections(&[&FILE, &STDIN]), Default::Required, "Where events come from, by id. At least one; at most one of type `stdin`.").like("{ app: { type: file, include: [\"/var/log/app/*.log\"] } }"),
        setting("outputs", Kind::Sections(&[&KINESIS]), Default::Required, "Where events go, by id. Every output gets the events of every input. At least one must be active.").like("{ main: { type: kinesis, stream_name: logs, region: eu-west-1 } }"),
        setting("secrets", Kind::Sections(&[&SECRET]), Default::Is("{}"), "What is secret and kept elsewhere, by name. `${secret:NAME}` stands for it in settings that are never shown (keys, tokens, `external_id`, `proxy`); `auth: { method: secret, secret: NAME }` takes credentials from it.").like("{ kinesis: { file: /run/secrets/kinesis } }"),
        later("admin", &[]),
        later("pipelines", &[]),
        later("routes", &[]),
    ],
};

const CODEC: Setting = setting(
    "codec",
    Kind::word::<Codec>(),
    Default::Is("text"),
    "`text` wraps a line: `{\"_raw\":…,\"_time\":…,\"host\":…,\"source\":…}`. `json` passes a line that is a JSON object through as it is; any other line is wrapped as text and counted.",
);

const MAX_LINE: Setting = setting(
    "max_line",
    Kind::Size(16, 64 * MIB),
    Default::Is("1 MiB"),
    "Longest line; a longer one is cut and counted.",
);

pub(super) static FILE: Group = Group {
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
        later("multiline", &[]),
        later("pipeline", &[]),
    ],
};

pub(super) static STDIN: Group = Group {
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
        later("pipeline", &[]),
    ],
};

pub(super) static KINESIS: Group = Group {
    name: "kinesis",
    of_type: Some("kinesis"),
    place: "outputs.ID",
    settings: &[
        setting("type", Kind::word::<OutputType>(), Default::Required, "`kinesis`: a stream of Amazon Kinesis Data Streams."),
        setting("description", Kind::Text(names::any, None), Default::Is("\"\""), "Free text; never sent."),
        setting("tags", Kind::Texts, Default::Is("[]"), "Free words; never sent."),
        setting(
            "environment",
            Kind::Text(names::any, None),
            Default::Is("\"\""),
            "The output is active only where the environment has this name (`--environment`, or `MILLPOND_ENVIRONMENT`); elsewhere it is not started. Empty: active everywhere.",
        ),
        setting("stream_name", Kind::Text(names::check_stream, Some(names::STREAM_PATTERN)), Default::Required, "Name of the stream; not its ARN.").like("logs"),
        setting("region", Kind::Text(names::not_empty, None), Default::Required, "AWS region, such as `eu-west-1`. One that is not known gets a warning unless there is an `endpoint`.").like("eu-west-1"),
        setting("endpoint", Kind::Text(names::check_endpoint, Some("^https?://")), Default::Shown("of the region"), "URL of the service, for an endpoint other than that of the region.").like("http://127.0.0.1:4567"),
        setting("auth", Kind::Section(&AUTH), Default::Is("{}"), "Credentials; see below."),
        setting(
            "backpressure",
            Kind::word::<Backpressure>(),
            Default::Is("block"),
            "What happens to events while the output cannot take them. `block`: inputs wait. `drop`: new events are dropped and counted once the buffer in memory is full. `queue`: they go to the queue on disk.",
        ),
        setting("queue", Kind::Section(&QUEUE), Default::Is("{}"), "The queue, with `backpressure: queue`; see below."),
        setting("concurrency", Kind::Integer(1, 32), Default::Is("5"), "Puts in flight; each holds its record in memory."),
        setting(
            "max_record_size",
            Kind::Size(KIB, 10_240 * KIB),
            Default::Is("1024 KiB"),
            "Largest record before compression, its header line included; with `compression: none` its partition key too. A stream takes more than 1 MiB only where its own setting allows it.",
        ),
        setting("flush_period", Kind::Period(10, 10 * MINUTE), Default::Is("1s"), "Longest time that an event waits for its record to fill."),
        setting(
            "compression",
            Kind::word::<Compression>(),
            Default::Is("gzip"),
            "`gzip`: a record is gzip of a header line and one event a line. `none`: not compressed; see `send_batched`.",
        ),
        setting("compression_level", Kind::Integer(1, 9), Default::Is("6"), "1 (fast) to 9 (small)."),
        setting(
            "send_batched",
            Kind::Flag,
            Default::Is("true"),
            "With `compression: none`. `true`: a record is a header line and one event a line. `false`: a record is one event, without a header, and up to `records_per_flush` records go in one request.",
        ),
        setting("records_per_flush", Kind::Integer(1, 500), Default::Is("500"), "Records in one request, with `send_batched: false`."),
        setting(
            "put_records_batching",
            Kind::Flag,
            Default::Is("false"),
            "With `compression: gzip` or `send_batched: true`. `true`: records that wait for a put go together, up to 500 and 1 MiB in one request. For links with a long round trip; see below.",
        ),
        setting("use_list_shards", Kind::Flag, Default::Is("true"), "The shards are listed with ListShards; `false`: with DescribeStream."),
        setting("reuse_connections", Kind::Flag, Default::Is("true"), "Connections stay open between requests."),
        setting(
            "partition_key",
            Kind::WordOrSection(words_of::<RandomKey>, &PARTITION_KEY),
            Default::Is("random"),
            "`random`: spread evenly over the shards. `{fixed: KEY}`: the same for every record. `{field: NAME}`: the value of that field of the event (of the first event, where a record holds many).",
        ),
        setting(
            "oversize",
            Kind::word::<Oversize>(),
            Default::Is("dead_letter"),
            "What happens to an event that fits in no record. `dead_letter`: it is kept in the dead letters. `truncate`: its `_raw` is cut and marked. `drop`: it is dropped and counted.",
        ),
        setting("signature_version", Kind::word::<SignatureVersion>(), Default::Is("v4"), "How requests are signed; `v4` is all there is."),
        setting("assume_role", Kind::Section(&ASSUME_ROLE), Default::Is("{}"), "A role to take on with the credentials; see below."),
        setting(
            "reject_unauthorized",
            Kind::Flag,
            Default::Is("true"),
            "The certificate of the service must be good. `false` accepts any, so that whoever is in between can read and change everything; it warns at every start. That of STS is checked in any case.",
        ),
        setting("ca_file", Kind::Path, Default::Nothing, "PEM file of certificate authorities that are trusted besides those of the system, for a proxy or an endpoint with a certificate of your own.").like("/etc/millpond/ca.pem"),
        kept_secret(setting(
            "proxy",
            Kind::Text(names::check_proxy, None),
            Default::Shown("from the environment"),
            "`http://[user:password@]host:port` of the proxy for this output, or `none`. If it is not given, `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` decide, lower case first; hosts in `NO_PROXY`, and the metadata addresses of AWS, are reached directly in any case. It is never shown.",
        ).like("\"http://proxy.example:3128\"")),
        setting("fips", Kind::Flag, Default::Is("false"), "The endpoints of AWS that are validated to FIPS 140, for STS too. Not with `endpoint`."),
        setting("dual_stack", Kind::Flag, Default::Is("false"), "The endpoints of AWS that have IPv6 addresses as well, for STS too. Not with `endpoint`."),
        setting("account_id_endpoints", Kind::Flag, Default::Is("false"), "The endpoint of the account, `<account>.data-kinesis.…`, where the credentials name it. Firewalls may have to allow it first."),
        later("pipeline", &[]),
        later("system_fields", &["[]"]),
        later("inputs", &[]),
        later("where", &[]),
        later("final", &[]),
    ],
};

pub(super) static AUTH: Group = Group {
    name: "auth",
    of_type: None,
    place: "outputs.ID.auth",
    settings: &[
        setting(
            "method",
            Kind::word::<AuthMethod>(),
            Default::Is("auto"),
            "`auto`: as AWS tools find them: environment, profile, web identity, container, instance metadata. `manual`: the keys below; one that is missing or empty comes from the environment, then from instance metadata. `secret`: from the secret named below.",
        ),
        kept_secret(
            setting("access_key", Kind::Text(names::any, None), Default::Nothing, "Access key id, with `method: manual`.")
                .like("AKIAIOSFODNN7EXAMPLE"),
        ),
        secret(
            "secret_key",
            "Secret key, with `method: manual`. Better as `${VARIABLE}` than in the file; it is never shown.",
        ),
        secret(
            "session_token",
            "Session token of temporary credentials, with `method: manual`; never shown.",
        ),
        setting(
            "secret",
            Kind::Text(names::check_id, None),
            Default::Nothing,
            "Name of a secret under `secrets`, with `method: secret`. It holds a JSON object with `access_key`, `secret_key` and maybe `session_token`, or lines `aws_access_key_id = …` and so on as in `~/.aws/credentials`. It is read again when the service refuses the keys, so that keys can be replaced without a restart.",
        ).like("kinesis"),
    ],
};

pub(super) static ASSUME_ROLE: Group = Group {
    name: "assume_role",
    of_type: None,
    place: "outputs.ID.assume_role",
    settings: &[
        setting("enabled", Kind::Flag, Default::Is("false"), "Whether the role is taken on."),
        setting("arn", Kind::Text(names::check_role, None), Default::Nothing, "The role; required if it is enabled.")
            .like("arn:aws:iam::111122223333:role/edge"),
        kept_secret(setting(
            "external_id",
            Kind::Text(names::check_external_id, None),
            Default::Nothing,
            "External id that the role's trust policy asks for, 2 to 1,224 characters.",
        ).like("plant-7")),
        setting(
            "duration_secs",
            Kind::Integer(900, 43_200),
            Default::Is("3600"),
            "How long the role's credentials last. They are renewed up to a minute before they run out. More than the role's own maximum, or than an hour if the credentials are themselves those of a role, is refused by AWS.",
        ),
        setting(
            "sts_region",
            Kind::Text(names::not_empty, None),
            Default::Shown("`MILLPOND_AWS_STS_REGION`, `CRIBL_AWS_STS_REGION`, or the output's"),
            "Region of AWS STS, which gives the credentials. For one that is not known, the global endpoint is asked, with a warning.",
        ).like("eu-west-1"),
        setting(
            "sts_endpoint",
            Kind::Text(names::check_endpoint, Some("^https?://")),
            Default::Shown("of the STS region"),
            "URL of STS, for one of your own. `endpoint` of the output never redirects STS.",
        ).like("https://sts.eu-west-1.amazonaws.com"),
    ],
};

pub(super) static SECRET: Group = Group {
    name: "secret",
    of_type: None,
    place: "secrets.NAME",
    settings: &[
        setting("file", Kind::Path, Default::Nothing, "A file that holds it; one line end at its end does not count.")
            .like("/run/secrets/kinesis"),
        setting("env", Kind::Text(names::check_variable, None), Default::Nothing, "An environment variable that holds it.")
            .like("KINESIS_SECRET"),
        setting(
            "credential",
            Kind::Text(names::check_credential, None),
            Default::Nothing,
            "A credential that systemd hands to the service (`LoadCredential=`, `LoadCredentialEncrypted=`), by its name.",
        ).like("kinesis"),
    ],
};

pub(super) static PARTITION_KEY: Group = Group {
    name: "partition_key",
    of_type: None,
    place: "outputs.ID.partition_key",
    settings: &[
        setting(
            "fixed",
            Kind::Text(names::check_partition_key, None),
            Default::Nothing,
            "The key of every record, 1 to 256 characters.",
        ),
        setting(
            "field",
            Kind::Text(names::not_empty, None),
            Default::Nothing,
            "Name of the field whose value is the key.",
        ),
    ],
};

pub(super) static QUEUE: Group = Group {
    name: "queue",
    of_type: None,
    place: "outputs.ID.queue",
    settings: &[
        setting(
            "mode",
            Kind::word::<Mode>(),
            Default::Is("error"),
            "When batches go to disk. `error`: when the output is unhealthy. `backpressure`: also when it has pushed back for `backpressure_secs`. `always`: always; a batch is durable before it is sent.",
        ),
        setting(
            "backpressure_secs",
            Kind::Integer(1, 3600),
            Default::Is("30"),
            "Seconds that pushing back is borne, with `mode: backpressure`.",
        ),
        setting(
            "path",
            Kind::Path,
            Default::Shown("`<data_dir>/queues`"),
            "Directory of the queues; this one is `<path>/<output id>`.",
        ),
        setting(
            "max_segment_size",
            Kind::Size(MIB, GIB),
            Default::Is("16 MiB"),
            "Size at which a file of the queue is closed and the next one begins: the unit in which space is given back. At most a quarter of `max_size`; if it is not given, it is lowered to that.",
        ),
        setting(
            "max_size",
            Kind::Size(QUEUE_BYTES_MIN, SIZE_MAX),
            Default::Is("5 GiB"),
            "What all files of the queue together may occupy on disk. At least four times `max_record_size`.",
        ),
        setting(
            "min_free",
            Kind::Size(0, SIZE_MAX),
            Default::Is("256 MiB"),
            "Free space of the file system that the queue leaves alone.",
        ),
        setting(
            "on_full",
            Kind::word::<OnFull>(),
            Default::Is("block"),
            "What happens when the queue is full. `block`: inputs wait. `drop`: the new batch is dropped and counted. `drop_oldest`: the oldest file of the queue is given up to make room, and what was not delivered of it is counted.",
        ),
        setting(
            "strict_ordering",
            Kind::Flag,
            Default::Is("true"),
            "What is queued goes before what is new. `false`: new events go at once, the queue beside them.",
        ),
        setting(
            "compression",
            Kind::word::<Packing>(),
            Default::Is("none"),
            "`gzip`: batches are packed on disk, fast (level 3), and unpacked when they are read back. Of use where records are not compressed already, that is with `compression: none` of the output; what is sent stays the same.",
        ),
        setting(
            "max_age",
            Kind::PeriodOrNone(SECOND, KEEP_MAX),
            Default::Is("0"),
            "Batches that have been queued for longer are given up and counted as `expired`, at most a thirtieth later. `0`: none is.",
        ),
        setting(
            "retain",
            Kind::PeriodOrNone(SECOND, KEEP_MAX),
            Default::Is("0"),
            "How long delivered batches are kept on disk, at least; a file of the queue goes as a whole. They give way when the queue needs their space. `0`: not for any time.",
        ).like("\"1d\""),
        setting(
            "retain_size",
            Kind::SizeOrNone(MIB, SIZE_MAX),
            Default::Is("0"),
            "How much of them is kept, at most; with `retain` too, whichever limit is reached first counts. `0`: no limit beside `retain`, and nothing without it.",
        ).like("\"1 GiB\""),
        setting(
            "sync",
            Kind::WordOrPeriod("commit", 1, 10 * SECOND),
            Default::Is("commit"),
            "When a batch counts as acknowledged. `commit`: when it is on the disk for certain. A duration: when it is written, and at most that much later it is on the disk; if the power fails in between, it is lost.",
        ),
        later("drain_rate", &["0"]),
        later("drain_bytes_per_sec", &["0", "0 B"]),
    ],
};
