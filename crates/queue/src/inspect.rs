//! A read-only walk over a queue: no lock is taken and nothing is written, so it works beside a
//! running owner, on a dead machine's disk and on a read-only file system.

pub mod salvage;
pub(crate) mod segment;

use std::{
    collections::{BTreeSet, VecDeque},
    io,
};

use segment::{Found, Known, Opened};

use crate::{
    batch::{Frame, Losses, Sequence},
    checkpoint::{self, CheckpointError},
    cursor::{self, Cursor},
    format::segment_base,
    named, quarantine,
    segment::{look::look, walk::Span},
    storage::{Storage, StorageFile},
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
    /// The low-water mark of the newest valid cursor: what was durable of it when it was written.
    pub acked: Option<Sequence>,
    /// The low-water marks of the named consumers, by name.
    pub consumers: Vec<(String, Sequence)>,
    /// What was given up by policy since the queue began, by the newest valid cursor.
    pub losses: Losses,
    /// Batches on disk that are not acknowledged, by the segments' summaries.
    pub pending_batches: u64,
    /// Files in `quarantine/`.
    pub quarantined_files: u64,
    /// Real bytes of all files of the queue.
    pub disk_bytes: u64,
}

/// Looks at the queue in `storage`.
///
/// Payloads are not read: damage in them shows in [`entries`].
pub fn overview<S: Storage>(storage: &S) -> io::Result<Overview> {
    let cursor = read_cursor(storage)?;
    let known = Known::from_cursor(cursor.as_ref());
    let acked = cursor.as_ref().map(|cursor| cursor.acked);
    let bases = list_bases(storage)?;
    let mut overview = Overview {
        segments: Vec::with_capacity(bases.len()),
        acked: acked.map(Sequence),
        consumers: read_consumers(storage)?,
        losses: cursor.map(|cursor| cursor.losses).unwrap_or_default(),
        pending_batches: 0,
        quarantined_files: storage.list(quarantine::DIRECTORY)?.len() as u64,
        disk_bytes: storage.directory_bytes("")?,
    };
    for (index, &base) in bases.iter().enumerate() {
        let next_base = bases.get(index + 1).copied();
        let Some(mut opened) = Opened::open(storage, base, next_base, known)? else { continue };
        let segment = opened.describe(acked.unwrap_or(0))?;
        let first = segment.first.0.max(acked.unwrap_or(0));
        overview.pending_batches += segment.end.0.saturating_sub(first).min(segment.batches);
        overview.segments.push(segment);
    }
    Ok(overview)
}

/// Where the queue's own consumer stands, by the newest valid cursor: what has happened since it was written is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Standing {
    /// Which queue it is; copies of it have the same id. `None` where no file says.
    pub queue_id: Option<u128>,
    /// The low-water mark: everything below is settled.
    pub acked: Sequence,
    /// What is settled above it: first sequences and exclusive ends, ascending.
    pub above: Vec<(Sequence, Sequence)>,
}

impl Standing {
    /// Whether the batch is delivered, given up or lost, so that the owner will not send it again.
    pub fn is_settled(&self, sequence: Sequence) -> bool {
        sequence < self.acked || self.above.iter().any(|&(first, end)| (first..end).contains(&sequence))
    }
}

/// Where the queue's own consumer stands.
pub fn standing<S: Storage>(storage: &S) -> io::Result<Standing> {
    if let Some(cursor) = read_cursor(storage)? {
        let above = cursor.above.iter().map(|&(first, end)| (Sequence(first), Sequence(end))).collect();
        return Ok(Standing { queue_id: Some(cursor.queue_id), acked: Sequence(cursor.acked), above });
    }
    for base in list_bases(storage)? {
        let queue_id = look(storage, base, None)?.shows.queue_id();
        if queue_id.is_some() {
            return Ok(Standing { queue_id, ..Standing::default() });
        }
    }
    Ok(Standing::default())
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
/// they are still on disk. Every checksum is verified.
///
/// Ends at the first error of the disk. Beside a running owner, the walk may end with frames that
/// are not durable yet; what is being written just now is no damage.
pub fn entries<S: Storage>(storage: S, from: Sequence) -> impl Iterator<Item = io::Result<Entry>> {
    let mut entries =
        Entries { storage, from: from.0, bases: None, known: Known::default(), current: None, failed: false };
    std::iter::from_fn(move || {
        if entries.failed {
            return None;
        }
        let next = entries.next();
        entries.failed = next.is_err();
        next.transpose()
    })
}

impl<F: StorageFile> Opened<F> {
    fn damaged(&self, span: &Span) -> Entry {
        Entry::Damaged {
            file: self.name().to_owned(),
            position: span.position,
            bytes: span.end - span.position,
            first: Sequence(span.first),
            end: Sequence(span.next),
            reason: span.reason.to_string(),
        }
    }
}

struct Entries<S: Storage> {
    storage: S,
    from: u64,
    /// Segments still to come, once they are listed.
    bases: Option<VecDeque<u64>>,
    known: Known,
    current: Option<Opened<S::File>>,
    failed: bool,
}

impl<S: Storage> Entries<S> {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(current) = &mut self.current {
                match current.next(self.from)? {
                    Some(Found::Frame(frame)) => return Ok(Some(Entry::Frame(frame))),
                    Some(Found::Damage(span)) => return Ok(Some(current.damaged(&span))),
                    None => self.current = None,
                }
            }
            let bases = match &mut self.bases {
                Some(bases) => bases,
                None => {
                    self.known = Known::from_cursor(read_cursor(&self.storage)?.as_ref());
                    self.bases.insert(list_bases(&self.storage)?.into())
                }
            };
            let Some(base) = bases.pop_front() else { return Ok(None) };
            let next_base = bases.front().copied();
            if next_base.is_none_or(|next| next > self.from) {
                self.current = Opened::open(&self.storage, base, next_base, self.known)?;
            }
        }
    }
}

/// The cursor of the queue's own consumer.
pub(crate) fn read_cursor<S: Storage>(storage: &S) -> io::Result<Option<Cursor>> {
    load_cursor(storage, cursor::NAME)
}

fn read_consumers<S: Storage>(storage: &S) -> io::Result<Vec<(String, Sequence)>> {
    let names: BTreeSet<String> =
        storage.list("")?.iter().filter_map(|file| named::name_in(file)).map(str::to_owned).collect();
    let mut consumers = Vec::with_capacity(names.len());
    for name in names {
        if let Some(cursor) = load_cursor(storage, &named::checkpoint_name(&name))? {
            consumers.push((name, Sequence(cursor.acked)));
        }
    }
    Ok(consumers)
}

fn load_cursor<S: Storage>(storage: &S, name: &str) -> io::Result<Option<Cursor>> {
    let found = checkpoint::load(storage, name).map_err(|error| match error {
        CheckpointError::Io { source, .. } => source,
        unsupported @ CheckpointError::Unsupported { .. } => {
            io::Error::new(io::ErrorKind::Unsupported, unsupported)
        }
    })?;
    Ok(found.body.and_then(|body| Cursor::decode(&body).ok()))
}

pub(crate) fn list_bases<S: Storage>(storage: &S) -> io::Result<Vec<u64>> {
    let mut bases: Vec<u64> = storage.list("")?.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}
