//! The consumer's side of a queue: acknowledging, the cursor, giving space back, numbers.

use std::{io, mem};

use crate::{
    batch::Sequence,
    catalog::{self, NoAnswer},
    check,
    cursor::{Cursor, RANGES_MAX},
    format::segment_name,
    quarantine,
    queue::{OtherBytes, Queue},
    segment::tail::Tail,
    space::{self, Demand},
    stats::Stats,
    storage::Storage,
    view::{Damage, Segment, State, Unchecked},
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
            delivered: self.delivered,
        };
        let above: Vec<_> = self.acks.above().take(RANGES_MAX).collect();
        if !self.saved.as_ref().is_some_and(|saved| *saved == (cursor, above.clone())) {
            // IMPORTANT: the cursor is durable before anything that it has passed is removed.
            self.cursor.save(&cursor.encode(&above))?;
            self.saved = Some((cursor, above));
        }
        let (reclaimed_segments, reclaimed_bytes) = self.reclaim(cursor.acked)?;
        if self.catalog.flush_when_due() {
            self.other.catalog = catalog::disk_bytes(&self.storage)?;
        }
        Ok(CheckpointOutcome { acked: Sequence(cursor.acked), reclaimed_segments, reclaimed_bytes })
    }

    /// The first batch of the oldest segment that may hold events at or after `time_ms`
    /// (milliseconds since the Unix epoch); the durable position if there is none.
    pub fn first_since(&mut self, time_ms: i64) -> Sequence {
        let answer = self.catalog.first_since(time_ms);
        let tail = self.tail.as_ref().map(Tail::base);
        let state = self.view.lock();
        let reaches = |segment: &&Segment| match segment.content.map(|content| content.summary) {
            Some(summary) if summary.batches > 0 => summary.last_time_ms >= time_ms,
            // Nobody has looked into it, so it may reach anywhere.
            _ => segment.end > segment.base,
        };
        let found = match answer {
            Ok(Some(base)) => Some(base),
            // The catalog knows all but the tail.
            Ok(None) => state
                .segments
                .back()
                .filter(|last| Some(last.base) == tail && reaches(last))
                .map(|last| last.base),
            Err(NoAnswer) => state.segments.iter().find(reaches).map(|segment| segment.base),
        };
        Sequence(found.unwrap_or(state.durable))
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
        let pending = self.total.without(self.delivered);
        if stats.batches > 0 {
            stats.events = pending.events;
            stats.payload_bytes = pending.payload_bytes;
            stats.raw_bytes = pending.raw_bytes;
            (stats.oldest_time_ms, stats.oldest_appended_ms) = oldest(&state, low);
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
        let segments = state.segment_bytes();
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
        if low >= state.durable {
            self.delivered = self.total;
            return;
        }
        // Where the mark has come into another segment whose totals are known, they are exact;
        // otherwise what was passed is added.
        let segment = state.segments.get(state.segment_at(low));
        let before = segment.and_then(|segment| Some((segment.base, segment.content?.before.weight)));
        let (start, weight) = match before {
            Some((base, before)) if base >= from => (base.min(low), before),
            _ => (from, self.delivered),
        };
        let mut known = 0;
        let mut weight = weight;
        for read in passed.range(start..).map(|(_, read)| read) {
            weight = weight.plus(read.weight);
            known += 1;
        }
        // Those that nobody read here count as an average batch of what was pending.
        let pending = self.total.without(weight);
        self.delivered = weight.plus(pending.share(low - start - known, state.durable - start));
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

    /// The one place where segments go: oldest first, below a cursor that is durable, and never
    /// the last one, which knows the next sequence.
    fn reclaim(&mut self, acked: u64) -> io::Result<(u64, u64)> {
        let before = self.view.lock().segment_bytes();
        let (mut segments, mut result) = (0, Ok(()));
        while let Some(oldest) = self.reclaimable(acked)? {
            assert!(
                self.saved.as_ref().is_some_and(|(saved, _)| saved.acked >= oldest.end),
                "the cursor is durable first"
            );
            self.view.lock().first = oldest.end;
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
        }
        let bytes = before.saturating_sub(self.view.lock().segment_bytes());
        if segments > 0 {
            self.storage.sync_directory("")?;
            self.other.quarantine = self.storage.directory_bytes(quarantine::DIRECTORY)?;
        }
        result.map(|()| (segments, bytes))
    }
}

/// The oldest time and the oldest appending of what is pending, to the segment.
fn oldest(state: &State, low: u64) -> (Option<i64>, Option<i64>) {
    let contents = state.segments.iter().skip(state.segment_at(low)).filter_map(|segment| segment.content);
    let mut times = contents.map(|content| match content.summary.batches {
        0 => (None, content.created_ms),
        _ => (Some(content.summary.first_time_ms), content.summary.first_appended_ms),
    });
    times.next().map_or((None, None), |(time_ms, appended_ms)| (time_ms, Some(appended_ms)))
}
