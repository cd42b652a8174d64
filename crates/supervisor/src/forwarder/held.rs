//! The batches of one kind that are in memory, oldest first, and where each of them is.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rate::Load;

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits in memory; not to be put before `due`. `attempt` puts of it have failed since it last progressed.
    Ready { attempt: u32, due: Duration },
    /// It is being put.
    Flying { attempt: u32 },
    /// Given to the queue, which has not taken it yet.
    Spooling,
}

pub(super) const FRESH: Stage = Stage::Ready { attempt: 0, due: Duration::ZERO };

/// A batch in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) stage: Stage,
    /// What is left of it to send. Of batches from the inputs nobody asks.
    pub(super) load: Load,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Batches(BTreeMap<u64, Held>);

impl Batches {
    pub(super) fn insert(&mut self, id: u64, load: Load) {
        let known = self.0.insert(id, Held { stage: FRESH, load });
        assert!(known.is_none(), "batch {id} came twice");
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Stage> {
        self.0.remove(&id).map(|held| held.stage)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Held> {
        self.0.get_mut(&id)
    }

    pub(super) fn newest(&self) -> Option<u64> {
        self.0.keys().next_back().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Stage)> {
        self.0.iter().map(|(id, held)| (*id, held.stage))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Held)> {
        self.0.iter_mut().map(|(id, held)| (*id, held))
    }

    /// How many wait, fresh ones and such that are tried again.
    pub(super) fn ready(&self) -> usize {
        self.iter().filter(|(_, stage)| matches!(stage, Stage::Ready { .. })).count()
    }

    pub(super) fn flying(&self) -> usize {
        self.iter().filter(|(_, stage)| matches!(stage, Stage::Flying { .. })).count()
    }

    pub(super) fn spooling(&self) -> usize {
        self.iter().filter(|(_, stage)| *stage == Stage::Spooling).count()
    }

    /// Could one be put now, if it has a permit?
    pub(super) fn any_due(&self, now: Duration) -> bool {
        self.iter().any(|(_, stage)| matches!(stage, Stage::Ready { due, .. } if due <= now))
    }

    /// When those that failed are to be tried again.
    pub(super) fn retries(&self) -> impl Iterator<Item = Duration> {
        self.iter().filter_map(|(_, stage)| match stage {
            Stage::Ready { attempt: 1.., due } => Some(due),
            _ => None,
        })
    }

    /// Removes those that wait and whose attempts satisfy `which`.
    pub(super) fn remove_ready(&mut self, which: impl Fn(u32) -> bool) -> Vec<u64> {
        self.remove_those(|stage| matches!(stage, Stage::Ready { attempt, .. } if which(attempt)))
    }

    /// Removes those that satisfy `which`.
    pub(super) fn remove_those(&mut self, which: impl Fn(Stage) -> bool) -> Vec<u64> {
        self.0.extract_if(.., |_, held| which(held.stage)).map(|(id, _)| id).collect()
    }

    /// Whatever waits is due at once.
    pub(super) fn hurry(&mut self, now: Duration) {
        for held in self.0.values_mut() {
            if let Stage::Ready { due, .. } = &mut held.stage {
                *due = now;
            }
        }
    }

    /// No put will be answered any more.
    pub(super) fn land(&mut self, now: Duration) {
        for held in self.0.values_mut() {
            if let Stage::Flying { attempt } = held.stage {
                held.stage = Stage::Ready { attempt, due: now };
            }
        }
    }

    /// Lets the oldest that are due fly, each for a permit, and returns them. One that waits to be tried again keeps its
    /// permit, so that with a single permit nothing ever passes it. The first one that `may_go` holds back holds back
    /// those behind it.
    pub(super) fn fly(
        &mut self,
        now: Duration,
        permits: &mut usize,
        mut may_go: impl FnMut(Load) -> bool,
    ) -> Vec<u64> {
        let mut flown = Vec::new();
        for (id, held) in &mut self.0 {
            let Stage::Ready { attempt, due } = held.stage else { continue };
            if *permits == 0 || (due <= now && !may_go(held.load)) {
                break;
            }
            *permits -= 1;
            if due <= now {
                held.stage = Stage::Flying { attempt };
                flown.push(*id);
            }
        }
        flown
    }
}
