//! The queue: the only owner of mutable state.

use std::{io, marker::PhantomData};

use bytes::Bytes;

use crate::{
    batch::{BatchInfo, Durable, Sequence},
    error::{AppendError, CloseError, CommitError, OpenError},
    options::Options,
    reader::Reader,
    recovery::Recovery,
    stats::Stats,
    storage::Storage,
};

/// A durable queue. One process owns it, one thread uses it; readers are independent.
pub struct Queue<S: Storage> {
    todo: PhantomData<S>,
}

/// What a checkpoint did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointOutcome {
    /// The low-water mark that is durable now.
    pub acked: Sequence,
    /// Delivered segments that were removed.
    pub reclaimed_segments: u64,
    /// Real bytes given back.
    pub reclaimed_bytes: u64,
}

impl<S: Storage> Queue<S> {
    /// Opens the queue in `storage`, or makes a new one, and recovers what a crash left.
    pub fn open(storage: S, options: Options) -> Result<(Queue<S>, Recovery), OpenError> {
        todo!("{:?}", (storage.free_bytes(), options))
    }

    /// Stages a batch for the next commit. The parts are kept (cheap clones of `Bytes`), not
    /// copied, and end up one after the other on disk.
    ///
    /// Nothing is written yet: the batch is durable only after [`Queue::commit`].
    pub fn append(&mut self, info: BatchInfo, payload: &[Bytes]) -> Result<Sequence, AppendError> {
        todo!("{:?}", (info, payload))
    }

    /// Makes everything staged durable: one write and one sync, unless a segment ends.
    pub fn commit(&mut self) -> Result<Durable, CommitError> {
        todo!()
    }

    /// A reader that starts at `from`, or at the oldest batch still there if that is later.
    ///
    /// Readers never see what is not durable, run beside commits, and may live on other threads.
    pub fn reader(&self, from: Sequence) -> Reader<S> {
        todo!("{from}")
    }

    /// Acknowledges one batch; out of order is fine. Acknowledging twice changes nothing.
    ///
    /// # Panics
    /// If `sequence` was never durable, hence never read.
    pub fn ack(&mut self, sequence: Sequence) {
        todo!("{sequence}")
    }

    /// The low-water mark: everything below it is acknowledged.
    pub fn acked(&self) -> Sequence {
        todo!()
    }

    /// The first sequence that is not durable: everything below it can be read.
    pub fn durable(&self) -> Sequence {
        todo!()
    }

    /// Makes the acknowledgements durable, then gives back the space of delivered segments.
    ///
    /// Meant to be called every second, or after some hundred acknowledgements: what was
    /// acknowledged since the last checkpoint is read again after a crash.
    pub fn checkpoint(&mut self) -> io::Result<CheckpointOutcome> {
        todo!()
    }

    /// What the queue holds right now.
    pub fn stats(&self) -> Stats {
        todo!()
    }

    /// Commits what is staged, writes the cursor, seals the tail and leaves everything so that
    /// the next opening finds nothing to do.
    pub fn close(self) -> Result<(), CloseError> {
        todo!()
    }
}
