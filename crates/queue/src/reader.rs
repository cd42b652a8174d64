//! Reading forward from a sequence.

use std::{io, sync::Arc};

use crate::{
    batch::{Frame, Sequence},
    check,
    error::ReadError,
    format::segment_name,
    segment::walk::{Bounds, Step, Walk},
    storage::Storage,
    view::{Place, Read, Slot, View},
};

/// Reads durable batches in order. Independent of the queue it came from: it may live on another
/// thread, and it reads while the queue writes.
#[derive(Debug)]
pub struct Reader<S: Storage> {
    storage: S,
    view: Arc<View>,
    slot: Slot,
    queue_id: u128,
    next: u64,
    walk: Walk,
    current: Option<Current<S::File>>,
}

/// The segment being read. Its file stays readable after it was unlinked.
#[derive(Debug)]
struct Current<F> {
    file: F,
    base: u64,
    /// Tells this file from another one that took its name.
    salt: u32,
}

impl<S: Storage> Reader<S> {
    pub(crate) fn new(
        storage: S,
        view: Arc<View>,
        slot: Slot,
        queue_id: u128,
        from: u64,
        read_ahead: u32,
    ) -> Reader<S> {
        let walk = Walk::new(from, 0, read_ahead);
        Reader { storage, view, slot, queue_id, next: from, walk, current: None }
    }

    /// The next batch, or `None` when everything durable has been read (ask again after the next
    /// commit).
    ///
    /// Damaged frames are skipped: they are counted, the queue copies their bytes into
    /// `quarantine/` at its next checkpoint, and treats them as acknowledged, since nobody can
    /// ever deliver them.
    ///
    /// A frame shares the reader's buffer, which is used again once its frames are dropped.
    #[expect(clippy::should_implement_trait, reason = "`None` is not the end, only for now")]
    pub fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        if let Some(fresh) = self.view.take_fresh(self.slot, self.next) {
            let (sequence, info) = (Sequence(fresh.sequence), fresh.info);
            self.next = fresh.sequence + 1;
            return Ok(Some(Frame { sequence, info, payload: fresh.payload() }));
        }
        while let Some(place) = self.view.place(self.slot, self.next) {
            self.next = place.sequence;
            if let Some(unchecked) = place.unchecked {
                check::check(&self.storage, &self.view, self.queue_id, unchecked)?;
                continue;
            }
            let Some(content) = place.content else {
                self.next = place.end; // Damaged as a whole; that was noted when it was found.
                continue;
            };
            let step = self.step(place, content).map_err(|source| ReadError::Io {
                file: segment_name(Sequence(place.base)),
                sequence: Sequence(self.next),
                source,
            })?;
            match step {
                None => {}
                Some(Step::Frame { header, payload, .. }) if header.sequence >= self.next => {
                    assert!(header.sequence < place.end, "only what is durable is read");
                    self.next = header.sequence + 1;
                    let read = Read::new(&header.info, header.batch_len());
                    if !self.view.note_read(self.slot, header.sequence, read) {
                        continue; // Given up between the look-up and now.
                    }
                    let sequence = Sequence(header.sequence);
                    return Ok(Some(Frame { sequence, info: header.info, payload }));
                }
                Some(Step::Frame { .. }) => {}
                Some(Step::Bad(span)) => {
                    check::report(&self.view, place.base, &span);
                    self.next = self.next.max(span.next);
                }
                // The walk knows where the segment ends, and has reached it.
                Some(Step::Seal | Step::Zeros { .. } | Step::End) => self.next = place.end,
            }
        }
        Ok(None)
    }

    /// The sequence that `next` will look for.
    pub fn position(&self) -> Sequence {
        Sequence(self.next)
    }

    /// One step in the segment of `place`; `None` if the segment is gone and another place has to
    /// be asked for.
    fn step(&mut self, place: Place, content: (u32, u64)) -> io::Result<Option<Step>> {
        let (salt, data_len) = content;
        let same = |current: &Current<_>| (current.base, current.salt) == (place.base, salt);
        if !self.current.as_ref().is_some_and(same) || self.walk.expected() > self.next {
            let file = match self.storage.open(&segment_name(Sequence(place.base))) {
                // Reclaimed between the look-up and now: the next look-up says where to go on.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_gone(place) => {
                    return Ok(None);
                }
                file => file?,
            };
            self.walk.restart(place.base, salt);
            self.current = Some(Current { file, base: place.base, salt });
        }
        let Some(current) = &self.current else {
            return Ok(None);
        };
        self.walk.read_payloads(self.walk.expected() >= self.next);
        let bounds = Bounds { limit: data_len, end: Some(place.end) };
        self.walk.step(&current.file, bounds).map(Some)
    }

    /// Whether the view does not lead to this segment any more.
    fn is_gone(&self, place: Place) -> bool {
        let same =
            |now: Place| (now.base, now.content, now.sequence) == (place.base, place.content, place.sequence);
        !self.view.place(self.slot, self.next).is_some_and(same)
    }
}
