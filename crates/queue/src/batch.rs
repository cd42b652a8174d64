//! What goes in and what comes out: sequences, what is known of a batch, frames read back.

use std::fmt;

use bytes::Bytes;

/// A batch's number in its queue.
///
/// The first batch of a fresh queue is 1. Numbers rise by one from batch to batch and are never
/// used for two batches that became durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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

/// The answer of a write: every batch below `upto` survives the end of this process, but not that of the machine.
#[must_use = "inputs may be released only for what is written, where a loss on power failure was agreed to"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The first sequence that is not written yet (exclusive end).
    pub upto: Sequence,
}

/// A policy by which batches are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue was full, and the oldest had to make room for the newest.
    Full,
    /// They were older than they may be.
    Expired,
    /// A person has said so.
    Purged,
}

impl DropReason {
    /// All of them.
    pub const ALL: [DropReason; 3] = [DropReason::Full, DropReason::Expired, DropReason::Purged];
}

/// What a number of batches amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Batches.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Their bytes as they would have been sent.
    pub payload_bytes: u64,
    /// Bytes of their events before compression.
    pub raw_bytes: u64,
}

impl Tally {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Tally) -> Tally {
        Tally {
            batches: self.batches.saturating_add(other.batches),
            events: self.events.saturating_add(other.events),
            payload_bytes: self.payload_bytes.saturating_add(other.payload_bytes),
            raw_bytes: self.raw_bytes.saturating_add(other.raw_bytes),
        }
    }
}

/// What was given up by policy, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Because the queue was full.
    pub full: Tally,
    /// Because it was too old.
    pub expired: Tally,
    /// Because a person has said so.
    pub purged: Tally,
}

impl Losses {
    /// For one reason.
    pub fn of(&self, reason: DropReason) -> Tally {
        match reason {
            DropReason::Full => self.full,
            DropReason::Expired => self.expired,
            DropReason::Purged => self.purged,
        }
    }

    pub(crate) fn add(&mut self, reason: DropReason, tally: Tally) {
        let sum = match reason {
            DropReason::Full => &mut self.full,
            DropReason::Expired => &mut self.expired,
            DropReason::Purged => &mut self.purged,
        };
        *sum = sum.plus(tally);
    }
}
