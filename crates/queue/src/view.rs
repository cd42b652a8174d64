//! What the queue and its readers share: which segments there are, how far they are durable, and
//! what was learned of them.
//!
//! The queue is the only one that adds and removes segments and moves the durable position.
//! Readers add what they learn: what is in a segment that nobody has looked into since the queue
//! was opened, which batches were handed out, and damage.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    batch::{BatchInfo, Tally},
    handover::{Fresh, Handover},
    segment::{
        look::Content,
        walk::{Reason, Span},
    },
    summary::Weight,
};

/// How far above the low-water mark weights are remembered; bounds memory to some MiB.
const WEIGHTS_ABOVE_LOW_MAX: u64 = 65_536;

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
            weight: Weight::of(info, payload_len),
            first_time_ms: info.first_time_ms,
            appended_ms: info.appended_ms,
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        let Weight { events, payload_bytes, raw_bytes } = self.weight;
        Tally { batches: 1, events, payload_bytes, raw_bytes }
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

/// A segment, as far as it is known.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    /// The sequence after its last durable frame: where the next segment begins, or what was
    /// found in the last one.
    pub(crate) end: u64,
    /// `None`: nobody has looked, or nothing in it can be read.
    pub(crate) content: Option<Content>,
    /// Whether the file was seen to be a segment of this queue. Only then does its base count.
    pub(crate) checked: bool,
    /// By position.
    pub(crate) damage: BTreeMap<u64, Damage>,
}

impl Segment {
    /// A segment of which only the name is known.
    pub(crate) fn unread(base: u64, end: u64) -> Segment {
        Segment { base, end, content: None, checked: false, damage: BTreeMap::new() }
    }

    /// A segment whose content is known.
    pub(crate) fn known(base: u64, end: u64, content: Content) -> Segment {
        Segment { base, end, content: Some(content), checked: true, damage: BTreeMap::new() }
    }
}

/// Damage found since the queue was opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DamageCounts {
    pub(crate) spans: u64,
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
}

/// A consumer, for its readers: a number that is not used again while the queue is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    /// The queue's own consumer.
    pub(crate) const OWN: Slot = Slot(0);
}

/// How far a consumer is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The low-water mark.
    pub(crate) acked: u64,
    /// Its readers give out nothing below: it was given up by policy.
    pub(crate) floor: u64,
    /// Ranges above the low-water mark that were acknowledged before the queue was opened, ascending: readers leave
    /// them out.
    pub(crate) delivered_before: Vec<(u64, u64)>,
    /// Batches given out and not below the low-water mark.
    pub(crate) reads: BTreeMap<u64, Read>,
}

impl Progress {
    /// The sequence, or the next one that its readers do not leave out.
    fn wanted(&self, sequence: u64) -> u64 {
        let sequence = sequence.max(self.floor);
        let range = self.delivered_before.iter().find(|(first, end)| (*first..*end).contains(&sequence));
        range.map_or(sequence, |(_, end)| *end)
    }
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
    /// The consumers.
    pub(crate) progress: BTreeMap<Slot, Progress>,
    /// Ranges that can never be delivered, for the queue to settle.
    pub(crate) lost: Vec<(u64, u64)>,
    pub(crate) counts: DamageCounts,
    /// What was just written, for readers of the queue's own consumer.
    pub(crate) handover: Handover,
}

/// Where a reader finds a sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The sequence, or the next one that exists.
    pub(crate) sequence: u64,
    pub(crate) base: u64,
    pub(crate) end: u64,
    /// What has to be looked at before the place can be trusted.
    pub(crate) unchecked: Option<Unchecked>,
    /// Salt and length; `None` if nothing is unchecked: nothing in it can be read.
    pub(crate) content: Option<(u32, u64)>,
}

/// A segment that has to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unchecked {
    pub(crate) base: u64,
    pub(crate) end: u64,
}

impl State {
    /// The index of the segment that `sequence` is in, or of the next one.
    pub(crate) fn segment_at(&self, sequence: u64) -> usize {
        self.segments.partition_point(|segment| segment.end <= sequence)
    }

    /// The segment `base`.
    pub(crate) fn segment_mut(&mut self, base: u64) -> Option<&mut Segment> {
        let index = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        self.segments.get_mut(index)
    }

    /// The progress of a consumer.
    pub(crate) fn progress_mut(&mut self, slot: Slot) -> &mut Progress {
        self.progress.get_mut(&slot).expect("a consumer has its progress as long as the queue knows it")
    }

