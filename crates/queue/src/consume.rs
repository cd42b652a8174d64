//! The consumer's side of a queue: acknowledging, the cursor, giving space back, numbers.

use std::{io, mem};

use crate::{
    batch::Sequence,
    catalog,
    cursor::Cursor,
    format::segment_name,
    quarantine,
    queue::{OtherBytes, Queue},
    space::{self, Demand},
    stats::Stats,
    storage::Storage,
    view::{Damage, Segment, State, Weight},
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
        assert!(sequence < self.durable(), "sequence {sequence} is acknowledged, and was never readable");
        self.acks.settle(sequence.0, sequence.0 + 1);
        self.advance();
    }

    /// The low-water mark: everything below it is acknowledged.
    pub fn acked(&self) -> Sequence {
        Sequence(self.acks.low())
    }

    /// Makes the acknowledgements durable, then gives back the space of delivered segments.
    ///
    /// Meant to be called every second, or after some hundred acknowledgements: what was
    /// acknowledged since the last checkpoint is read again after a crash. Costs nothing when
    /// nothing has happened.
    pub fn checkpoint(&mut self) -> io::Result<CheckpointOutcome> {
        self.advance();
        self.keep_damage()?;
        let cursor = Cursor {
            queue_id: self.queue_id,
            acked: self.acks.low(),
            durable: self.durable().0,
            segment: self.acked_in.0,
            acked_in_segment: self.acked_in.1,
        };
        if self.saved != Some(cursor) {
            // IMPORTANT: the cursor is durable before anything that it has passed is removed.
            self.cursor.save(&cursor.encode())?;
            self.saved = Some(cursor);
        }
        let (reclaimed_segments, reclaimed_bytes) = self.reclaim(cursor.acked)?;
        if self.catalog.flush_when_due() {
            self.other.catalog = catalog::disk_bytes(&self.storage)?;
        }
        Ok(CheckpointOutcome { acked: Sequence(cursor.acked), reclaimed_segments, reclaimed_bytes })
    }

    /// The oldest batch that may hold events at or after `time_ms` (milliseconds since the Unix
    /// epoch), to the segment; the durable position if there is none.
    pub fn first_since(&mut self, time_ms: i64) -> Sequence {
        let known = self.catalog.first_since(time_ms);
        let state = self.view.lock();
        let reaches =
            |segment: &&Segment| segment.summary.batches > 0 && segment.summary.last_time_ms >= time_ms;
        // The catalog knows what is sealed; without it, and for the tail, there is the list.
        let first = known.or_else(|| state.segments.iter().find(reaches).map(|segment| segment.base));
        Sequence(first.unwrap_or(state.durable))
    }

    /// What the queue holds right now.
    pub fn stats(&self) -> Stats {
        let state = self.view.lock();
        // What readers found to be lost counts as settled at once, not only from the next
        // acknowledgement on: nobody waits for it any more.
        let mut acks = self.acks.clone();
        state.lost.iter().for_each(|&(first, end)| acks.settle(first, end));
        let low = acks.low();
        let mut stats = Stats {
            acked: Sequence(low),
            durable: Sequence(state.durable),
            batches: state.durable - low,
            events: 0,
            payload_bytes: 0,
            raw_bytes: 0,
            staged_batches: self.staged.len() as u64,
            staged_bytes: self.staged.iter().map(|batch| u64::from(batch.payload_len)).sum(),
            segments: state.segments.len() as u64,
            disk_bytes: self.disk_bytes_of(&state),
            quarantine_bytes: self.other.quarantine,
            oldest_time_ms: None,
            oldest_appended_ms: None,
            damaged_spans: state.counts.spans,
            damaged_batches: state.counts.batches,
            damaged_bytes: state.counts.bytes,
            missing_batches: self.missing_batches,
            poisoned_segments: self.poisoned_segments,
        };
        for segment in state.segments.iter().skip(state.segment_at(low)) {
            let mut weight = Weight::from(&segment.summary);
            if segment.base == self.acked_in.0 {
                weight = weight.without(self.acked_in.1);
            }
            stats.events += weight.events;
            stats.payload_bytes += weight.payload_bytes;
            stats.raw_bytes = stats.raw_bytes.saturating_add(weight.raw_bytes);
            if segment.summary.batches > 0 {
                let older = |old: Option<i64>, new: i64| Some(old.map_or(new, |old| old.min(new)));
                stats.oldest_time_ms = older(stats.oldest_time_ms, segment.summary.first_time_ms);
                stats.oldest_appended_ms = older(stats.oldest_appended_ms, segment.summary.first_appended_ms);
            }
        }
        // The batch at the low-water mark is usually known, and older than all behind it.
        if let Some(read) = state.reads.get(&low) {
            stats.oldest_time_ms = Some(read.first_time_ms);
            stats.oldest_appended_ms = Some(read.appended_ms);
        }
        stats
    }

    /// What all files of the queue occupy.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.disk_bytes_of(&self.view.lock())
    }

    fn disk_bytes_of(&self, state: &State) -> u64 {
        let segments: u64 = state.segments.iter().map(|segment| segment.disk_bytes).sum();
        let OtherBytes { fixed, quarantine, catalog, unfinished } = self.other;
        segments + fixed + quarantine + catalog + unfinished
    }

    /// Settles what readers found to be lost, and takes what was acknowledged into account.
    pub(crate) fn advance(&mut self) {
        let mut state = self.view.lock();
        for (first, end) in mem::take(&mut state.lost) {
            self.acks.settle(first, end);
        }
        let (from, low) = (state.acked, self.acks.low());
        assert!(low >= from, "the low-water mark went back");
        assert!(low <= state.durable, "what is not durable cannot be settled");
        if low == from {
            return;
        }
        let kept = state.reads.split_off(&low);
        let passed = mem::replace(&mut state.reads, kept);
        state.acked = low;
        // When everything is acknowledged, this is the last segment, which may still grow.
        let index = state.segment_at(low).min(state.segments.len().saturating_sub(1));
        let Some(segment) = state.segments.get(index) else {
            return;
        };
        let (from, mut weight) = match self.acked_in {
            (base, weight) if base == segment.base => (from, weight),
            _ => (segment.base, Weight::default()),
        };
        if low >= segment.end {
            self.acked_in = (segment.base, Weight::from(&segment.summary));
            return;
        }
        let mut known = 0;
        for read in passed.range(from.min(low)..).map(|(_, read)| read) {
            weight.add(read.weight);
            known += 1;
        }
        weight.add(average(segment, low.saturating_sub(from).saturating_sub(known)));
        self.acked_in = (segment.base, weight);
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
            let segment = state.segments.iter_mut().find(|segment| segment.base == base);
            if let Some(damage) = segment.and_then(|segment| segment.damage.get_mut(&position)) {
                damage.kept = true;
            }
        }
        self.other.quarantine = self.storage.directory_bytes(quarantine::DIRECTORY)?;
        Ok(())
    }

    /// The one place where segments go: oldest first, below a cursor that is durable, and never
    /// the last one, which knows the next sequence.
    fn reclaim(&mut self, acked: u64) -> io::Result<(u64, u64)> {
        let (mut segments, mut bytes, mut result) = (0, 0, Ok(()));
        loop {
            let mut state = self.view.lock();
            let oldest = match state.segments.front() {
                Some(oldest) if state.segments.len() > 1 && oldest.end <= acked => oldest.clone(),
                _ => break,
            };
            assert!(self.saved.is_some_and(|saved| saved.acked >= oldest.end), "the cursor is durable first");
            state.first = oldest.end;
            drop(state);
            let removed = if oldest.damage.values().all(|damage| damage.kept) {
                self.storage.remove(&segment_name(Sequence(oldest.base)))
            } else {
                quarantine::take_segment(&self.storage, oldest.base)
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    result = Err(error);
                    break;
                }
                _gone => {}
            }
            self.view.lock().segments.pop_front();
            self.catalog.remove(oldest.base);
            segments += 1;
            bytes += oldest.disk_bytes;
        }
        if segments > 0 {
            self.storage.sync_directory("")?;
            self.other.quarantine = self.storage.directory_bytes(quarantine::DIRECTORY)?;
        }
        result.map(|()| (segments, bytes))
    }
}

/// What `batches` batches of a segment weigh on average, for those that nobody read here.
fn average(segment: &Segment, batches: u64) -> Weight {
    let of = |sum: u64| {
        let share = u128::from(sum) * u128::from(batches) / u128::from(segment.summary.batches.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).min(sum)
    };
    let all = Weight::from(&segment.summary);
    Weight { events: of(all.events), payload_bytes: of(all.payload_bytes), raw_bytes: of(all.raw_bytes) }
}
