//! Numbers for metrics and status.

use crate::{
    batch::{Losses, Sequence},
    catalog::NoAnswer,
    queue::{OtherBytes, Queue},
    segment::tail::Tail,
    storage::Storage,
    view::{Segment, Slot, State},
};

/// What the queue holds. *Pending* is what is durable and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The first sequence that is not acknowledged (exclusive end of what is delivered).
    pub acked: Sequence,
    /// The first sequence that is not durable (exclusive end of what can be read).
    pub durable: Sequence,
    /// Batches pending.
    pub batches: u64,
    /// Events in the pending batches.
    pub events: u64,
    /// Payload bytes of the pending batches, as they will be sent.
    pub payload_bytes: u64,
    /// Bytes of the pending events before compression.
    pub raw_bytes: u64,
    /// Batches appended and not committed.
    pub staged_batches: u64,
    /// Bytes of the batches appended and not committed.
    pub staged_bytes: u64,
    /// Segments on disk.
    pub segments: u64,
    /// What the segments occupy that are delivered and kept; part of `disk_bytes`.
    pub delivered_bytes: u64,
    /// What all files of the queue occupy, as the file system counts it.
    pub disk_bytes: u64,
    /// What is set aside in `quarantine/` occupies; part of `disk_bytes`, and never given back by
    /// the queue.
    pub quarantine_bytes: u64,
    /// Time of the oldest pending event, in milliseconds since the Unix epoch.
    pub oldest_time_ms: Option<i64>,
    /// When the oldest pending batch was appended, in milliseconds since the Unix epoch.
    pub oldest_appended_ms: Option<i64>,
    /// What was given up by policy since the queue began. A batch that was given up while it was given out counts only
    /// if no acknowledgement of it came before the queue was opened again.
    pub losses: Losses,
    /// Damaged spans found since the queue was opened.
    pub damaged_spans: u64,
    /// Batches lost in damaged spans, found since the queue was opened.
    pub damaged_batches: u64,
    /// Bytes in damaged spans, found since the queue was opened.
    pub damaged_bytes: u64,
    /// Batches that are gone without a trace (missing segments), found at the opening.
    pub missing_batches: u64,
    /// Segments given up after a failed write or sync since the queue was opened.
    pub poisoned_segments: u64,
}

impl<S: Storage> Queue<S> {
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
        let own = &self.consumers[0];
        let mut acks = own.acks.clone();
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
            staged_bytes: self.staged.iter().map(|batch| u64::from(batch.batch_len())).sum(),
            segments: state.segments.len() as u64,
            delivered_bytes: 0,
            disk_bytes: self.disk_bytes_of(&state),
            quarantine_bytes: self.other.quarantine,
            oldest_time_ms: None,
            oldest_appended_ms: None,
            losses: own.losses,
            damaged_spans: state.counts.spans,
            damaged_batches: state.counts.batches,
            damaged_bytes: state.counts.bytes,
            missing_batches: self.missing_batches,
            poisoned_segments: self.poisoned_segments,
        };
        let pending = self.total.without(own.delivered);
        if stats.batches > 0 {
            stats.events = pending.events;
            stats.payload_bytes = pending.payload_bytes;
            stats.raw_bytes = pending.raw_bytes;
            (stats.oldest_time_ms, stats.oldest_appended_ms) = oldest(&state, low);
        }
        // The batch at the low-water mark is usually known, and older than all behind it.
        if let Some(read) = state.progress.get(&Slot::OWN).and_then(|own| own.reads.get(&low)) {
            stats.oldest_time_ms = Some(read.first_time_ms);
            stats.oldest_appended_ms = Some(read.appended_ms);
        }
        drop(state);
        stats.delivered_bytes = self.delivered_bytes();
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
