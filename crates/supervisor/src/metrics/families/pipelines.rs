//! What pipelines count, wherever they are used.

use super::*;
use crate::metrics::read::{Labels, Number};
use crate::moment::Moment;
use crate::processing::PipelineCounters;

const LABELS: &[&str] = &["pipeline"];

fn each(moment: &Moment, count: fn(&PipelineCounters) -> u64) -> Vec<(Labels, Number)> {
    let pipelines = moment.registry.pipelines().into_iter();
    pipelines.map(|(name, counters)| (vec![name.to_string()], count(&counters).into())).collect()
}

pub(super) static FAMILIES: &[Family] = &[
    family(
        "millpond_pipeline_received_events_total",
        Counter,
        "events",
        LABELS,
        "Events that the pipeline was given.",
        Read::ProcessBy(|moment| each(moment, |counters| counters.received.get())),
    ),
    family(
        "millpond_pipeline_made_events_total",
        Counter,
        "events",
        LABELS,
        "Events that have come out of it: one may become several, and one that it fails on comes out as it was with on_error: pass.",
        Read::ProcessBy(|moment| each(moment, |counters| counters.made.get())),
    ),
    family(
        "millpond_pipeline_filtered_events_total",
        Counter,
        "events",
        LABELS,
        "Events that it has aborted on.",
        Read::ProcessBy(|moment| each(moment, |counters| counters.filtered.get())),
    ),
    family(
        "millpond_pipeline_failed_events_total",
        Counter,
        "events",
        LABELS,
        "Events that it has failed on, whatever on_error does with them.",
        Read::ProcessBy(|moment| each(moment, |counters| counters.failed.get())),
    ),
];
