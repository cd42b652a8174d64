//! A read-only walk over a queue: no lock is taken and nothing is written, so it works beside a
//! running owner, on a dead machine's disk and on a read-only file system.

use std::{collections::VecDeque, io};

use crate::{
    batch::{Frame, Sequence},
    checkpoint::{self, CheckpointError},
    cursor::{self, Cursor},
    format::{VERSION, segment_base, segment_name},
    quarantine,
    recovery::verdict::Header,
    segment::{
        look::{Look, Shows, look},
        walk::{Bounds, Reason, Span, Step, Walk},
    },
    storage::{Storage, StorageFile},
    summary::Summary,
};

const READ_AHEAD: u32 = 1 << 20;

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
    let acked = cursor.as_ref().map(|cursor| cursor.acked);
    let bases = list_bases(storage)?;
    let mut overview = Overview {
        segments: Vec::with_capacity(bases.len()),
        acked: acked.map(Sequence),
        pending_batches: 0,
        quarantined_files: storage.list(quarantine::DIRECTORY)?.len() as u64,
        disk_bytes: storage.directory_bytes("")?,
    };
    for (index, &base) in bases.iter().enumerate() {
        let next_base = bases.get(index + 1).copied();
        let Some(mut opened) = Opened::open(storage, base, next_base, cursor.as_ref())? else { continue };
        let segment = opened.describe(acked.unwrap_or(0))?;
        let first = segment.first.0.max(acked.unwrap_or(0));
        overview.pending_batches += segment.end.0.saturating_sub(first).min(segment.batches);
        overview.segments.push(segment);
    }
    Ok(overview)
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
        Entries { storage, from: from.0, bases: None, cursor: None, current: None, failed: false };
    std::iter::from_fn(move || {
        if entries.failed {
            return None;
        }
        let next = entries.next();
        entries.failed = next.is_err();
        next.transpose()
    })
}

struct Entries<S: Storage> {
    storage: S,
    from: u64,
    /// Segments still to come, once they are listed.
    bases: Option<VecDeque<u64>>,
    cursor: Option<Cursor>,
    current: Option<Opened<S::File>>,
    failed: bool,
}

impl<S: Storage> Entries<S> {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(current) = &mut self.current {
                match current.next(self.from)? {
                    Some(entry) => return Ok(Some(entry)),
                    None => self.current = None,
                }
            }
            let bases = match &mut self.bases {
                Some(bases) => bases,
                None => {
                    self.cursor = read_cursor(&self.storage)?;
                    self.bases.insert(list_bases(&self.storage)?.into())
                }
            };
            let Some(base) = bases.pop_front() else { return Ok(None) };
            let next_base = bases.front().copied();
            if next_base.is_none_or(|next| next > self.from) {
                self.current = Opened::open(&self.storage, base, next_base, self.cursor.as_ref())?;
            }
        }
    }
}

/// A segment that is being looked at.
struct Opened<F> {
    file: F,
    name: String,
    base: u64,
    next_base: Option<u64>,
    /// What the cursor proves to have been durable.
    durable: u64,
    len: u64,
    content: Content,
}

enum Content {
    Sealed {
        walk: Walk,
        bounds: Bounds,
        end: u64,
        summary: Summary,
    },
    Open {
        walk: Walk,
        bounds: Bounds,
    },
    /// Nothing in it can be checked.
    Opaque {
        told: bool,
    },
    /// In the making, or over.
    Empty,
}

