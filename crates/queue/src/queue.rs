//! The queue: the only owner of mutable state.

use std::{collections::VecDeque, io, mem, sync::Arc};

use bytes::Bytes;

use crate::{
    ack::AckWindow,
    batch::{BatchInfo, Durable, Sequence},
    catalog::Catalog,
    checkpoint::Checkpoint,
    cursor::{Cursor, Range},
    error::{AppendError, CloseError, CommitError, FullReason, OpenError},
    format::{FRAME_HEADER_LEN, FRAMES_AT, PAYLOAD_BYTES_MAX, SEAL_LEN, SEQUENCE_MAX, SegmentHeader, Totals},
    open,
    options::Options,
    reader::Reader,
    recovery::Recovery,
    segment::{
        create::{self, CreateError},
        is_no_space,
        look::Content,
        tail::{Staged, Tail, WriteError},
    },
    space::{self, Demand},
    storage::{Storage, StorageFile},
    summary::Weight,
    view::{Segment, View},
};

/// A durable queue. One process owns it, one thread uses it; readers are independent.
#[derive(Debug)]
pub struct Queue<S: Storage> {
    pub(crate) storage: S,
    pub(crate) options: Options,
    pub(crate) queue_id: u128,
    pub(crate) view: Arc<View>,
    /// Made when the first batch needs it, so that a full disk does not keep a queue from being
    /// opened and emptied; gone after a failed write.
    pub(crate) tail: Option<Tail<S::File>>,
    pub(crate) staged: VecDeque<Staged>,
    /// What the staged batches take in a segment.
    pub(crate) staged_bytes: u64,
    pub(crate) acks: AckWindow,
    /// What everything durable amounts to, since the queue began.
    pub(crate) total: Weight,
    /// What everything below the low-water mark amounts to, since the queue began.
    pub(crate) delivered: Weight,
    pub(crate) cursor: Checkpoint<S>,
    /// The cursor as it is on disk, with the ranges above it.
    pub(crate) saved: Option<(Cursor, Vec<Range>)>,
    pub(crate) other: OtherBytes,
    pub(crate) catalog: Catalog,
    pub(crate) missing_batches: u64,
    pub(crate) poisoned_segments: u64,
}

/// What is on disk beside the segments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OtherBytes {
    /// Lock and cursor; they do not grow.
    pub(crate) fixed: u64,
    pub(crate) quarantine: u64,
    pub(crate) catalog: u64,
    /// A segment that could not be made, nor removed; the next one takes its place.
    pub(crate) unfinished: u64,
}

impl<S: Storage> Queue<S> {
    /// Opens the queue in `storage`, or makes a new one, and recovers what a crash left.
    pub fn open(storage: S, options: Options) -> Result<(Queue<S>, Recovery), OpenError> {
        open::open(storage, options)
    }

    /// Stages a batch for the next commit. The parts are kept (cheap clones of `Bytes`), not
    /// copied, and end up one after the other on disk.
    ///
    /// Nothing is written yet: the batch is durable only after [`Queue::commit`].
    pub fn append(&mut self, info: BatchInfo, payload: &[Bytes]) -> Result<Sequence, AppendError> {
        let bytes = payload.iter().fold(0u64, |sum, part| sum.saturating_add(part.len() as u64));
        let around = FRAMES_AT + FRAME_HEADER_LEN as u64 + SEAL_LEN as u64;
        let bytes_max = u64::from(PAYLOAD_BYTES_MAX).min(self.options.size_bytes_max.saturating_sub(around));
        let payload_len = match u32::try_from(bytes) {
            Ok(len) if bytes <= bytes_max => len,
            _ => return Err(AppendError::TooLarge { bytes, bytes_max }),
        };
        let frame_len = FRAME_HEADER_LEN as u64 + bytes;
        let staged_bytes = self.staged_bytes + frame_len;
        if !self.staged.is_empty() && staged_bytes > self.options.staged_bytes_max {
            return Err(AppendError::Full(FullReason::Staged));
        }
        self.check_room(staged_bytes, frame_len).map_err(|why| match why {
            NoRoom::Full(reason) => AppendError::Full(reason),
            NoRoom::Unknown(error) => AppendError::Failed(error),
        })?;

        let mut hasher = crc32fast::Hasher::new();
        payload.iter().for_each(|part| hasher.update(part));
        let sequence = self.next_sequence();
        assert!(sequence < SEQUENCE_MAX, "sequences are used up");
        self.staged.push_back(Staged {
            sequence,
            info,
            parts: payload.to_vec(),
            payload_len,
            payload_crc: hasher.finalize(),
        });
        self.staged_bytes = staged_bytes;
        Ok(Sequence(sequence))
    }

