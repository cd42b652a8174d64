//! Reads the settings of a queue and sees that its sizes go together.

use std::path::Path;
use std::time::Duration;

use millpond_kinesis::limits::REQUEST_BYTES_TARGET;

use crate::config::checked::{Format, QueueMode, QueueOptions};
use crate::config::section::Section;
use crate::config::settings::QUEUE_BYTES_MIN;
use crate::config::units::{Fault, Period, Size};
use crate::config::words::{Mode, Packing};
use crate::rate::DrainLimits;

/// Segments that must fit into a queue: one being written, one being read, one being given back, and one of slack.
/// The queue itself never uses a larger part of its size for one segment.
const SEGMENTS_MIN: u64 = 4;

/// Smallest segment that a small queue is given where the file does not say.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// gzip level at which batches are packed on disk. The one thread that writes the queue packs too, so it must be fast.
const PACK_LEVEL: u8 = 3;

// A request of several records always fits; only a large record asks for a large queue.
const _: () = assert!(REQUEST_BYTES_TARGET as u64 * SEGMENTS_MIN <= QUEUE_BYTES_MIN);

/// Settings around the queue that go together with its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) data_dir: &'a Path,
    pub(super) format: Format,
    pub(super) max_record_size: u64,
    pub(super) flush_period: Duration,
}

/// Reads the settings of a queue. What is wrong goes to the context.
pub(super) fn queue(section: &Section<'_>, around: Around<'_>) -> QueueOptions {
    let size_bytes_max = section.size("max_size");
    let mode = mode(section);
    check_size(section, size_bytes_max, around.max_record_size);
    let segment_bytes_max = segment_size(section, size_bytes_max);
    let sync_every = section.period_instead("sync");
    QueueOptions {
        mode,
        path: section.path("path").unwrap_or_else(|| around.data_dir.join("queues")),
        segment_bytes_max,
        size_bytes_max,
        free_bytes_min: section.size("min_free"),
        on_full: section.word("on_full").unwrap_or_default(),
        strict_ordering: section.flag("strict_ordering"),
        drain: DrainLimits {
            events_per_sec: section.integer("drain_rate"),
            bytes_per_sec: section.size("drain_bytes_per_sec"),
        },
        pack: pack(section, around.format),
        max_age: max_age(section, around.flush_period, sync_every),
        retain: Some(section.period("retain")).filter(|period| !period.is_zero()),
        retain_bytes_max: retain_size(section, segment_bytes_max),
        sync_every,
    }
}

/// The size of the dead letters, which are a queue as well.
pub(super) fn dead_letters(section: &Section<'_>, max_record_size: u64) -> u64 {
    let size_bytes_max = section.size("max_size");
    check_size(section, size_bytes_max, max_record_size);
    size_bytes_max
}

/// The level at which batches are packed, where that does anything.
fn pack(section: &Section<'_>, format: Format) -> Option<u8> {
    match (section.word("compression").unwrap_or(Packing::None), format) {
        (Packing::None, _) => None,
        (Packing::Gzip, Format::Ndjson | Format::Event) => Some(PACK_LEVEL),
        (Packing::Gzip, Format::Gzip) => {
            let fault = Fault::new(
                "has no effect: the output's records are gzip already, and are queued as they are",
                "set `compression: none` of the output, or remove it",
            );
            section.warning("compression", fault);
            None
        }
    }
}

/// A batch must have the time to be read before it is too old.
fn max_age(section: &Section<'_>, flush_period: Duration, sync_every: Option<Duration>) -> Option<Duration> {
    let max_age = Some(section.period("max_age")).filter(|period| !period.is_zero())?;
    if max_age < flush_period {
        let flush_period = Period(flush_period);
        let fault = Fault::new(
            format!(
                "is shorter than the `flush_period` of {flush_period}: an event may wait that long before it is queued at all"
            ),
            format!("give at least \"{flush_period}\", or lower `flush_period`"),
        );
        section.problem("max_age", fault);
    }
    if let Some(sync_every) = sync_every.filter(|sync_every| max_age <= *sync_every) {
        let sync_every = Period(sync_every);
        let fault = Fault::new(
            format!(
                "is no longer than the `sync` of {sync_every}: a batch is read back only after its sync, and would be too old by then"
            ),
            format!("give more than \"{sync_every}\", or lower `sync`"),
        );
        section.problem("max_age", fault);
    }
    Some(max_age)
}

fn retain_size(section: &Section<'_>, segment_bytes_max: u64) -> Option<u64> {
    let bytes_max = Some(section.size("retain_size")).filter(|bytes| *bytes > 0)?;
    if bytes_max < segment_bytes_max {
        let segment = Size(segment_bytes_max);
        let fault = Fault::new(
            format!("keeps next to nothing: files of up to {segment} are kept or removed as a whole"),
            format!("give at least \"{segment}\", or lower `max_segment_size`"),
        );
        section.warning("retain_size", fault);
    }
    Some(bytes_max)
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
                    "is too small: a record may take {record}, and there must be room for {SEGMENTS_MIN}"
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