impl<F: StorageFile> Opened<F> {
    /// Opens a segment; `None` if it has gone meanwhile.
    fn open<S: Storage<File = F>>(
        storage: &S,
        base: u64,
        next_base: Option<u64>,
        cursor: Option<&Cursor>,
    ) -> io::Result<Option<Opened<F>>> {
        let name = segment_name(Sequence(base));
        let Look { file, len, shows, .. } = match look(storage, base, cursor.map(|cursor| cursor.queue_id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            look => look?,
        };
        let content = match shows {
            Shows::Sealed { end, content, .. } => {
                let walk = Walk::new(base, content.salt, READ_AHEAD);
                let bounds = Bounds { limit: content.data_len, end: Some(next_base.unwrap_or(end)) };
                Content::Sealed { walk, bounds, end, summary: content.summary }
            }
            Shows::Open { header } => {
                let walk = Walk::new(base, header.salt, READ_AHEAD);
                Content::Open { walk, bounds: Bounds { limit: len, end: next_base } }
            }
            Shows::Bad(Header::Unknown(version)) => {
                let why = format!("{name} has format version {version}, this program knows up to {VERSION}");
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            Shows::Bad(Header::Incomplete) if next_base.is_none() => Content::Empty,
            Shows::Bad(_) => Content::Opaque { told: false },
        };
        let durable = cursor.map_or(0, |cursor| cursor.durable);
        Ok(Some(Opened { file, name, base, next_base, durable, len, content }))
    }

    /// The next entry from `from` on.
    fn next(&mut self, from: u64) -> io::Result<Option<Entry>> {
        loop {
            let step = match &mut self.content {
                Content::Empty | Content::Opaque { told: true } => return Ok(None),
                Content::Opaque { told } => {
                    *told = true;
                    let first = self.base;
                    let next = self.next_base.unwrap_or(first);
                    let reason = Reason::Header;
                    return Ok(Some(self.damaged(Span { position: 0, end: self.len, first, next, reason })));
                }
                Content::Sealed { walk, bounds, .. } | Content::Open { walk, bounds } => {
                    walk.read_payloads(walk.expected() >= from);
                    walk.step(&self.file, *bounds)?
                }
            };
            match step {
                Step::Frame { header, payload, .. } if header.sequence >= from => {
                    let sequence = Sequence(header.sequence);
                    return Ok(Some(Entry::Frame(Frame { sequence, info: header.info, payload })));
                }
                Step::Frame { .. } => {}
                Step::Bad(span) if !self.is_moving(&span) => return Ok(Some(self.damaged(span))),
                Step::Bad(_) | Step::Seal | Step::Zeros { .. } | Step::End => self.content = Content::Empty,
            }
        }
    }

    /// Whether this may be the end of a commit that is being written, or was interrupted.
    fn is_moving(&self, span: &Span) -> bool {
        self.next_base.is_none()
            && matches!(self.content, Content::Open { .. })
            && span.end >= self.len
            && span.first >= self.durable
    }

    fn damaged(&self, span: Span) -> Entry {
        Entry::Damaged {
            file: self.name.clone(),
            position: span.position,
            bytes: span.end - span.position,
            first: Sequence(span.first),
            end: Sequence(span.next),
            reason: span.reason.to_string(),
        }
    }

    fn describe(&mut self, acked: u64) -> io::Result<Segment> {
        let mut state = SegmentState::Active;
        let mut end = self.base;
        let mut summary = Summary::default();
        match &mut self.content {
            Content::Empty => {}
            Content::Opaque { .. } => state = SegmentState::Damaged,
            Content::Sealed { end: sealed_end, summary: sealed, .. } => {
                state = SegmentState::Sealed;
                end = *sealed_end;
                summary = *sealed;
            }
            Content::Open { walk, bounds } => {
                let bounds = *bounds;
                walk.read_payloads(false);
                while let Content::Open { walk, .. } = &mut self.content {
                    match walk.step(&self.file, bounds)? {
                        Step::Frame { header, .. } => {
                            summary.add(&header.info, header.batch_len());
                            end = header.sequence + 1;
                        }
                        Step::Bad(span) if self.is_moving(&span) => break,
                        Step::Bad(span) => {
                            state = SegmentState::Damaged;
                            end = span.next;
                        }
                        Step::Seal | Step::Zeros { .. } | Step::End => break,
                    }
                }
            }
        }
        if end <= acked && end > self.base && state != SegmentState::Damaged {
            state = SegmentState::Delivered;
        }
        let time = |ms| (summary.batches > 0).then_some(ms);
        Ok(Segment {
            file: self.name.clone(),
            first: Sequence(self.base),
            end: Sequence(end),
            batches: summary.batches,
            events: summary.weight.events,
            payload_bytes: summary.weight.payload_bytes,
            raw_bytes: summary.weight.raw_bytes,
            disk_bytes: self.file.allocated_bytes()?,
            first_time_ms: time(summary.first_time_ms),
            last_time_ms: time(summary.last_time_ms),
            state,
        })
    }
}

fn read_cursor<S: Storage>(storage: &S) -> io::Result<Option<Cursor>> {
    let found = checkpoint::load(storage, cursor::NAME).map_err(|error| match error {
        CheckpointError::Io { source, .. } => source,
        unsupported @ CheckpointError::Unsupported { .. } => {
            io::Error::new(io::ErrorKind::Unsupported, unsupported)
        }
    })?;
    Ok(found.body.and_then(|body| Cursor::decode(&body).ok()))
}

fn list_bases<S: Storage>(storage: &S) -> io::Result<Vec<u64>> {
    let mut bases: Vec<u64> = storage.list("")?.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}
