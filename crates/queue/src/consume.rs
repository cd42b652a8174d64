//! Acknowledging, cursors, giving space back.

use std::{io, mem};

use crate::{
    batch::Sequence,
    catalog, check, cursor,
    error::CheckpointFailed,
    format::segment_name,
    quarantine,
    queue::Queue,
    retain::{self, Delivered},
    space::{self, Demand},
    storage::Storage,
    view::{Damage, Segment, Unchecked},
};

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
    /// Acknowledges one batch; out of order is fine. Acknowledging twice changes nothing.
    ///
    /// # Panics
    /// If `sequence` was never durable, hence never read.
    pub fn ack(&mut self, sequence: Sequence) {
        self.ack_for(0, sequence);
    }

    pub(crate) fn ack_for(&mut self, consumer: usize, sequence: Sequence) {
        assert!(sequence < self.durable(), "sequence {sequence} is acknowledged, and was never readable");
        self.consumers[consumer].ack(sequence.0);
        self.advance();
    }

    /// The low-water mark: everything below it is acknowledged.
    pub fn acked(&self) -> Sequence {
        Sequence(self.consumers[0].low())
    }

    /// What is acknowledged above the low-water mark: first sequences and exclusive ends, ascending, not touching. A
    /// checkpoint makes the first [`Queue::RANGES_SAVED_MAX`] of them durable; what is behind is read again after the
    /// queue was opened again.
    pub fn acked_above(&self) -> Vec<(Sequence, Sequence)> {
        self.consumers[0].acks.above().map(|(first, end)| (Sequence(first), Sequence(end))).collect()
    }

    /// How many ranges above the low-water mark a checkpoint saves.
    pub const RANGES_SAVED_MAX: usize = cursor::RANGES_MAX;

    /// Makes the acknowledgements durable, then gives back the space of delivered segments.
    ///
    /// Meant to be called every second, or after some hundred acknowledgements: what was
    /// acknowledged since the last checkpoint is read again after a crash. Costs nothing when
    /// nothing has happened. `now_ms` (milliseconds since the Unix epoch) matters only for segments that are kept for a
    /// time.
    ///
    /// # Errors
    /// See [`CheckpointFailed`].
    pub fn checkpoint(&mut self, now_ms: i64) -> Result<CheckpointOutcome, CheckpointFailed> {
        self.advance();
        self.keep_damage().map_err(CheckpointFailed::Damage)?;
        self.note_delivery(now_ms);
        // IMPORTANT: the cursors are durable before anything that they have passed is removed.
        self.save_cursors().map_err(CheckpointFailed::Cursor)?;
        let (reclaimed_segments, reclaimed_bytes) =
            self.reclaim(now_ms).map_err(CheckpointFailed::Reclaim)?;
        if self.catalog.flush_when_due() {
            self.other.catalog = catalog::disk_bytes(&self.storage).map_err(CheckpointFailed::Reclaim)?;
        }
        Ok(CheckpointOutcome { acked: self.acked(), reclaimed_segments, reclaimed_bytes })
    }

    /// Settles what readers found to be lost, and takes what was acknowledged into account.
    pub(crate) fn advance(&mut self) {
        let mut state = self.view.lock();
        let lost = mem::take(&mut state.lost);
        for consumer in &mut self.consumers {
            lost.iter().for_each(|&(first, end)| consumer.acks.settle(first, end));
            consumer.advance(&mut state, self.total);
        }
    }

    /// Writes the cursors that have changed. One that cannot be written does not keep the others from it.
    pub(crate) fn save_cursors(&mut self) -> io::Result<()> {
        let durable = self.durable().0;
        let mut result = Ok(());
        for consumer in &mut self.consumers {
            let saved = consumer.save(self.queue_id, durable);
            result = result.and(saved);
        }
        result
    }

    /// Takes note of when what was delivered, if that is of use.
    fn note_delivery(&mut self, now_ms: i64) {
        let Some(keep_ms) = self.options.retain.for_ms else { return };
        let delivered = self.consumers.iter().map(|consumer| consumer.low()).min();
        let first = self.view.lock().first;
        let timeline = &mut self.consumers[0].timeline;
        timeline.forget(first);
        if let Some(delivered) = delivered.filter(|&delivered| delivered > first) {
            timeline.note(delivered, now_ms, i64::try_from(keep_ms).unwrap_or(i64::MAX));
        }
    }

    /// Everything below is settled for every consumer, and a crash does not change that.
    fn saved_low(&self) -> u64 {
        self.consumers.iter().map(|consumer| consumer.saved_low().unwrap_or(0)).min().unwrap_or(0)
    }

    /// Copies damaged bytes out of their segments. What cannot be copied now keeps its segment
    /// from being removed: it is moved into quarantine as a whole when its turn comes.
    fn keep_damage(&mut self) -> io::Result<()> {
        let mut todo = Vec::new();
        for segment in &self.view.lock().segments {
            let copied = segment.damage.values().filter(|damage| damage.kept).count();
            let room = quarantine::COPIES_PER_SEGMENT_MAX.saturating_sub(copied);
            let new = segment.damage.iter().filter(|(_, damage)| !damage.kept).take(room);
            todo.extend(new.map(|(&position, &damage)| (segment.base, position, damage)));
        }
        if todo.is_empty() {
            return Ok(());
        }
        for (base, position, Damage { end, reason, .. }) in todo {
            let demand = Demand {
                used_bytes: self.disk_bytes(),
                wanted_bytes: end - position,
                free_bytes: self.storage.free_bytes()?,
            };
            if space::admit(demand, &self.options).is_err() {
                continue;
            }
            if let Err(error) = quarantine::copy(&self.storage, base, position, end, reason) {
                tracing::warn!(%error, base, position, "damaged bytes could not be copied yet");
                continue;
            }
            let mut state = self.view.lock();
            let segment = state.segment_mut(base);
            if let Some(damage) = segment.and_then(|segment| segment.damage.get_mut(&position)) {
                damage.kept = true;
            }
        }
        self.other.quarantine = self.storage.directory_bytes(quarantine::DIRECTORY)?;
        Ok(())
    }

    /// The oldest segment, if it can go: every batch in it is delivered, another one follows, and
    /// that one was seen to be a segment, since its base is what ends this one.
    fn reclaimable(&self, acked: u64) -> io::Result<Option<Segment>> {
        loop {
            let state = self.view.lock();
            let (Some(oldest), Some(next)) = (state.segments.front(), state.segments.get(1)) else {
                return Ok(None);
            };
            if oldest.end > acked {
                return Ok(None);
            }
            let unchecked = [oldest, next].into_iter().find(|segment| !segment.checked);
            let Some(unchecked) = unchecked.map(|segment| Unchecked { base: segment.base, end: segment.end })
            else {
                return Ok(Some(oldest.clone()));
            };
            drop(state);
            check::check(&self.storage, &self.view, self.queue_id, unchecked).map_err(io::Error::other)?;
        }
    }

    /// Gives back the delivered segments that are not to be kept. The directory is synced once for all of them.
    fn reclaim(&mut self, now_ms: i64) -> io::Result<(u64, u64)> {
        let before = self.view.lock().segment_bytes();
        let (mut segments, mut result) = (0, Ok(()));
        while let Some(oldest) = self.reclaimable(self.saved_low())? {
            let delivered = Delivered {
                bytes: self.delivered_bytes(),
                delivered_ms: self.consumers[0].timeline.delivered_ms(oldest.end),
            };
            if retain::keeps(self.options.retain, delivered, now_ms) {
                break;
            }
            result = self.remove_oldest(&oldest);
            if result.is_err() {
                break;
            }
            segments += 1;
        }
        let bytes = before.saturating_sub(self.view.lock().segment_bytes());
        if segments > 0 {
            self.storage.sync_directory("")?;
            self.other.quarantine = self.storage.directory_bytes(quarantine::DIRECTORY)?;
        }
        result.map(|()| (segments, bytes))
    }

    /// Gives back the oldest segment, although it might be kept, if everything in it is settled. False: there is none.
    pub(crate) fn release_oldest(&mut self) -> io::Result<bool> {
        let Some(oldest) = self.reclaimable(self.saved_low())? else { return Ok(false) };
        self.remove_oldest(&oldest)?;
        self.storage.sync_directory("")?;
        self.other.quarantine = self.storage.directory_bytes(quarantine::DIRECTORY)?;
        Ok(true)
    }

    /// What the segments occupy that are delivered and still there.
    pub(crate) fn delivered_bytes(&self) -> u64 {
        let low = self.saved_low();
        let state = self.view.lock();
        let kept = state.segments.iter().take_while(|segment| segment.end <= low);
        // The last one does not go anyway.
        let others = state.segments.len().saturating_sub(1);
        kept.take(others).filter_map(|segment| segment.content).map(|content| content.disk_bytes).sum()
    }

    /// The one place where segments go: oldest first, below a cursor that is durable, and never
    /// the last one, which knows the next sequence.
    fn remove_oldest(&mut self, oldest: &Segment) -> io::Result<()> {
        assert!(self.saved_low() >= oldest.end, "the cursors are durable first");
        self.view.lock().first = oldest.end;
        let removed = if oldest.damage.values().all(|damage| damage.kept) {
            self.storage.remove(&segment_name(Sequence(oldest.base)))
        } else {
            quarantine::take_segment(&self.storage, oldest.base)
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _gone => {}
        }
        self.view.lock().segments.pop_front();
        self.catalog.remove(oldest.base);
        Ok(())
    }
}
