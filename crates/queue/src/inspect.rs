//! A read-only walk over a queue: no lock is taken and nothing is written, so it works beside a
//! running owner, on a dead machine's disk and on a read-only file system.

mod consumers;
mod find;
mod overview;
pub mod salvage;
pub(crate) mod segment;
mod verify;

use std::{collections::VecDeque, io};

pub use consumers::{Mark, Standing, marks, standing};
pub use find::{Whereabouts, find};
pub use overview::{Consumer, Overview, Segment, SegmentState, overview};
use segment::{Found, Known, Opened, Stored};
pub use verify::{Checked, Damage, Verify};

use crate::{
    batch::{BatchInfo, Frame, Sequence},
    format::segment_base,
    segment::walk::Span,
    storage::{Storage, StorageFile},
};

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
    let mut entries = Entries::new(storage, from, false);
    std::iter::from_fn(move || {
        let item = entries.step()?;
        Some(item.map(|item| match item {
            Item::Frame(stored) => Entry::Frame(stored.frame),
            Item::Damaged(entry) => entry,
        }))
    })
}

/// A batch, by its header: its payload was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Headed {
    /// The batch's number.
    pub sequence: Sequence,
    /// What was handed in with it.
    pub info: BatchInfo,
    /// Length of its payload as it was handed in.
    pub payload_bytes: u64,
}

/// Walks over the headers of all batches from `from` on, oldest first, like [`entries`] but past damage, and without
/// reading payloads: a few thousand take some milliseconds.
pub fn headers<S: Storage>(storage: S, from: Sequence) -> impl Iterator<Item = io::Result<Headed>> {
    let mut entries = Entries::new(storage, from, true);
    std::iter::from_fn(move || {
        loop {
            match entries.step()? {
                Ok(Item::Frame(Stored { frame, len, .. })) => {
                    let Frame { sequence, info, .. } = frame;
                    return Some(Ok(Headed { sequence, info, payload_bytes: len.into() }));
                }
                Ok(Item::Damaged(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
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

/// What a walk over all segments meets.
enum Item {
    Frame(Stored),
    Damaged(Entry),
}

struct Entries<S: Storage> {
    storage: S,
    from: u64,
    headers_only: bool,
    /// Segments still to come, once they are listed.
    bases: Option<VecDeque<u64>>,
    known: Known,
    current: Option<Opened<S::File>>,
    failed: bool,
}

impl<S: Storage> Entries<S> {
    fn new(storage: S, from: Sequence, headers_only: bool) -> Entries<S> {
        let (bases, known, current, failed) = (None, Known::default(), None, false);
        Entries { storage, from: from.0, headers_only, bases, known, current, failed }
    }

    /// The next item; none after an error.
    fn step(&mut self) -> Option<io::Result<Item>> {
        if self.failed {
            return None;
        }
        let next = self.next();
        self.failed = next.is_err();
        next.transpose()
    }

    fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            if let Some(current) = &mut self.current {
                match current.next(self.from)? {
                    Some(Found::Frame(stored)) => return Ok(Some(Item::Frame(stored))),
                    Some(Found::Damage(span)) => return Ok(Some(Item::Damaged(current.damaged(&span)))),
                    None => self.current = None,
                }
            }
            let bases = match &mut self.bases {
                Some(bases) => bases,
                None => {
                    self.known = consumers::known(&self.storage)?;
                    self.bases.insert(list_bases(&self.storage)?.into())
                }
            };
            let Some(base) = bases.pop_front() else { return Ok(None) };
            let next_base = bases.front().copied();
            if next_base.is_none_or(|next| next > self.from) {
                self.current = Opened::open(&self.storage, base, next_base, self.known)?;
                if let Some(current) = self.current.as_mut().filter(|_| self.headers_only) {
                    current.headers_only();
                }
            }
        }
    }
}

pub(crate) fn list_bases<S: Storage>(storage: &S) -> io::Result<Vec<u64>> {
    let mut bases: Vec<u64> = storage.list("")?.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}
