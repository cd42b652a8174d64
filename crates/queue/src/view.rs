//! What the queue and its readers share: which segments there are, how far they are durable, and
//! what readers found.
//!
//! The queue is the only one that changes segments and the durable position. Readers add what
//! they learned while reading: the weight of batches near the low-water mark, and damage.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    batch::BatchInfo,
    format::Summary,
    segment::walk::{Reason, Span},
};

/// How far above the low-water mark weights are remembered; bounds memory to some MiB.
const WEIGHTS_ABOVE_LOW_MAX: u64 = 65_536;

/// What a number of batches amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weight {
    pub(crate) events: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) raw_bytes: u64,
}

impl Weight {
    pub(crate) fn add(&mut self, other: Weight) {
        self.events = self.events.saturating_add(other.events);
        self.payload_bytes = self.payload_bytes.saturating_add(other.payload_bytes);
        self.raw_bytes = self.raw_bytes.saturating_add(other.raw_bytes);
    }

    /// This without `other`, which is at most this.
    pub(crate) fn without(self, other: Weight) -> Weight {
        Weight {
            events: self.events.saturating_sub(other.events),
            payload_bytes: self.payload_bytes.saturating_sub(other.payload_bytes),
            raw_bytes: self.raw_bytes.saturating_sub(other.raw_bytes),
        }
    }
}

impl From<&Summary> for Weight {
    fn from(summary: &Summary) -> Weight {
        Weight { events: summary.events, payload_bytes: summary.payload_bytes, raw_bytes: summary.raw_bytes }
    }
}

/// One batch that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) weight: Weight,
    pub(crate) first_time_ms: i64,
    pub(crate) appended_ms: i64,
}

impl Read {
    pub(crate) fn new(info: &BatchInfo, payload_len: u32) -> Read {
        Read {
            weight: Weight {
                events: info.events.into(),
                payload_bytes: payload_len.into(),
                raw_bytes: info.raw_bytes,
            },
            first_time_ms: info.first_time_ms,
            appended_ms: info.appended_ms,
        }
    }
}

/// Damaged bytes of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Damage {
    pub(crate) end: u64,
    pub(crate) reason: Reason,
    /// Whether they are in quarantine.
    pub(crate) kept: bool,
}

/// A segment, as readers need to know it.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    /// The sequence after its last durable frame.
    pub(crate) end: u64,
    /// The position after its last durable frame.
    pub(crate) data_len: u64,
    pub(crate) salt: u32,
    pub(crate) sealed: bool,
    pub(crate) summary: Summary,
    /// What it occupies on disk.
    pub(crate) disk_bytes: u64,
    /// By position.
    pub(crate) damage: BTreeMap<u64, Damage>,
}

/// Damage found since the queue was opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DamageCounts {
    pub(crate) spans: u64,
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
}

/// What is shared, see the module.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Oldest first; never empty once something was durable.
    pub(crate) segments: VecDeque<Segment>,
    /// The first sequence that is not durable.
    pub(crate) durable: u64,
    /// Readers start no earlier than this: what is before is reclaimed, or is about to be.
    pub(crate) first: u64,
    /// The low-water mark.
    pub(crate) acked: u64,
    /// Batches read, near the low-water mark.
    pub(crate) reads: BTreeMap<u64, Read>,
    /// Ranges that can never be delivered, for the queue to settle.
    pub(crate) lost: Vec<(u64, u64)>,
    pub(crate) counts: DamageCounts,
}

/// Where a reader finds a sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The sequence, or the next one that exists.
    pub(crate) sequence: u64,
    pub(crate) base: u64,
    pub(crate) salt: u32,
    pub(crate) end: u64,
    pub(crate) data_len: u64,
}

impl State {
    /// The index of the segment that `sequence` is in, or of the next one.
    pub(crate) fn segment_at(&self, sequence: u64) -> usize {
        self.segments.partition_point(|segment| segment.end <= sequence)
    }

    fn place(&self, sequence: u64) -> Option<Place> {
        let sequence = sequence.max(self.first);
        if sequence >= self.durable {
            return None;
        }
        let segment = self.segments.get(self.segment_at(sequence))?;
        Some(Place {
            sequence: sequence.max(segment.base),
            base: segment.base,
            salt: segment.salt,
            end: segment.end,
            data_len: segment.data_len,
        })
    }

    /// Remembers what a batch weighs, so that its acknowledgement can be accounted exactly.
    fn note_read(&mut self, sequence: u64, read: Read) {
        if (self.acked..self.acked + WEIGHTS_ABOVE_LOW_MAX).contains(&sequence) {
            self.reads.insert(sequence, read);
        }
    }

    /// Takes note of damage in a segment, once. Says whether it is news.
    pub(crate) fn note_damage(&mut self, base: u64, span: &Span) -> bool {
        if span.next > span.first {
            self.lost.push((span.first, span.next));
        }
        let Some(segment) = self.segments.iter_mut().find(|segment| segment.base == base) else {
            return false; // Reclaimed meanwhile; the queue had seen to it.
        };
        let kept = span.end == span.position; // Nothing to keep.
        let damage = Damage { end: span.end, reason: span.reason, kept };
        if segment.damage.contains_key(&span.position) {
            return false;
        }
        segment.damage.insert(span.position, damage);
        self.counts.spans += 1;
        self.counts.batches += span.next - span.first;
        self.counts.bytes += span.end - span.position;
        true
    }
}

/// The shared state behind its lock. The lock is held for look-ups only, never across I/O.
#[derive(Debug, Default)]
pub(crate) struct View {
    state: Mutex<State>,
}

impl View {
    pub(crate) fn new(state: State) -> View {
        View { state: Mutex::new(state) }
    }

    /// The state. A thread that panicked while holding the lock left it whole: every change is a
    /// single assignment or a push.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn place(&self, sequence: u64) -> Option<Place> {
        self.lock().place(sequence)
    }

    pub(crate) fn note_read(&self, sequence: u64, read: Read) {
        self.lock().note_read(sequence, read);
    }

    pub(crate) fn note_damage(&self, base: u64, span: &Span) -> bool {
        self.lock().note_damage(base, span)
    }
}
