//! What inputs count.

use super::*;
use crate::inputs::Outcome;
use crate::metrics::read::Number;
use crate::moment::InputMoment;
use crate::registry::InputStage;

const LABELS: &[&str] = &["input", "type"];

/// Only files have it.
fn of_file(input: &InputMoment, number: u64) -> Option<Number> {
    (input.entry.kind == "file").then_some(number.into())
}

/// Only what keeps positions has it.
fn of_positions(input: &InputMoment, number: u64) -> Option<Number> {
    matches!(input.entry.kind, "file" | "journald").then_some(number.into())
}

pub(super) static FAMILIES: &[Family] = &[
    family(
        "millpond_input_state",
        Gauge,
        "0 or 1",
        &["input", "state"],
        "1 for the state that the input is in: starting, accepting, failing (it cannot take events and tries again), ended.",
        Read::InputBy(|input| {
            let of = |word: &&str| (vec![(*word).to_owned()], (input.stage.as_str() == *word).into());
            InputStage::WORDS.iter().map(of).collect()
        }),
    ),
    family(
        "millpond_input_events_total",
        Counter,
        "events",
        LABELS,
        "Events read, before pipelines and routes.",
        Read::Input(|input| Some(input.entry.counters.events.get().into())),
    ),
    family(
        "millpond_input_bytes_total",
        Counter,
        "bytes",
        LABELS,
        "Bytes of these events as they were read, line ends included.",
        Read::Input(|input| Some(input.entry.counters.bytes.get().into())),
    ),
    family(
        "millpond_input_dropped_events_total",
        Counter,
        "events",
        &["input", "reason"],
        "Events that no output got: filtered (the input's pipeline has aborted on them: they are not wanted), pipeline_failed (it has failed on them, on_error: drop), unrouted (where of no output holds for them).",
        Read::InputBy(|input| {
            let counters = &input.entry.counters;
            let reasons = [
                ("filtered", &counters.filtered),
                ("pipeline_failed", &counters.pipeline_failed),
                ("unrouted", &counters.unrouted),
            ];
            reasons.map(|(reason, events)| (vec![reason.to_owned()], events.get().into())).into()
        }),
    ),
    family(
        "millpond_input_cut_events_total",
        Counter,
        "events",
        LABELS,
        "Lines that were longer than max_line and were cut.",
        Read::Input(|input| Some(input.entry.counters.lines_cut.get().into())),
    ),
    family(
        "millpond_input_cut_bytes_total",
        Counter,
        "bytes",
        LABELS,
        "Bytes left out of lines that were cut.",
        Read::Input(|input| Some(input.entry.counters.bytes_cut.get().into())),
    ),
    family(
        "millpond_input_chunks_in_flight",
        Gauge,
        "chunks",
        LABELS,
        "Chunks handed to the outputs that are neither delivered nor durable yet. A chunk has at most 256 KiB of lines.",
        Read::Input(|input| Some(input.entry.counters.chunks_in_flight.get().into())),
    ),
    family(
        "millpond_input_resent_chunks_total",
        Counter,
        "chunks",
        LABELS,
        "Chunks read again because an output let go of them without delivering them.",
        Read::Input(|input| Some(input.entry.counters.chunks_resent.get().into())),
    ),
    family(
        "millpond_input_read_errors_total",
        Counter,
        "errors",
        LABELS,
        "Failures to open, look at or read what the input reads.",
        Read::Input(|input| Some(input.entry.counters.read_errors.get().into())),
    ),
    family(
        "millpond_input_connections",
        Gauge,
        "connections",
        LABELS,
        "Connections open now.",
        Read::Input(|input| {
            let has_some = matches!(input.entry.kind, "http" | "tcp" | "syslog" | "unix");
            has_some.then(|| input.entry.counters.connections.get().into())
        }),
    ),
    family(
        "millpond_input_requests_total",
        Counter,
        "requests",
        &["input", "outcome"],
        "Requests by what became of them; inputs.md says what each outcome means.",
        Read::InputBy(|input| {
            let requests = &input.entry.counters.requests;
            let of = |outcome: Outcome| (vec![outcome.name().to_owned()], requests.get(outcome).into());
            if input.entry.kind == "http" { Outcome::ALL.into_iter().map(of).collect() } else { Vec::new() }
        }),
    ),
    family(
        "millpond_input_files",
        Gauge,
        "files",
        LABELS,
        "Files that the patterns match now.",
        Read::Input(|input| of_file(input, input.entry.counters.files.get())),
    ),
    family(
        "millpond_input_open_files",
        Gauge,
        "files",
        LABELS,
        "Files open now.",
        Read::Input(|input| of_file(input, input.entry.counters.files_open.get())),
    ),
    family(
        "millpond_input_file_rotations_total",
        Counter,
        "files",
        LABELS,
        "Files that were renamed away and replaced.",
        Read::Input(|input| of_file(input, input.entry.counters.rotations.get())),
    ),
    family(
        "millpond_input_file_truncations_total",
        Counter,
        "files",
        LABELS,
        "Files that became shorter, or were written anew in place.",
        Read::Input(|input| of_file(input, input.entry.counters.truncations.get())),
    ),
    family(
        "millpond_input_file_deletions_total",
        Counter,
        "files",
        LABELS,
        "Files that were deleted.",
        Read::Input(|input| of_file(input, input.entry.counters.deletions.get())),
    ),
    family(
        "millpond_input_lost_bytes_total",
        Counter,
        "bytes",
        LABELS,
        "Bytes known to have been in a file, and gone before they could be read.",
        Read::Input(|input| of_file(input, input.entry.counters.bytes_lost.get())),
    ),
    family(
        "millpond_input_unwatched_directories",
        Gauge,
        "directories",
        LABELS,
        "Directories whose changes the system does not report; they are looked at every rescan.",
        Read::Input(|input| of_file(input, input.entry.counters.unwatched_dirs.get())),
    ),
    family(
        "millpond_input_position_saves_total",
        Counter,
        "saves",
        LABELS,
        "Times that positions were made durable.",
        Read::Input(|input| of_positions(input, input.entry.counters.positions_saved.get())),
    ),
    family(
        "millpond_input_position_errors_total",
        Counter,
        "errors",
        LABELS,
        "Times that positions could not be made durable: what was read since the last time would be repeated after a crash.",
        Read::Input(|input| of_positions(input, input.entry.counters.position_errors.get())),
    ),
];
