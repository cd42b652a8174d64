//! The settings of the input `http`.

use super::inputs::{CODEC, MAX_LINE, TLS_SETTING};
use super::processing::INPUT_PIPELINE;
use super::*;
use crate::config::words::InputType;

pub(in crate::config) static HTTP: Group = Group {
    name: "http",
    of_type: Some("http"),
    place: "inputs.ID",
    settings: &[
        setting(
            "type",
            Kind::word::<InputType>(),
            Default::Required,
            "`http`: events in the bodies of POST requests. The answer is 200 only once all of them are delivered or durable.",
        ),
        setting(
            "listen",
            Kind::Text(listen::check_listen, None),
            Default::Required,
            "Address and port to listen on; an IPv6 address stands in brackets. `0.0.0.0` or `[::]` for all addresses of the machine.",
        )
        .like("\"127.0.0.1:8088\""),
        setting(
            "path",
            Kind::Text(listen::check_url_path, Some("^/")),
            Default::Shown("any"),
            "The only path that takes events; any other is answered with 404.",
        )
        .like("/events"),
        kept_secret(
            setting(
                "token",
                Kind::Text(listen::check_token, None),
                Default::Nothing,
                "What clients have to show as `Authorization: Bearer …`; never shown. Better as `${secret:NAME}` than in the file.",
            )
            .like("\"${secret:NAME}\""),
        ),
        TLS_SETTING,
        CODEC,
        MAX_LINE,
        setting(
            "max_body",
            Kind::Size(KIB, 64 * MIB),
            Default::Is("4 MiB"),
            "Largest body, both as it is sent and after it was decompressed; a larger one is answered with 413.",
        ),
        setting(
            "max_buffered",
            Kind::Size(KIB, GIB),
            Default::Is("16 MiB"),
            "Memory for the bodies of all requests at once; at least `max_body`. A request that finds none waits for it.",
        ),
        setting(
            "max_connections",
            Kind::Integer(1, 65_536),
            Default::Is("256"),
            "Connections at once. Where there are more, idle ones are closed, and what is left over waits.",
        ),
        setting(
            "busy_timeout",
            Kind::Period(10, MINUTE),
            Default::Is("1s"),
            "How long a request waits for memory, and for outputs that have no room, before it is answered with 503.",
        ),
        setting(
            "ack_timeout",
            Kind::Period(100, HOUR),
            Default::Is("30s"),
            "How long a request waits until its events are delivered or durable before it is answered with 503. More than the `flush_period` of every output.",
        ),
        setting(
            "idle_timeout",
            Kind::Period(100, HOUR),
            Default::Is("60s"),
            "A connection is closed when no whole head of a request comes for so long, and a body that stalls for so long is answered with 408.",
        ),
        INPUT_PIPELINE,
    ],
};
