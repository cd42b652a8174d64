//! What must hold in every state, and in the end.

use super::world::{Checked, Fate, World, must};
use crate::config::checked::{Backpressure, OnFull, QueueMode};
use crate::forwarder::held::Stage;
use crate::forwarder::steps::SPOOLS_MAX;
use crate::forwarder::{DropReason, Key};
use crate::health::Name;

impl World {
    pub(super) fn may_drop(&self, reason: DropReason) -> bool {
        let policy = &self.machine.policy;
        match reason {
            DropReason::Unhealthy => {
                let down =
                    matches!(self.machine.health().name(), Name::Unhealthy | Name::Verifying | Name::Paused);
                policy.backpressure == Backpressure::Drop && down
            }
            DropReason::QueueFull => {
                let drops = policy.backpressure == Backpressure::Queue && policy.on_full == OnFull::Drop;
                // What may go without the queue need not care about its room.
                let passes = !policy.strict_ordering && policy.queue_mode == QueueMode::Error;
                drops && self.told_full && !(passes && self.machine.health().permits() > 0)
            }
        }
    }

    /// Under strict ordering a live batch never passes the backlog, and nothing passes the backlog's own order but for
    /// those that fly together.
    pub(super) fn check_order(&self, key: Key) -> Checked {
        let policy = &self.machine.policy;
        if !policy.strict_ordering || policy.backpressure != Backpressure::Queue {
            return Ok(());
        }
        let open = |id: &&u64| !self.fates.contains_key(id);
        let older = match key {
            Key::Live(_) => self.queue.iter().chain(&self.parked).find(open),
            Key::Queued(sequence) => {
                let waits =
                    |older: &&u64| open(older) && !self.puts.keys().any(|key| self.id(*key) == **older);
                // With one permit nothing passes it at all.
                self.queue[..sequence as usize].iter().find(|id| policy.concurrency == 1 && waits(id))
            }
        };
        must(older.is_none(), || format!("{key:?} passes {older:?}"))
    }

    pub(super) fn end(&mut self, id: u64, fate: Fate) -> Checked {
        let before = self.fates.insert(id, fate);
        must(before.is_none(), || format!("{id} has two fates: {before:?} and {fate:?}"))
    }

    /// What must hold between any two events.
    pub(super) fn check(&self) -> Checked {
        let policy = &self.machine.policy;
        must(self.puts.len() <= policy.concurrency as usize, || "more puts than permitted".to_owned())?;
        must(self.machine.deadline().is_none_or(|at| at > self.now), || {
            "a deadline that is over".to_owned()
        })?;
        let down = self.machine.health().permits() == 0;
        let takes = self.machine.queue_room && self.machine.live.spooling() < SPOOLS_MAX;
        if policy.backpressure == Backpressure::Queue && down && takes {
            // Down means queue: only an older put, which is undecided, holds a batch back.
            for (id, stage) in self.machine.live.iter() {
                if matches!(stage, Stage::Flying { .. }) && policy.strict_ordering {
                    break;
                }
                let waits = matches!(stage, Stage::Ready { .. });
                must(!waits, || {
                    format!("{id} waits in memory while the output is down and the queue has room")
                })?;
            }
        }
        Ok(())
    }

    /// At the end every batch has exactly one fate, or is in the queue of a forwarder that was stopped.
    pub(super) fn check_fates(&self) -> Checked {
        must(self.puts.is_empty() && self.reading.is_none(), || "it ends before its puts do".to_owned())?;
        for id in 0..self.given {
            let queued = self.queue.contains(&id) || self.parked.contains(&id);
            match self.fates.get(&id) {
                Some(Fate::Done | Fate::Dropped) => {}
                Some(Fate::Abandoned) => must(self.stopped, || format!("{id} was abandoned"))?,
                None => must(self.stopped && queued, || format!("{id} is lost"))?,
            }
        }
        Ok(())
    }
}
