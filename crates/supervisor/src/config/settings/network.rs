//! The settings of the inputs that other programs write to without being answered.

use super::inputs::{CODEC, MAX_LINE, TLS_SETTING};
use super::processing::INPUT_PIPELINE;
use super::*;
use crate::config::checked::{DatagramFraming, StreamFraming};
use crate::config::words::{InputType, SocketKind, Transport};

const fn type_of(about: &'static str) -> Setting {
    setting("type", Kind::word::<InputType>(), Default::Required, about)
}

const fn listen_on(example: &'static str) -> Setting {
    setting(
        "listen",
        Kind::Text(listen::check_listen, None),
        Default::Required,
        "Address and port to listen on; an IPv6 address stands in brackets. `0.0.0.0` or `[::]` for all addresses of the machine.",
    )
    .like(example)
}

const MAX_CONNECTIONS: Setting = setting(
    "max_connections",
    Kind::Integer(1, 65_536),
    Default::Is("64"),
    "Connections at once; one more is refused and counted. Each may hold a message of `max_line` in memory.",
);

const IDLE_TIMEOUT: Setting = setting(
    "idle_timeout",
    Kind::PeriodOrNone(100, 30 * DAY),
    Default::Is("0"),
    "A connection on which nothing comes for so long is closed. Without it, those whose peer is gone without a word are found by probes of the system (TCP keepalive) after two minutes.",
);

const RECEIVE_BUFFER: Setting = setting(
    "receive_buffer",
    Kind::SizeOrNone(4 * KIB, GIB),
    Default::Is("0"),
    "How much the kernel holds until it is read; more is dropped by it, and counted. 0 leaves it to the kernel (Linux: `net.core.rmem_default`, mostly 208 KiB); it allows `net.core.rmem_max` at most, and a warning says so.",
);

pub(in crate::config) static TCP: Group = Group {
    name: "tcp",
    of_type: Some("tcp"),
    place: "inputs.ID",
    settings: &[
        type_of("`tcp`: messages over connections."),
        listen_on("\"127.0.0.1:9000\""),
        setting(
            "framing",
            Kind::word::<StreamFraming>(),
            Default::Is("lines"),
            "Where a message ends. `lines`: at a line feed. `octet_counted`: after as many bytes as the number before it says (`5 hello`). `auto`: either, message by message; a number counts only before a `<`, as syslog messages begin.",
        ),
        TLS_SETTING,
        CODEC,
        MAX_LINE,
        MAX_CONNECTIONS,
        IDLE_TIMEOUT,
        INPUT_PIPELINE,
    ],
};

pub(in crate::config) static UDP: Group = Group {
    name: "udp",
    of_type: Some("udp"),
    place: "inputs.ID",
    settings: &[
        type_of("`udp`: messages in datagrams."),
        listen_on("\"127.0.0.1:9000\""),
        setting(
            "framing",
            Kind::word::<DatagramFraming>(),
            Default::Is("message"),
            "`message`: a datagram is one event, without a line end at its end. `lines`: each line of it is one.",
        ),
        RECEIVE_BUFFER,
        CODEC,
        MAX_LINE,
        INPUT_PIPELINE,
    ],
};

pub(in crate::config) static SYSLOG: Group = Group {
    name: "syslog",
    of_type: Some("syslog"),
    place: "inputs.ID",
    settings: &[
        type_of("`syslog`: messages of RFC 5424 and RFC 3164, told apart one by one."),
        listen_on("\"0.0.0.0:514\""),
        setting(
            "transport",
            Kind::word::<Transport>(),
            Default::Is("udp"),
            "`udp`: each datagram is a message. `tcp`: connections, with `tls` encrypted. For both, write two inputs.",
        ),
        setting(
            "framing",
            Kind::word::<StreamFraming>(),
            Default::Shown("`auto`"),
            "Only with `tcp`: where a message ends, as for the input `tcp`.",
        ),
        setting(
            "timezone",
            Kind::Text(listen::check_zone, None),
            Default::Is("local"),
            "The time zone of senders that do not say theirs (RFC 3164): `local` for that of this machine, `UTC`, or a distance such as `\"+02:00\"`.",
        )
        .like("\"+02:00\""),
        TLS_SETTING,
        MAX_LINE,
        setting(
            MAX_CONNECTIONS.key,
            MAX_CONNECTIONS.kind,
            MAX_CONNECTIONS.default,
            "Only with `tcp`: connections at once; one more is refused and counted.",
        ),
        setting(IDLE_TIMEOUT.key, IDLE_TIMEOUT.kind, IDLE_TIMEOUT.default, "Only with `tcp`: as there."),
        setting(RECEIVE_BUFFER.key, RECEIVE_BUFFER.kind, RECEIVE_BUFFER.default, "Only with `udp`: as there."),
        INPUT_PIPELINE,
    ],
};

pub(in crate::config) static UNIX: Group = Group {
    name: "unix",
    of_type: Some("unix"),
    place: "inputs.ID",
    settings: &[
        type_of("`unix`: messages over a Unix socket."),
        setting(
            "path",
            Kind::Path,
            Default::Required,
            "Path of the socket. One that a process left behind which is gone is replaced; one of a living process, or anything else that is there, is an error. It is removed at the stop.",
        )
        .like("/run/millpond/app.sock"),
        setting(
            "mode",
            Kind::Text(listen::check_mode, Some("^[0-7]{3,4}$")),
            Default::Is("\"0660\""),
            "Permissions of the socket, in octal digits: who may write (`w`) to it may send.",
        )
        .like("\"0660\""),
        setting(
            "socket",
            Kind::word::<SocketKind>(),
            Default::Is("stream"),
            "`stream`: connections. `datagram`: each datagram is an event, without a line end at its end.",
        ),
        setting(
            "framing",
            Kind::word::<StreamFraming>(),
            Default::Is("lines"),
            "Only for `stream`: where a message ends, as for the input `tcp`.",
        ),
        CODEC,
        MAX_LINE,
        MAX_CONNECTIONS,
        setting(
            IDLE_TIMEOUT.key,
            IDLE_TIMEOUT.kind,
            IDLE_TIMEOUT.default,
            "Only for `stream`: a connection on which nothing comes for so long is closed.",
        ),
        INPUT_PIPELINE,
    ],
};
