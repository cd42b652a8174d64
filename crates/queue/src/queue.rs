//! The queue: the only owner of mutable state.

use std::{collections::VecDeque, io, sync::Arc};

use bytes::Bytes;

use crate::{
    batch::{BatchInfo, Durable, Sequence},
    catalog::Catalog,
    consumer::Consumer,
    error::{AppendError, CloseError, FullReason, OpenError},
    format::{FRAME_HEADER_LEN, FRAMES_AT, PAYLOAD_BYTES_MAX, SEAL_LEN, SEQUENCE_MAX},
    open,
    options::Options,
    pack,
    reader::Reader,
    recovery::Recovery,
    segment::tail::{Staged, Tail},
    space::{self, Demand},
    storage::Storage,
    summary::Weight,
    view::View,
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
    /// How many of the staged batches are written to the tail, and not durable yet.
    pub(crate) written: usize,
    /// What those take in the segment.
    pub(crate) written_bytes: u64,
    /// What the staged batches take in a segment.
    pub(crate) staged_bytes: u64,
    /// The queue's own consumer, then the named ones.
    pub(crate) consumers: Vec<Consumer<S>>,
    pub(crate) next_slot: u32,
    /// What everything durable amounts to, since the queue began.
    pub(crate) total: Weight,
    pub(crate) other: OtherBytes,
    pub(crate) catalog: Catalog,
    pub(crate) missing_batches: u64,
    pub(crate) poisoned_segments: u64,
}

/// What is on disk beside the segments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OtherBytes {
    /// Lock and cursors; these do not grow.
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
    /// copied, and end up one after the other on disk; packed, if the queue packs and it helps.
    ///
    /// Nothing is written yet: the batch is durable only after [`Queue::commit`].
    pub fn append(&mut self, info: BatchInfo, payload: &[Bytes]) -> Result<Sequence, AppendError> {
        let bytes = payload.iter().fold(0u64, |sum, part| sum.saturating_add(part.len() as u64));
        let around = FRAMES_AT + FRAME_HEADER_LEN as u64 + SEAL_LEN as u64;
        let bytes_max = u64::from(PAYLOAD_BYTES_MAX).min(self.options.size_bytes_max.saturating_sub(around));
        let batch_len = match u32::try_from(bytes) {
            Ok(len) if bytes <= bytes_max => len,
            _ => return Err(AppendError::TooLarge { bytes, bytes_max }),
        };
        if self.next_sequence() >= SEQUENCE_MAX {
            return Err(AppendError::UsedUp);
        }
        let batch = self.stage(info, payload, batch_len);
        let staged_bytes = self.staged_bytes + batch.frame_len();
        if !self.staged.is_empty() && staged_bytes > self.options.staged_bytes_max {
            return Err(AppendError::Full(FullReason::Staged));
        }
        self.check_room(staged_bytes - self.written_bytes, batch.frame_len()).map_err(|why| match why {
            NoRoom::Full(reason) => AppendError::Full(reason),
            NoRoom::Unknown(error) => AppendError::Failed(error),
        })?;
        let sequence = batch.sequence;
        self.staged.push_back(batch);
        self.staged_bytes = staged_bytes;
        Ok(Sequence(sequence))
    }

    fn stage(&self, info: BatchInfo, payload: &[Bytes], batch_len: u32) -> Staged {
        let packed = self.options.pack.and_then(|level| pack::pack(payload, level));
        let unpacked_len = packed.is_some().then_some(batch_len);
        let (payload_len, parts) = match packed {
            Some(packed) => (packed.len() as u32, vec![packed]),
            None => (batch_len, payload.to_vec()),
        };
        let mut hasher = crc32fast::Hasher::new();
        parts.iter().for_each(|part| hasher.update(part));
        let sequence = self.next_sequence();
        Staged { sequence, info, parts, payload_len, payload_crc: hasher.finalize(), unpacked_len }
    }

    /// A reader that starts at `from`, or at the oldest batch still there if that is later.
    ///
    /// Readers never see what is not durable, run beside commits, and may live on other threads.
    pub fn reader(&self, from: Sequence) -> Reader<S> {
        self.reader_for(0, from)
    }

    pub(crate) fn reader_for(&self, consumer: usize, from: Sequence) -> Reader<S> {
        let (view, slot) = (Arc::clone(&self.view), self.consumers[consumer].slot);
        Reader::new(self.storage.clone(), view, slot, self.queue_id, from.0, self.options.read_ahead_bytes)
    }

    /// The first sequence that is not durable: everything below it can be read.
    pub fn durable(&self) -> Sequence {
        Sequence(self.view.lock().durable)
    }

    /// Commits what is staged, writes the cursor, seals the tail and leaves everything so that
    /// the next opening finds nothing to do.
    ///
    /// Whatever fails, the rest is still done; the first error is given.
    pub fn close(mut self, now_ms: i64) -> Result<(), CloseError> {
        let committed = self.commit();
        let sealed = match self.tail.take() {
            None => Ok(()),
            // Something in it is not durable: the next opening finds out what there is of it.
            Some(_) if self.written > 0 => Ok(()),
            Some(tail) if tail.end() == tail.base() => tail.shrink(),
            Some(tail) => self.seal(tail),
        };
        let checkpointed = self.checkpoint(now_ms);
        let _durable: Durable = committed?;
        sealed?;
        checkpointed?;
        Ok(())
    }

    fn next_sequence(&self) -> u64 {
        self.staged.back().map_or_else(|| self.durable().0, |last| last.sequence + 1)
    }

    /// The space of a segment that has to hold a frame of `frame_len` bytes.
    pub(crate) fn capacity_for(&self, frame_len: u64) -> u64 {
        let alone = FRAMES_AT + frame_len + SEAL_LEN as u64;
        space::segment_bytes(&self.options).max(alone.next_multiple_of(4096))
    }

    /// Whether `bytes` of frames, the largest of them `frame_len`, could be written.
    fn check_room(&mut self, bytes: u64, frame_len: u64) -> Result<(), NoRoom> {
        if self.tail.as_ref().is_some_and(|tail| tail.fits(bytes)) {
            return Ok(());
        }
        let capacity = self.capacity_for(frame_len);
        // What is staged is split over segments; in each, a frame's worth may stay empty.
        let usable = capacity - FRAMES_AT - SEAL_LEN as u64;
        let segments = if bytes <= usable { 1 } else { bytes.div_ceil((usable / 2).max(1)) };
        self.make_room(capacity.saturating_mul(segments))
    }

    /// Sees to it that `wanted_bytes` may be taken: what is kept although it was delivered goes, oldest first.
    pub(crate) fn make_room(&mut self, wanted_bytes: u64) -> Result<(), NoRoom> {
        loop {
            let full = match self.admit(wanted_bytes) {
                Err(NoRoom::Full(full)) => full,
                admitted => return admitted,
            };
            if !self.release_oldest().map_err(NoRoom::Unknown)? {
                return Err(NoRoom::Full(full));
            }
        }
    }

    fn admit(&self, wanted_bytes: u64) -> Result<(), NoRoom> {
        let free_bytes = self.storage.free_bytes().map_err(NoRoom::Unknown)?;
        let demand = Demand { used_bytes: self.disk_bytes(), wanted_bytes, free_bytes };
        space::admit(demand, &self.options).map_err(NoRoom::Full)
    }
}

impl<S: Storage> Drop for Queue<S> {
    /// Readers may live on; the queue is free for another owner.
    fn drop(&mut self) {
        self.storage.unlock();
    }
}

/// Why there is no room.
pub(crate) enum NoRoom {
    Full(FullReason),
    Unknown(io::Error),
}
