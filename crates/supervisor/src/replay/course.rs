//! How far a replay is. Pure, but for the lock that its threads share it by.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::ledger::Settled;

/// Notes beyond these are counted.
const NOTES_MAX: usize = 8;

/// How much something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Batches.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Their bytes as they are sent.
    pub bytes: u64,
    /// Time of the oldest event, in milliseconds since the Unix epoch.
    pub first_event_ms: Option<i64>,
    /// Time of the newest one.
    pub last_event_ms: Option<i64>,
}

impl Amount {
    /// Adds a batch.
    pub fn add(&mut self, batch: &Settled) {
        self.batches += 1;
        self.events += batch.events;
        self.bytes += batch.bytes;
        let first = self.first_event_ms.unwrap_or(i64::MAX).min(batch.first_time_ms);
        let last = self.last_event_ms.unwrap_or(i64::MIN).max(batch.last_time_ms);
        (self.first_event_ms, self.last_event_ms) = (Some(first), Some(last));
    }
}

/// What is meant, and cannot be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// Places on disk that cannot be read.
    pub damaged_places: u64,
    /// Batches that were there.
    pub damaged_batches: u64,
    /// Batches that are gone without a trace.
    pub missing_batches: u64,
    /// Batches that are no records.
    pub foreign_batches: u64,
}

/// How far a replay is, over all its runs: what its named cursor holds.
///
/// Batches are given out in order and settled in any. All below `reached` that are not `open` need not be looked at again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    reached: u64,
    open: BTreeSet<u64>,
    /// Of those that are open, the ones that an earlier run gave out, and this one has not yet.
    #[serde(skip)]
    again: BTreeSet<u64>,
    /// What was settled.
    pub settled: Amount,
    /// Events of that that were refused for good.
    pub rejected_events: u64,
    /// What could not be sent.
    pub lacking: Lacking,
}

impl Course {
    /// Another run begins where the last one has ended.
    pub fn resume(&mut self) {
        self.again.clone_from(&self.open);
    }

    /// Where to look for the next batch; `None`: no batch was looked at yet.
    #[must_use]
    pub fn start(&self) -> Option<u64> {
        let start = self.again.first().copied().unwrap_or(self.reached);
        (start > 0).then_some(start)
    }

    /// Is this one still to be given out? They are asked for in order.
    #[must_use]
    pub fn wants(&self, sequence: u64) -> bool {
        sequence >= self.reached || self.again.contains(&sequence)
    }

    /// A batch is given out to be sent.
    pub fn give(&mut self, sequence: u64) {
        self.again.remove(&sequence);
        self.open.insert(sequence);
        self.reached = self.reached.max(sequence + 1);
    }

    /// Everything below was given out, or is not to be sent, or cannot be. Gives how many of those that an earlier run had
    /// given out are among the latter.
    pub fn pass(&mut self, end: u64) -> u64 {
        let later = self.again.split_off(&end);
        let passed = std::mem::replace(&mut self.again, later);
        self.open.retain(|sequence| !passed.contains(sequence));
        self.reached = self.reached.max(end);
        passed.len() as u64
    }

    /// Of what an earlier run had given out and not settled, and this one has not come to, some is settled by others.
    pub fn forget(&mut self, is_settled: impl Fn(u64) -> bool) {
        let (open, again) = (&mut self.open, &mut self.again);
        open.retain(|sequence| !(again.contains(sequence) && is_settled(*sequence)));
        again.retain(|sequence| open.contains(sequence));
    }

    /// The first sequence that no run has come to.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.reached
    }

    /// Was everything settled that was given out?
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    /// A batch is through.
    pub fn settle(&mut self, batch: &Settled) {
        if self.open.remove(&batch.sequence.0) {
            self.settled.add(batch);
        }
    }
}

/// How far a replay is, and what this run of it has done.
#[derive(Debug, Default)]
pub struct Progress {
    /// Over all its runs.
    pub course: Course,
    /// What this run has given out.
    pub given: Amount,
    /// What of it is through.
    pub settled: Amount,
    /// Time of the newest event in the batch that was settled last.
    pub event_time_ms: Option<i64>,
    /// All that is meant was given out.
    pub ended: bool,
    /// Why the rest cannot be read.
    pub failure: Option<String>,
    notes: Vec<String>,
    more_notes: u64,
}

