//! Reads the settings of a queue and sees that its sizes go together.

use std::path::Path;
use std::time::Duration;

use millpond_kinesis::limits::REQUEST_BYTES_TARGET;

use crate::config::checked::{QueueMode, QueueOptions};
use crate::config::section::Section;
use crate::config::settings::QUEUE_BYTES_MIN;
use crate::config::units::{Fault, Size};
use crate::config::words::Mode;

/// Segments that must fit into a queue: one being written, one being read, one being given back, and one of slack.
/// The queue itself never uses a larger part of its size for one segment.
const SEGMENTS_MIN: u64 = 4;

/// Smallest segment that a small queue is given where the file does not say.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

// A request of several records always fits; only a large record asks for a large queue.
const _: () = assert!(REQUEST_BYTES_TARGET as u64 * SEGMENTS_MIN <= QUEUE_BYTES_MIN);

/// Reads the settings of a queue. What is wrong goes to the context.
pub(super) fn queue(section: &Section<'_>, data_dir: &Path, max_record_size: u64) -> QueueOptions {
    let size_bytes_max = section.size("max_size");
    let mode = mode(section);
    check_size(section, size_bytes_max, max_record_size);
    QueueOptions {
        mode,
        path: section.path("path").unwrap_or_else(|| data_dir.join("queues")),
        segment_bytes_max: segment_size(section, size_bytes_max),
        size_bytes_max,
        free_bytes_min: section.size("min_free"),
        on_full: section.word("on_full").unwrap_or_default(),
        strict_ordering: section.flag("strict_ordering"),
    }
}

fn mode(section: &Section<'_>) -> QueueMode {
    let after = Duration::from_secs(section.integer("backpressure_secs"));
    let mode = match section.word("mode").unwrap_or(Mode::Error) {
        Mode::Error => QueueMode::Error,
        Mode::Backpressure => QueueMode::Backpressure { after },
        Mode::Always => QueueMode::Always,
    };
    if section.is_given("backpressure_secs") && !matches!(mode, QueueMode::Backpressure { .. }) {
        let fault =
            Fault::new("has no effect: it works only with `mode: backpressure`", "set that, or remove it");
        section.warning("backpressure_secs", fault);
    }
    mode
}

/// A queue in which the largest batch takes more than its share could stand still for good.
fn check_size(section: &Section<'_>, size_bytes_max: u64, max_record_size: u64) {
    let least = max_record_size.saturating_mul(SEGMENTS_MIN);
    if size_bytes_max < least {
        let record = Size(max_record_size);
        section.problem(
            "max_size",
            Fault::new(
                format!(
                    "is too small: a record may take {record} and the queue needs room for {SEGMENTS_MIN}"
                ),
                format!("give at least \"{}\", or lower `max_record_size`", Size(least)),
            ),
        );
    }
}

/// The segment size that is given; otherwise the default, lowered to what fits.
fn segment_size(section: &Section<'_>, size_bytes_max: u64) -> u64 {
    let segment = section.size("max_segment_size");
    let fitting = size_bytes_max / SEGMENTS_MIN;
    if segment <= fitting {
        return segment;
    }
    if section.is_given("max_segment_size") {
        let largest = Size(fitting / SEGMENT_BYTES_MIN * SEGMENT_BYTES_MIN);
        section.problem(
            "max_segment_size",
            Fault::new(
                format!(
                    "is too large: {SEGMENTS_MIN} segments must fit into the `max_size` of {}",
                    Size(size_bytes_max)
                ),
                format!(
                    "give at most \"{largest}\", or raise `max_size` to \"{}\"",
                    Size(segment.saturating_mul(SEGMENTS_MIN))
                ),
            ),
        );
    }
    fitting.max(SEGMENT_BYTES_MIN)
}
