//! What queues hold. A queue that does not answer, since its disk does not, has no series until it does.

use millpond_queue::DropReason;

use super::*;
use crate::driver::policy_name;
use crate::metrics::read::{Labels, Number};
use crate::moment::{OutputMoment, oldest_age};

const LABELS: &[&str] = &["output"];

pub(super) static FAMILIES: &[Family] = &[
    family(
        "millpond_queue_events",
        Gauge,
        "events",
        LABELS,
        "Events in the queue that are not delivered.",
        Read::Output(|output, _| Some(output.queue()?.events.into())),
    ),
    family(
        "millpond_queue_batches",
        Gauge,
        "batches",
        LABELS,
        "Batches in the queue that are not delivered.",
        Read::Output(|output, _| Some(output.queue()?.batches.into())),
    ),
    family(
        "millpond_queue_payload_bytes",
        Gauge,
        "bytes",
        LABELS,
        "Bytes of these batches as they will be sent.",
        Read::Output(|output, _| Some(output.queue()?.payload_bytes.into())),
    ),
    family(
        "millpond_queue_bytes",
        Gauge,
        "bytes",
        LABELS,
        "What all files of the queue occupy on disk. A queue that was used keeps one segment, so this is not 0 when it is empty.",
        Read::Output(|output, _| Some(output.queue()?.disk_bytes.into())),
    ),
    family(
        "millpond_queue_max_bytes",
        Gauge,
        "bytes",
        LABELS,
        "What they may occupy: max_size.",
        Read::Output(|output, _| {
            output.queue()?;
            Some(output.entry.settings.queue.size_bytes_max.into())
        }),
    ),
    family(
        "millpond_queue_retained_bytes",
        Gauge,
        "bytes",
        LABELS,
        "The part of millpond_queue_bytes that is delivered and kept (retain); it makes room when room is needed.",
        Read::Output(|output, _| Some(output.queue()?.delivered_bytes.into())),
    ),
    family(
        "millpond_queue_quarantine_bytes",
        Gauge,
        "bytes",
        LABELS,
        "The part of millpond_queue_bytes that is damaged and set aside in quarantine/; nothing removes it but a person.",
        Read::Output(|output, _| Some(output.queue()?.quarantine_bytes.into())),
    ),
    family(
        "millpond_queue_segments",
        Gauge,
        "files",
        LABELS,
        "Segment files on disk.",
        Read::Output(|output, _| Some(output.queue()?.segments.into())),
    ),
    family(
        "millpond_queue_oldest_seconds",
        Gauge,
        "seconds",
        LABELS,
        "How long ago the oldest batch was queued that is not delivered; 0 when the queue is empty. No series while that is not known, since the machine's clock was never set.",
        Read::Output(|output, moment| {
            let queue = output.queue()?;
            if queue.batches == 0 {
                return Some(0.into());
            }
            Some(oldest_age(queue, moment.at)?.as_secs_f64().into())
        }),
    ),
    family(
        "millpond_queue_accepting",
        Gauge,
        "0 or 1",
        LABELS,
        "0 while the queue takes no batches: it is full, the disk is, or it fails.",
        Read::Output(|output, _| {
            output.queue()?;
            Some(output.doing.as_ref()?.state.queue_full.is_none().into())
        }),
    ),
    family(
        "millpond_output_spooling",
        Gauge,
        "0 or 1",
        LABELS,
        "1 while what the inputs give goes to the queue.",
        Read::State(|state| Some(state.spooling.into())),
    ),
    family(
        "millpond_output_spooled_batches_total",
        Counter,
        "batches",
        LABELS,
        "Batches that the queue has taken.",
        Read::Running(|output| output.counters.spooled_batches.get().into()),
    ),
    family(
        "millpond_queue_lost_events",
        Gauge,
        "events",
        &["output", "reason"],
        "Queued events given up by policy or by a person since the queue began, so over all starts of the process: queue_full_oldest, expired, purged (by `millpond queue purge`).",
        Read::OutputBy(losses),
    ),
    family(
        "millpond_queue_damaged_frames_total",
        Counter,
        "frames",
        LABELS,
        "Batches lost in damaged places of the queue's files. Each was counted and set aside; the good ones around it are delivered.",
        Read::Output(|output, _| Some(output.queue()?.damaged_batches.into())),
    ),
    family(
        "millpond_queue_damaged_spans_total",
        Counter,
        "places",
        LABELS,
        "Damaged places found in the queue's files.",
        Read::Output(|output, _| Some(output.queue()?.damaged_spans.into())),
    ),
    family(
        "millpond_queue_damaged_bytes_total",
        Counter,
        "bytes",
        LABELS,
        "Bytes in them.",
        Read::Output(|output, _| Some(output.queue()?.damaged_bytes.into())),
    ),
    family(
        "millpond_queue_missing_frames_total",
        Counter,
        "frames",
        LABELS,
        "Batches that were gone without a trace when the queue was opened: somebody has removed segment files.",
        Read::Output(|output, _| Some(output.queue()?.missing_batches.into())),
    ),
    family(
        "millpond_queue_poisoned_segments_total",
        Counter,
        "files",
        LABELS,
        "Segments that were closed for good because a write or a sync of them failed; what was not durable is written again to the next one.",
        Read::Output(|output, _| Some(output.queue()?.poisoned_segments.into())),
    ),
];

fn losses(output: &OutputMoment) -> Vec<(Labels, Number)> {
    let Some(queue) = output.queue() else { return Vec::new() };
    let of = |reason| (vec![policy_name(reason).to_owned()], queue.losses.of(reason).events.into());
    DropReason::ALL.into_iter().map(of).collect()
}
