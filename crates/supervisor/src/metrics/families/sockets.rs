//! What inputs count that other programs write to without being answered.

use super::*;
use crate::inputs::InputCounters;
use crate::metrics::read::Number;
use crate::moment::InputMoment;

const LABELS: &[&str] = &["input", "type"];

type Of = fn(&InputCounters) -> u64;

/// Only inputs of these types have it.
fn of(input: &InputMoment, types: &[&str], number: Of) -> Option<Number> {
    types.contains(&input.entry.kind).then(|| number(&input.entry.counters).into())
}

/// Those that have connections, if they are not set to datagrams.
const CONNECTED: &[&str] = &["tcp", "syslog", "unix"];
/// Those of UDP.
const DATAGRAMS: &[&str] = &["udp", "syslog"];
/// Those that make JSON of what they read.
const PARSED: &[&str] = &["syslog", "journald"];
/// All of them.
const SOCKETS: &[&str] = &["tcp", "udp", "syslog", "unix"];

pub(super) static FAMILIES: &[Family] = &[
    family(
        "millpond_input_accepted_connections_total",
        Counter,
        "connections",
        LABELS,
        "Connections that were let in.",
        Read::Input(|input| of(input, CONNECTED, |counters| counters.connections_total.get())),
    ),
    family(
        "millpond_input_refused_connections_total",
        Counter,
        "connections",
        LABELS,
        "Connections that were closed at once because max_connections were open.",
        Read::Input(|input| of(input, CONNECTED, |counters| counters.connections_refused.get())),
    ),
    family(
        "millpond_input_connection_errors_total",
        Counter,
        "errors",
        LABELS,
        "Connections that failed, TLS handshakes included, and failures to let one in or to receive.",
        Read::Input(|input| of(input, SOCKETS, |counters| counters.connection_errors.get())),
    ),
    family(
        "millpond_input_framing_errors_total",
        Counter,
        "connections",
        LABELS,
        "Connections that were closed because something stood where the length of a message should be.",
        Read::Input(|input| of(input, CONNECTED, |counters| counters.framing_errors.get())),
    ),
    family(
        "millpond_input_incomplete_events_total",
        Counter,
        "events",
        LABELS,
        "Messages whose connection ended before they did; they were taken as far as they came.",
        Read::Input(|input| of(input, CONNECTED, |counters| counters.incomplete.get())),
    ),
    family(
        "millpond_input_unparsed_events_total",
        Counter,
        "events",
        LABELS,
        "Messages that are no syslog, or no entries of a journal, and were wrapped as text.",
        Read::Input(|input| of(input, PARSED, |counters| counters.unparsed.get())),
    ),
    family(
        "millpond_input_not_utf8_events_total",
        Counter,
        "events",
        LABELS,
        "Messages with bytes that are not UTF-8, which were replaced. Of other inputs the outputs count them.",
        Read::Input(|input| of(input, PARSED, |counters| counters.not_utf8.get())),
    ),
    family(
        "millpond_input_kernel_dropped_datagrams_total",
        Counter,
        "datagrams",
        LABELS,
        "Datagrams that the kernel dropped because they were not read in time. Only on Linux.",
        Read::Input(|input| of(input, DATAGRAMS, |counters| counters.datagrams_dropped.get())),
    ),
    family(
        "millpond_input_lost_events_total",
        Counter,
        "events",
        LABELS,
        "Events that were read, are neither delivered nor durable, and cannot be read again.",
        Read::Input(|input| of(input, SOCKETS, |counters| counters.events_lost.get())),
    ),
];