    /// Makes everything staged durable: one write and one sync, unless a segment ends.
    ///
    /// When a write or a sync fails, the segment is given up for good and what was staged is
    /// written to a new one, once. The system call that failed is never repeated on its file.
    pub fn commit(&mut self) -> Result<Durable, CommitError> {
        let mut failures = 0;
        while !self.staged.is_empty() {
            let count = self.prepare_group()?;
            let durable = self.durable().0;
            let tail = self.tail.as_mut().expect("a group is prepared for a tail");
            match tail.append(self.staged.iter().take(count), durable) {
                Ok(()) => self.publish(count),
                Err(WriteError::NoSpace) => return Err(CommitError::Full(FullReason::NoSpace)),
                Err(WriteError::Broken(error)) => {
                    tracing::error!(
                        %error,
                        segment = tail.base(),
                        "a write to the queue failed: the segment is given up, a new one is begun"
                    );
                    self.poison();
                    failures += 1;
                    if failures > 1 {
                        return Err(CommitError::Failed(error));
                    }
                }
            }
        }
        Ok(Durable { upto: self.durable() })
    }

    /// A reader that starts at `from`, or at the oldest batch still there if that is later.
    ///
    /// Readers never see what is not durable, run beside commits, and may live on other threads.
    pub fn reader(&self, from: Sequence) -> Reader<S> {
        let view = Arc::clone(&self.view);
        Reader::new(self.storage.clone(), view, self.queue_id, from.0, self.options.read_ahead_bytes)
    }

    /// The first sequence that is not durable: everything below it can be read.
    pub fn durable(&self) -> Sequence {
        Sequence(self.view.lock().durable)
    }

    /// Commits what is staged, writes the cursor, seals the tail and leaves everything so that
    /// the next opening finds nothing to do.
    ///
    /// Whatever fails, the rest is still done; the first error is given.
    pub fn close(mut self) -> Result<(), CloseError> {
        let committed = self.commit();
        let sealed = match self.tail.take() {
            None => Ok(()),
            Some(tail) if tail.end() == tail.base() => tail.shrink(),
            Some(tail) => self.seal(tail),
        };
        let checkpointed = self.checkpoint();
        let _durable: Durable = committed?;
        sealed?;
        checkpointed?;
        Ok(())
    }

    fn next_sequence(&self) -> u64 {
        self.staged.back().map_or_else(|| self.durable().0, |last| last.sequence + 1)
    }

    /// The space of a segment that has to hold a frame of `frame_len` bytes.
    fn capacity_for(&self, frame_len: u64) -> u64 {
        let alone = FRAMES_AT + frame_len + SEAL_LEN as u64;
        space::segment_bytes(&self.options).max(alone.next_multiple_of(4096))
    }

    /// Whether `bytes` of frames, the largest of them `frame_len`, could be written.
    fn check_room(&self, bytes: u64, frame_len: u64) -> Result<(), NoRoom> {
        if self.tail.as_ref().is_some_and(|tail| tail.fits(bytes)) {
            return Ok(());
        }
        let capacity = self.capacity_for(frame_len);
        // What is staged is split over segments; in each, a frame's worth may stay empty.
        let usable = capacity - FRAMES_AT - SEAL_LEN as u64;
        let segments = if bytes <= usable { 1 } else { bytes.div_ceil((usable / 2).max(1)) };
        self.admit(capacity.saturating_mul(segments))
    }

    fn admit(&self, wanted_bytes: u64) -> Result<(), NoRoom> {
        let free_bytes = self.storage.free_bytes().map_err(NoRoom::Unknown)?;
        let demand = Demand { used_bytes: self.disk_bytes(), wanted_bytes, free_bytes };
        space::admit(demand, &self.options).map_err(NoRoom::Full)
    }

    /// Sees to it that the tail has room for some of what is staged; gives for how many batches.
    fn prepare_group(&mut self) -> Result<usize, CommitError> {
        let total = self.staged_bytes;
        let first = self.staged.front().expect("there is something staged").frame_len();
        let whole_segment = self.capacity_for(first) - FRAMES_AT - SEAL_LEN as u64;
        let keep = match &self.tail {
            None => false,
            // A group is split only if it is larger than a segment.
            Some(tail) => tail.fits(total) || (total > whole_segment && tail.fits(first)),
        };
        if !keep {
            self.roll(self.capacity_for(first))?;
        }
        let tail = self.tail.as_ref().expect("rolling makes a tail");
        let mut bytes = 0;
        let group = self.staged.iter().take_while(|batch| {
            bytes += batch.frame_len();
            tail.fits(bytes)
        });
        let count = group.count();
        assert!(count > 0, "a segment is made large enough for its first frame");
        Ok(count)
    }

