//! A read-only walk over a queue: no lock is taken and nothing is written, so it works beside a
//! running owner, on a dead machine's disk and on a read-only file system.

use std::io;

use crate::{
    batch::{Frame, Sequence},
    storage::Storage,
};

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// Being appended to (or left behind without a seal by a crash).
    Active,
    /// Closed for good.
    Sealed,
    /// Every batch in it is acknowledged.
    Delivered,
    /// Part of it cannot be read.
    Damaged,
}

/// One segment, as far as can be told without reading every payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// The file, relative to the queue's directory.
    pub file: String,
    /// Its first sequence.
    pub first: Sequence,
    /// The sequence after its last one (equal to `first` when it is empty).
    pub end: Sequence,
    /// Batches that can be read, by their headers.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Payload bytes in them.
    pub payload_bytes: u64,
    /// Bytes of their events before compression.
    pub raw_bytes: u64,
    /// Real bytes on disk.
    pub disk_bytes: u64,
    /// Time of the oldest event, in milliseconds since the Unix epoch.
    pub first_time_ms: Option<i64>,
    /// Time of the newest event, in milliseconds since the Unix epoch.
    pub last_time_ms: Option<i64>,
    /// What it is.
    pub state: SegmentState,
}

/// A look at a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overview {
    /// The segments, oldest first.
    pub segments: Vec<Segment>,
    /// The low-water mark of the newest valid cursor.
    pub acked: Option<Sequence>,
    /// Files in `quarantine/`.
    pub quarantined_files: u64,
    /// Real bytes of all files of the queue.
    pub disk_bytes: u64,
}

/// Looks at the queue in `storage`.
pub fn overview<S: Storage>(storage: &S) -> io::Result<Overview> {
    todo!("{:?}", storage.free_bytes())
}

/// What a walk over the frames meets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A good frame.
    Frame(Frame),
    /// Bytes that are no good frame.
    Damaged {
        /// The segment.
        file: String,
        /// Where the bytes begin.
        position: u64,
        /// How many they are.
        bytes: u64,
        /// Sequences that should be there, from …
        first: Sequence,
        /// … up to and without this one.
        end: Sequence,
        /// What is wrong.
        reason: String,
    },
}

/// Walks over all frames from `from` on, oldest first, acknowledged ones included as long as
/// they are still on disk.
pub fn entries<S: Storage>(storage: S, from: Sequence) -> impl Iterator<Item = io::Result<Entry>> {
    std::iter::once_with(move || todo!("{:?} {from}", storage.free_bytes()))
}
