//! What outputs do and count.

use super::*;
use crate::metrics::read::{Labels, Number, seconds};
use crate::moment::OutputMoment;
use crate::output_state::Condition;
use crate::puts::{APIS, OUTCOMES, outcome_name};

const LABELS: &[&str] = &["output"];

/// The state of an output that belongs to another environment.
const INACTIVE: &str = "inactive";

pub(super) static FAMILIES: &[Family] = &[
    family(
        "millpond_output_info",
        Gauge,
        "1",
        &["output", "stream", "region", "backpressure"],
        "Always 1: what the configuration says of the output.",
        Read::OutputBy(|output| {
            let settings = &output.entry.settings;
            let labels = [&*settings.stream_name, &*settings.region, settings.backpressure.as_str()]
                .map(str::to_owned);
            vec![(labels.into(), 1.into())]
        }),
    ),
    family(
        "millpond_output_tag",
        Gauge,
        "1",
        &["output", "tag"],
        "Always 1: one series for each tag of the output, to join with; one with an empty tag if it has none.",
        Read::OutputBy(|output| {
            let mut tags = output.entry.settings.tags.clone();
            tags.sort();
            tags.dedup();
            if tags.is_empty() {
                tags.push(String::new());
            }
            tags.into_iter().map(|tag| (vec![tag], 1.into())).collect()
        }),
    ),
    family(
        "millpond_output_state",
        Gauge,
        "0 or 1",
        &["output", "state"],
        "1 for the state that the output is in: healthy, throttled (slowed down by the service), unhealthy (nothing is sent but probes), verifying (the shards are looked at, then one batch is tried; so it is from the start to the first batch), recovering (sending more and more), paused (by a person), inactive (of another environment).",
        Read::OutputBy(states),
    ),
    family(
        "millpond_output_state_since_timestamp_seconds",
        Gauge,
        "seconds since the Unix epoch",
        LABELS,
        "Since when it is in this state.",
        Read::State(|state| Some(seconds(state.since_ms))),
    ),
    family(
        "millpond_output_received_events_total",
        Counter,
        "events",
        LABELS,
        "Events taken from the inputs. They are delivered, queued, dropped, in the dead letters, or still on their way.",
        Read::Running(|output| output.counters.events.get().into()),
    ),
    family(
        "millpond_output_events_total",
        Counter,
        "events",
        LABELS,
        "Events that the service has accepted.",
        Read::Running(|output| output.counters.delivered_events.get().into()),
    ),
    family(
        "millpond_output_bytes_total",
        Counter,
        "bytes",
        LABELS,
        "Bytes of the accepted records as they were sent, partition keys included.",
        Read::Running(|output| output.counters.delivered_bytes.get().into()),
    ),
    family(
        "millpond_output_duplicate_events_total",
        Counter,
        "events",
        LABELS,
        "Events sent again although they may have arrived: the answer to an earlier put was lost.",
        Read::Running(|output| output.counters.repeated_events.get().into()),
    ),
    family(
        "millpond_output_not_object_events_total",
        Counter,
        "events",
        LABELS,
        "Lines that should have been JSON objects (codec: json), were none, and were wrapped as text.",
        Read::Running(|output| output.counters.not_objects.get().into()),
    ),
    family(
        "millpond_output_not_utf8_events_total",
        Counter,
        "events",
        LABELS,
        "Lines with bytes that were not UTF-8, which were replaced by U+FFFD.",
        Read::Running(|output| output.counters.not_utf8.get().into()),
    ),
    family(
        "millpond_output_truncated_events_total",
        Counter,
        "events",
        LABELS,
        "Events whose _raw was cut to fit into a record (oversize: truncate).",
        Read::Running(|output| output.counters.truncated.get().into()),
    ),
    family(
        "millpond_output_unacknowledged_events_total",
        Counter,
        "events",
        LABELS,
        "Events let go of at a stop without being delivered or durable: their input gives them again, if it can.",
        Read::Running(|output| output.counters.abandoned_events.get().into()),
    ),
    family(
        "millpond_output_retried_records_total",
        Counter,
        "records",
        LABELS,
        "Records that were throttled or failed in a call of which others were accepted, and were sent again.",
        Read::Running(|output| output.counters.retried_records.get().into()),
    ),
    family(
        "millpond_dropped_events_total",
        Counter,
        "events",
        &["output", "reason"],
        "Events dropped by a policy of the configuration: output_unhealthy (backpressure: drop), queue_full (on_full: drop), queue_full_oldest (on_full: drop_oldest), expired (max_age), oversize (oversize: drop), pipeline_failed (on_error: drop), filtered (its pipeline has aborted on them: they are not wanted).",
        Read::OutputBy(drops),
    ),
    family(
        "millpond_output_route_failures_total",
        Counter,
        "events",
        LABELS,
        "Events for which the where of the output failed: that counts as not holding, so it did not take them.",
        Read::Running(|output| output.counters.route_failures.get().into()),
    ),
    family(
        "millpond_output_dead_letter_events_total",
        Counter,
        "events",
        LABELS,
        "Events that went to the dead letters since the process started.",
        Read::Running(|output| output.counters.dead_letters.get().into()),
    ),
    family(
        "millpond_dead_letter_events",
        Gauge,
        "events",
        LABELS,
        "Events that are in the dead letters now.",
        Read::Output(|output, _| Some(output.doing.as_ref()?.dead_letters?.into())),
    ),
    family(
        "millpond_put_requests_total",
        Counter,
        "requests",
        &["output", "api", "outcome"],
        "Calls that carried records, by operation (PutRecord, PutRecords) and by how they ended: accepted, partial, or the class of the failure (throttled, transient, clock, misconfigured, rejected).",
        Read::OutputBy(puts),
    ),
    family(
        "millpond_put_duration_seconds",
        Histogram,
        "seconds",
        LABELS,
        "How long these calls took, from their begin to the answer or the failure.",
        Read::Durations(|output| &output.counters.puts.duration),
    ),
    family(
        "millpond_output_puts_in_flight",
        Gauge,
        "batches",
        LABELS,
        "Batches being sent now.",
        Read::State(|state| Some(u64::from(state.puts_in_flight).into())),
    ),
    family(
        "millpond_output_puts_in_flight_max",
        Gauge,
        "batches",
        LABELS,
        "Batches that may be sent at once now: fewer than concurrency while the output recovers or is throttled, 0 while nothing is sent.",
        Read::State(|state| Some(u64::from(state.puts_max).into())),
    ),
    family(
        "millpond_output_waiting_batches",
        Gauge,
        "batches",
        LABELS,
        "Batches from the inputs that wait in memory, to be sent or to be queued.",
        Read::State(|state| Some(u64::from(state.live_waiting).into())),
    ),
    family(
        "millpond_shards_open",
        Gauge,
        "shards",
        LABELS,
        "Open shards of the stream when they were last counted: at the start, and each time before the output recovers.",
        Read::State(|state| Some(u64::from(state.open_shards?).into())),
    ),
];

fn states(output: &OutputMoment) -> Vec<(Labels, Number)> {
    let is = output.running().map_or(INACTIVE, |(_, doing)| doing.state.condition.as_str());
    let words = Condition::ALL.map(Condition::as_str).into_iter().chain([INACTIVE]);
    words.map(|word| (vec![word.to_owned()], (word == is).into())).collect()
}

fn drops(output: &OutputMoment) -> Vec<(Labels, Number)> {
    let Some((running, _)) = output.running() else { return Vec::new() };
    let filtered = ("filtered", running.counters.filtered.get());
    let drops = running.counters.dropped_by_reason().into_iter().chain([filtered]);
    drops.map(|(reason, events)| (vec![reason.to_owned()], events.into())).collect()
}

fn puts(output: &OutputMoment) -> Vec<(Labels, Number)> {
    let Some((running, _)) = output.running() else { return Vec::new() };
    let puts = &running.counters.puts;
    let of = |api: millpond_kinesis::output::Api| {
        OUTCOMES.into_iter().map(move |outcome| {
            (vec![api.as_str().to_owned(), outcome_name(outcome).to_owned()], puts.of(api, outcome).into())
        })
    };
    APIS.into_iter().flat_map(of).collect()
}
