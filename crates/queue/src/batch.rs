//! What goes in and what comes out: sequences, what is known of a batch, frames read back.

use std::fmt;

use bytes::Bytes;

/// A batch's number in its queue.
///
/// The first batch of a fresh queue is 1. Numbers rise by one from batch to batch and are never
/// used for two batches that became durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The sequence of the first batch of a fresh queue.
    pub const FIRST: Sequence = Sequence(1);

    /// The sequence after this one.
    #[must_use]
    pub fn next(self) -> Sequence {
        Sequence(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the caller knows of a batch; stored in the frame header, so that counts and times can be
/// read without opening the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchInfo {
    /// What the payload is. The meaning belongs to the caller; the queue only keeps it.
    pub kind: u8,
    /// Events in the batch.
    pub events: u32,
    /// Records that the batch will become.
    pub records: u32,
    /// Bytes of the events before they were compressed.
    pub raw_bytes: u64,
    /// Time of the oldest event, in milliseconds since the Unix epoch.
    pub first_time_ms: i64,
    /// Time of the newest event, in milliseconds since the Unix epoch.
    pub last_time_ms: i64,
    /// When the batch was handed to the queue, in milliseconds since the Unix epoch.
    pub appended_ms: i64,
}

/// A batch read back from the queue; both of its checksums were right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The batch's number.
    pub sequence: Sequence,
    /// What was handed in with it.
    pub info: BatchInfo,
    /// The payload: all parts given to `append`, one after the other.
    pub payload: Bytes,
}

/// The answer of a commit: every batch below `upto` survives a crash.
#[must_use = "inputs may be released only for what is durable"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable {
    /// The first sequence that is not durable yet (exclusive end).
    pub upto: Sequence,
}
