//! The settings of outputs and their queues.

use super::*;
use crate::config::checked::{Backpressure, OnFull, Oversize};
use crate::config::words::{AuthMethod, Compression, Mode, OutputType, Packing, RandomKey, SignatureVersion};

pub(in crate::config) static KINESIS: Group = Group {
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
        setting("inputs", Kind::Texts, Default::Shown("all"), "The inputs whose events it gets, by their ids. `[]`: none, for an output that only drains a queue.").like("[\"app\"]"),
        setting("adopt", Kind::Texts, Default::Is("[]"), "Queues that outputs of earlier configurations left beside its own, by the ids of those outputs: their batches are sent to this stream, too, and in the order of each. What is new does not wait for them.").like("[\"old-name\"]"),
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
        setting("dead_letters", Kind::Section(&DEAD_LETTERS), Default::Is("{}"), "What was refused for good; see below."),
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
        setting(
            "where",
            Kind::Program,
            Default::Shown("all events"),
            "A condition in VRL: it takes only events of which that holds. One that fails counts as not holding. `${…}` means nothing in it.",
        )
        .like("'.level == \"error\"'"),
        setting(
            "final",
            Kind::Flag,
            Default::Is("false"),
            "Events that it takes go to no output below it in the file.",
        ),
        setting("route", Kind::Text(names::not_empty, None), Default::Shown("the output's id"), "Name of this route, for `cribl_route`.").like("errors"),
        setting(
            "pipeline",
            Kind::Text(names::check_id, None),
            Default::Nothing,
            "Name of a pipeline under `pipelines` that shapes what it takes, before the queue.",
        )
        .like("tidy"),
        setting(
            "system_fields",
            Kind::Texts,
            Default::Is("[\"cribl_pipe\"]"),
            "Which of `cribl_pipe` (the pipeline), `cribl_host` (this machine), `cribl_input`, `cribl_output`, `cribl_route` and `cribl_wp` (the process) are added to events, unless they have them. `*` stands for any text, a leading `!` leaves out; the first that matches decides.",
        )
        .like("[\"!cribl_wp\", \"cribl_*\"]"),
    ],
};

pub(in crate::config) static AUTH: Group = Group {
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

pub(in crate::config) static ASSUME_ROLE: Group = Group {
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

pub(in crate::config) static PARTITION_KEY: Group = Group {
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

pub(in crate::config) static DEAD_LETTERS: Group = Group {
    name: "dead_letters",
    of_type: None,
    place: "outputs.ID.dead_letters",
    settings: &[setting(
        "max_size",
        Kind::Size(QUEUE_BYTES_MIN, SIZE_MAX),
        Default::Is("256 MiB"),
        "What all files of the output's dead letters together may occupy on disk. When they are full, the output waits at the next one until there is room. At least four times `max_record_size`.",
    )],
};

pub(in crate::config) static QUEUE: Group = Group {
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
        setting(
            "drain_rate",
            Kind::Integer(0, DRAIN_RATE_MAX),
            Default::Is("0"),
            "Events per second that are sent from the queue, at most, on top of one batch. What new events send at once is not counted; with `mode: always` nothing is sent at once, and this limits everything. `0`: no limit.",
        ),
        setting(
            "drain_bytes_per_sec",
            Kind::SizeOrNone(1, SIZE_MAX),
            Default::Is("0"),
            "The same in bytes of records as they are sent, that is compressed if they are. Where both are given, the stricter one counts. `0`: no limit.",
        ).like("\"1 MB\""),
    ],
};
