//! What is to be done, after every event.

use std::time::Duration;

use super::held::{FRESH, Stage};
use super::{Action, Forwarder, Key, LIVE_MAX};
use crate::config::checked::QueueMode;

/// Batches handed to the queue that it has not taken yet. More than one, so that they share a sync.
pub(super) const SPOOLS_MAX: usize = if cfg!(test) { 2 } else { 8 };
/// Queued batches that are held ready beyond those that may fly.
const READ_AHEAD: usize = if cfg!(test) { 0 } else { 2 };
/// Where new goes before old and one put may fly at a time: so many new ones, then one from the queue.
const LIVE_RUN_MAX: u32 = 3;

impl Forwarder {
    pub(super) fn act(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.health.on_time(now) {
            actions.push(Action::Verify);
        }
        self.drop_what_has_no_room(actions);
        if self.stopping {
            self.let_go(actions);
        }
        self.take_back(actions);
        self.spool_live(now, actions);
        if !self.given_up {
            self.put_ready(now, actions);
        }
        self.note_slowness(now);
        self.read_backlog(actions);
        if self.live.is_empty() && !self.has_backlog() {
            self.health.on_idle();
        }
        self.finish(actions);
    }

    /// Drops the newest batches beyond those that may wait.
    fn drop_what_has_no_room(&mut self, actions: &mut Vec<Action>) {
        let Some(reason) = self.drop_reason() else { return };
        let fresh: Vec<u64> =
            self.live.iter().filter(|(_, stage)| *stage == FRESH).map(|(id, _)| id).collect();
        let keep = LIVE_MAX.saturating_sub(self.live.ready() - fresh.len());
        for id in fresh.into_iter().skip(keep) {
            self.live.remove(id);
            actions.push(Action::Drop(id, reason));
        }
    }

    /// While stopping: lets go of what will not be sent any more. A queued batch that was tried already may be
    /// delivered in part, so it is tried again while the way is open.
    fn let_go(&mut self, actions: &mut Vec<Action>) {
        let open = self.health.permits() > 0 && !self.given_up;
        for sequence in self.queued.remove_ready(|attempt| attempt == 0 || !open) {
            // It is still in the queue, for the next start to read.
            self.unread = true;
            actions.push(Action::Forget(sequence));
        }
        let hopeless = if self.is_queueing() { !self.queue_room } else { !open };
        if hopeless {
            actions.extend(self.live.remove_ready(|_| true).into_iter().map(Action::Abandon));
        }
    }

    /// Takes back what waits for room in the queue where that is of no use: it could be sent at once, since everything
    /// before it is delivered, or there is no time to wait. A queue can be empty and have no room: another program has
    /// filled the disk.
    fn take_back(&mut self, actions: &mut Vec<Action>) {
        let is_next = self.health.permits() > 0 && self.queued.is_empty() && !self.has_unread();
        let no_use = self.stopping || (is_next && self.policy.queue_mode != QueueMode::Always);
        let waits = !self.queue_room && self.live.spooling() > 0;
        if no_use && waits && !std::mem::replace(&mut self.withdrawing, true) {
            actions.push(Action::Withdraw);
        }
    }

    /// Hands live batches to the queue, oldest first. Under strict ordering none passes an older one whose put is
    /// still undecided: that one may have to be spooled before it.
    fn spool_live(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if !self.is_queueing() || self.is_direct(now) || !self.queue_room {
            return;
        }
        let mut room = SPOOLS_MAX.saturating_sub(self.live.spooling());
        for (id, held) in self.live.iter_mut() {
            match held.stage {
                Stage::Flying { .. } if self.policy.strict_ordering => break,
                Stage::Ready { .. } if room == 0 => break,
                Stage::Ready { .. } => {
                    held.stage = Stage::Spooling;
                    room -= 1;
                    actions.push(Action::Spool(id));
                }
                Stage::Flying { .. } | Stage::Spooling => {}
            }
        }
    }

    /// New goes before old: under strict ordering nothing new is put while there is anything old.
    fn put_ready(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let mut permits = (self.puts_max() as usize).saturating_sub(self.puts_in_flight());
        let waits = self.queued.any_due(now) && self.pace.free_at() <= now;
        if self.is_direct(now) && self.memory_for_puts {
            let reserved = if waits { self.reserved_for_backlog().min(permits) } else { 0 };
            permits -= reserved;
            let flown = self.live.fly(now, &mut permits, |_| true);
            if waits {
                let flown = u32::try_from(flown.len()).unwrap_or(u32::MAX);
                self.live_run = self.live_run.saturating_add(flown).min(LIVE_RUN_MAX);
            }
            actions.extend(flown.into_iter().map(|id| Action::Put(Key::Live(id))));
            permits += reserved;
        }
        // At a stop only what may be delivered in part is still here. Nobody would understand if it were sent twice
        // because the first part came too early for the rest.
        let unhurried = !self.stopping;
        let pace = &mut self.pace;
        let flown = self.queued.fly(now, &mut permits, |load| {
            let may_go = !unhurried || pace.free_at() <= now;
            if may_go {
                pace.take(now, load);
            }
            may_go
        });
        if !flown.is_empty() {
            self.live_run = 0;
        }
        actions.extend(flown.into_iter().map(|sequence| Action::Put(Key::Queued(sequence))));
    }

    /// Permits that the backlog has to itself, so that it always moves: one of several, and where there is only one, that
    /// one now and then.
    fn reserved_for_backlog(&self) -> usize {
        let has_its_turn = self.puts_max() > 1 || self.live_run >= LIVE_RUN_MAX;
        usize::from(has_its_turn && self.queued.flying() == 0)
    }

    fn note_slowness(&mut self, now: Duration) {
        let up = self.health.permits() > 0;
        let waiting = self.live.ready() > 0;
        match (self.policy.queue_mode, self.slow_since) {
            (QueueMode::Backpressure { .. }, None) if up && waiting => self.slow_since = Some(now),
            // Once spooling has begun it goes on until the backlog is gone.
            (QueueMode::Backpressure { .. }, Some(_)) if !waiting && !self.has_backlog() => {
                self.slow_since = None;
            }
            _ => {}
        }
    }

    fn read_backlog(&mut self, actions: &mut Vec<Action>) {
        let room = (self.policy.concurrency as usize + READ_AHEAD).saturating_sub(self.queued.len());
        let up = self.health.permits() > 0;
        let may_read = self.memory_for_reads && !self.reading && !self.stopping;
        if up && self.unread && may_read && room > 0 {
            self.reading = true;
            actions.push(Action::Read(room));
        }
    }

    fn finish(&mut self, actions: &mut Vec<Action>) {
        let idle = self.live.is_empty() && self.queued.is_empty() && !self.reading;
        let drained = self.stopping || !self.has_unread();
        if self.inputs_ended && idle && drained && !self.finished {
            self.finished = true;
            actions.push(Action::Finished);
        }
    }
}