impl Progress {
    /// A batch is given out.
    pub fn give(&mut self, batch: &Settled) {
        self.course.give(batch.sequence.0);
        self.given.add(batch);
    }

    /// A batch is through.
    pub fn settle(&mut self, batch: &Settled) {
        self.course.settle(batch);
        self.settled.add(batch);
        self.event_time_ms = Some(batch.last_time_ms);
    }

    /// Something that a person wants to know at the end.
    pub fn note(&mut self, words: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(words);
        } else {
            self.more_notes += 1;
        }
    }

    /// What a person wants to know at the end.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let more = (self.more_notes > 0).then(|| format!("and {} more of the same kind", self.more_notes));
        self.notes.iter().cloned().chain(more).collect()
    }
}

/// The progress of a replay, for all that take part in it. The lock is held for a moment, never across a read or a write.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Progress>>);

impl Shared {
    /// A run that goes on with this course.
    #[must_use]
    pub fn new(mut course: Course) -> Self {
        course.resume();
        Self(Arc::new(Mutex::new(Progress { course, ..Progress::default() })))
    }

    /// Looks at it, or changes it. Every change is whole, whatever becomes of the thread that makes it.
    pub fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use millpond_queue::Sequence;
    use proptest::prelude::*;

    use super::*;

    fn batch(sequence: u64) -> Settled {
        Settled { sequence: Sequence(sequence), events: 2, bytes: 3, first_time_ms: 4, last_time_ms: 5 }
    }

    /// What is on disk after a save.
    fn reloaded(course: &Course) -> Course {
        let mut course: Course = serde_json::from_slice(&serde_json::to_vec(course).unwrap()).unwrap();
        course.resume();
        course
    }

    #[test]
    fn another_run_gives_what_was_open_once_more_and_then_goes_on() {
        let mut course = Course::default();
        assert_eq!(course.start(), None);
        (3..8).for_each(|sequence| course.give(sequence));
        [4, 6, 3].iter().for_each(|&sequence| course.settle(&batch(sequence)));
        let mut course = reloaded(&course);
        assert_eq!(course.start(), Some(5));
        let wanted: Vec<u64> = (1..11).filter(|&sequence| course.wants(sequence)).collect();
        assert_eq!(wanted, [5, 7, 8, 9, 10]);
        course.give(5);
        assert_eq!(course.pass(8), 1, "7 is not there any more");
        course.settle(&batch(5));
        assert!(course.is_settled());
        assert_eq!((course.reached(), course.start(), course.settled.batches), (8, Some(8), 4));
        // An answer that comes twice counts once.
        course.settle(&batch(5));
        assert_eq!(course.settled.events, 8);
    }

    proptest! {
        /// Runs that end anywhere, with anything in flight: every batch is settled in the end, and given out more often only
        /// when its settling had not been saved.
        #[test]
        fn runs_that_are_cut_off_anywhere(
            cuts in prop::collection::vec((1..20_u64, any::<u64>(), any::<u64>()), 0..8),
        ) {
            const END: u64 = 40;
            let mut saved = Course::default();
            let (mut settled, mut durable) = (BTreeSet::new(), BTreeSet::<u64>::new());
            for (steps, which, kept) in cuts.into_iter().chain([(u64::MAX, u64::MAX, u64::MAX)]) {
                let mut course = reloaded(&saved);
                let mut now = BTreeSet::new();
                let start = course.start().unwrap_or(1);
                let wanted: Vec<u64> = (start..END).filter(|&sequence| course.wants(sequence)).collect();
                for sequence in wanted.into_iter().take(steps.min(END) as usize) {
                    prop_assert!(!durable.contains(&sequence), "{sequence} was settled, and that was saved");
                    course.give(sequence);
                    if which >> (sequence % 64) & 1 == 1 {
                        course.settle(&batch(sequence));
                        now.insert(sequence);
                    }
                    if kept >> (sequence % 64) & 1 == 1 {
                        saved = course.clone();
                        durable.extend(&now);
                    }
                }
                settled.extend(now);
            }
            prop_assert_eq!(settled.len() as u64, END - 1);
            prop_assert!(saved.is_settled());
            prop_assert_eq!(saved.settled.batches, END - 1);
        }
    }
}
