//! Reading forward from a sequence.

use std::marker::PhantomData;

use crate::{
    batch::{Frame, Sequence},
    error::ReadError,
    storage::Storage,
};

/// Reads durable batches in order. Independent of the queue it came from: it may live on another
/// thread, and it reads while the queue writes.
pub struct Reader<S: Storage> {
    todo: PhantomData<S>,
}

impl<S: Storage> Reader<S> {
    /// The next batch, or `None` when everything durable has been read (ask again after the next
    /// commit).
    ///
    /// Damaged frames are skipped: their bytes are copied into `quarantine/`, they are counted,
    /// and the queue treats them as acknowledged, since nobody can ever deliver them.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` is not the end, only for now"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        todo!()
    }

    /// The sequence that `next` will look for.
    pub fn position(&self) -> Sequence {
        todo!()
    }
}
