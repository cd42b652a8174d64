//! Numbers for metrics and status.

use crate::batch::Sequence;

/// What the queue holds. *Pending* is what is durable and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The first sequence that is not acknowledged (exclusive end of what is delivered).
    pub acked: Sequence,
    /// The first sequence that is not durable (exclusive end of what can be read).
    pub durable: Sequence,
    /// Batches pending.
    pub batches: u64,
    /// Events in the pending batches.
    pub events: u64,
    /// Payload bytes of the pending batches, as they will be sent.
    pub payload_bytes: u64,
    /// Bytes of the pending events before compression.
    pub raw_bytes: u64,
    /// Batches appended and not committed.
    pub staged_batches: u64,
    /// Bytes of the batches appended and not committed.
    pub staged_bytes: u64,
    /// Segments on disk.
    pub segments: u64,
    /// What all files of the queue occupy, as the file system counts it.
    pub disk_bytes: u64,
    /// What is set aside in `quarantine/` occupies; part of `disk_bytes`, and never given back by
    /// the queue.
    pub quarantine_bytes: u64,
    /// Time of the oldest pending event, in milliseconds since the Unix epoch.
    pub oldest_time_ms: Option<i64>,
    /// When the oldest pending batch was appended, in milliseconds since the Unix epoch.
    pub oldest_appended_ms: Option<i64>,
    /// Damaged spans found since the queue was opened.
    pub damaged_spans: u64,
    /// Batches lost in damaged spans, found since the queue was opened.
    pub damaged_batches: u64,
    /// Bytes in damaged spans, found since the queue was opened.
    pub damaged_bytes: u64,
    /// Batches that are gone without a trace (missing segments), found at the opening.
    pub missing_batches: u64,
    /// Segments given up after a failed write or sync since the queue was opened.
    pub poisoned_segments: u64,
}