    /// Makes a new tail, then seals the old one.
    fn roll(&mut self, capacity: u64) -> Result<(), CommitError> {
        self.admit(capacity).map_err(|why| match why {
            NoRoom::Full(reason) => CommitError::Full(reason),
            NoRoom::Unknown(error) => CommitError::Failed(error),
        })?;
        let created_ms = self.staged.front().map_or(0, |batch| batch.info.appended_ms);
        let header = SegmentHeader {
            base: self.durable().0,
            queue_id: self.queue_id,
            salt: self.storage.random() as u32,
            created_ms,
            before: self.totals(),
        };
        // Where space cannot be reserved, it will be taken all the same.
        let mut content = Content::empty(header.salt, created_ms, header.before, capacity);
        let file = match create::create(&self.storage, &header, capacity) {
            Ok(file) => file,
            Err(CreateError { error, named, left }) => {
                self.other.unfinished = if left { capacity } else { 0 };
                if named {
                    // IMPORTANT: recovery ignores what an earlier segment holds from this base
                    // on, so the old tail must not grow, whatever became of the new one.
                    self.list_last(Segment::known(header.base, header.base, content));
                    self.retire_tail(None);
                }
                return Err(match is_no_space(&error) {
                    true => CommitError::Full(FullReason::NoSpace),
                    false => CommitError::Failed(error),
                });
            }
        };
        self.other.unfinished = 0;
        content.disk_bytes = file.allocated_bytes().unwrap_or(capacity).max(capacity);
        self.list_last(Segment::known(header.base, header.base, content));
        self.retire_tail(Some(Tail::new(file, header, capacity)));
        Ok(())
    }

    /// What the queue amounts to where the next segment begins.
    fn totals(&self) -> Totals {
        let state = self.view.lock();
        let last = state.segments.iter().rev().find(|segment| segment.base < state.durable);
        let file_bytes = last.and_then(|last| last.content).map_or(0, |content| {
            let before = content.before.file_bytes;
            before.saturating_add(content.file_bytes(self.tail.is_some()))
        });
        Totals { weight: self.total, file_bytes }
    }

    /// Puts a new segment behind the others.
    fn list_last(&self, segment: Segment) {
        let mut state = self.view.lock();
        if state.segments.back().is_some_and(|last| last.base == segment.base) {
            // It never held a durable frame, and its file is gone with its name.
            state.segments.pop_back();
        }
        assert!(
            state.segments.back().is_none_or(|last| last.end <= segment.base),
            "segments are in order and do not overlap"
        );
        state.segments.push_back(segment);
    }

    /// Seals the tail, if there is one, and takes another in its place.
    fn retire_tail(&mut self, new: Option<Tail<S::File>>) {
        let Some(old) = mem::replace(&mut self.tail, new) else { return };
        if let Err(error) = self.seal(old) {
            // Everything in it is durable; without its seal it is scanned at the next opening.
            tracing::warn!(%error, "a full segment of the queue could not be sealed");
        }
    }

    /// Seals a tail that is not written to any more.
    fn seal(&mut self, tail: Tail<S::File>) -> io::Result<()> {
        let base = tail.base();
        let disk_bytes = tail.seal()?;
        let mut state = self.view.lock();
        let sealed = state.segment_mut(base).and_then(|segment| {
            let content = segment.content.as_mut()?;
            content.sealed = true;
            content.disk_bytes = disk_bytes;
            Some((segment.end, *content))
        });
        drop(state);
        if let Some((end, content)) = sealed {
            self.catalog.put(base, end, &content);
        }
        Ok(())
    }

    /// Lets go of a tail whose write or sync failed: its file is closed, and what it holds beyond
    /// the durable position does not count.
    fn poison(&mut self) {
        self.tail = None;
        let last =
            self.view.lock().segments.back().and_then(|last| Some((last.base, last.end, last.content?)));
        if let Some((base, end, content)) = last {
            self.catalog.put(base, end, &content);
        }
        self.poisoned_segments += 1;
    }

    /// The first `count` staged batches are durable: readers may have them.
    fn publish(&mut self, count: usize) {
        let tail = self.tail.as_ref().expect("a group was written to a tail");
        for batch in self.staged.drain(..count) {
            self.total = self.total.plus(Weight::of(&batch.info, batch.payload_len));
        }
        self.staged_bytes = self.staged.iter().map(Staged::frame_len).sum();
        let mut state = self.view.lock();
        assert_eq!(tail.end(), state.durable + count as u64, "everything written is published");
        state.durable = tail.end();
        let segment = state.segments.back_mut().expect("the tail is in the list");
        assert_eq!(segment.base, tail.base(), "the tail is the last segment");
        segment.end = tail.end();
        let content = segment.content.as_mut().expect("the owner knows its tail");
        content.data_len = tail.len();
        content.summary = tail.summary();
    }
}

impl<S: Storage> Drop for Queue<S> {
    /// Readers may live on; the queue is free for another owner.
    fn drop(&mut self) {
        self.storage.unlock();
    }
}

/// Why there is no room.
enum NoRoom {
    Full(FullReason),
    Unknown(io::Error),
}