    /// The sequence that a reader of `slot` gets next when it asks for this one. A consumer that was removed leaves
    /// nothing out.
    fn wanted(&self, slot: Slot, sequence: u64) -> u64 {
        let sequence = sequence.max(self.first);
        self.progress.get(&slot).map_or(sequence, |progress| progress.wanted(sequence))
    }

    fn place(&self, slot: Slot, sequence: u64) -> Option<Place> {
        let sequence = self.wanted(slot, sequence);
        if sequence >= self.durable {
            return None;
        }
        let index = self.segment_at(sequence);
        let segment = self.segments.get(index)?;
        // The end of a segment is the base of the next one, so that has to be a segment as well.
        let pair = [Some(segment), self.segments.get(index + 1)];
        let unchecked = pair.into_iter().flatten().find(|segment| !segment.checked);
        Some(Place {
            sequence: sequence.max(segment.base),
            base: segment.base,
            end: segment.end,
            unchecked: unchecked.map(|segment| Unchecked { base: segment.base, end: segment.end }),
            content: segment.content.map(|content| (content.salt, content.data_len)),
        })
    }

    /// Takes note of a batch that is given out, so that its acknowledgement can be accounted exactly. False: it was
    /// given up meanwhile, and must not be given out.
    fn note_read(&mut self, slot: Slot, sequence: u64, read: Read) -> bool {
        let Some(progress) = self.progress.get_mut(&slot) else { return true };
        if (progress.acked..progress.acked + WEIGHTS_ABOVE_LOW_MAX).contains(&sequence) {
            progress.reads.insert(sequence, read);
        }
        sequence >= progress.floor
    }

    /// A batch that is still in memory, if it is the one that a reader of `slot` gets next.
    fn take_fresh(&mut self, slot: Slot, sequence: u64) -> Option<Fresh> {
        let sequence = self.wanted(slot, sequence);
        if slot != Slot::OWN {
            return None;
        }
        let fresh = self.handover.take(sequence)?;
        self.note_read(slot, sequence, Read::new(&fresh.info, fresh.len)).then_some(fresh)
    }

    /// Takes note of damage in a segment, once. Says whether it is news.
    pub(crate) fn note_damage(&mut self, base: u64, span: &Span) -> bool {
        if span.next > span.first {
            self.lost.push((span.first, span.next));
        }
        let Some(segment) = self.segment_mut(base) else {
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

    /// What all segments occupy. Of those that nobody has looked into, the totals of the next one
    /// that is known tell it.
    pub(crate) fn segment_bytes(&self) -> u64 {
        let mut bytes: u64 = 0;
        // Where the totals stand after the last known segment.
        let mut after: Option<u64> = None;
        let mut unknown = false;
        for content in self.segments.iter().map(|segment| segment.content) {
            let Some(content) = content else {
                unknown = true;
                continue;
            };
            if let (true, Some(after)) = (unknown, after) {
                bytes = bytes.saturating_add(content.before.file_bytes.saturating_sub(after));
            }
            unknown = false;
            bytes = bytes.saturating_add(content.disk_bytes);
            after = Some(content.before.file_bytes.saturating_add(content.file_bytes(false)));
        }
        bytes
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

    pub(crate) fn place(&self, slot: Slot, sequence: u64) -> Option<Place> {
        self.lock().place(slot, sequence)
    }

    pub(crate) fn note_read(&self, slot: Slot, sequence: u64, read: Read) -> bool {
        self.lock().note_read(slot, sequence, read)
    }

    pub(crate) fn take_fresh(&self, slot: Slot, sequence: u64) -> Option<Fresh> {
        self.lock().take_fresh(slot, sequence)
    }

    pub(crate) fn note_damage(&self, base: u64, span: &Span) -> bool {
        self.lock().note_damage(base, span)
    }

    /// Takes note of what is in a segment that nobody had looked into.
    pub(crate) fn learn(&self, base: u64, content: Option<Content>) {
        if let Some(segment) = self.lock().segment_mut(base) {
            segment.checked = true;
            segment.content = segment.content.or(content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_between_the_look_up_and_the_reading_is_not_given_out() {
        let progress = BTreeMap::from([(Slot::OWN, Progress { acked: 1, ..Progress::default() })]);
        let view = View::new(State { durable: 10, progress, ..State::default() });
        let read = Read::new(&BatchInfo::default(), 0);
        assert!(view.note_read(Slot::OWN, 3, read));
        view.lock().progress_mut(Slot::OWN).floor = 5;
        assert!(!view.note_read(Slot::OWN, 4, read));
        assert!(view.note_read(Slot::OWN, 5, read));
    }
}
