//! What an event changes.

use std::time::Duration;

use super::held::Stage;
use super::{Action, Event, Forwarder, Key, PutResult};
use crate::health::{PutHealth, Verdict};
use crate::rate::Load;

/// Bounds of the delay before a failed put is tried again while the output is up; it doubles with every attempt.
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(200);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(20);

impl Forwarder {
    pub(super) fn take_in(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Time => {}
            Event::Live(id) => self.on_live(id),
            Event::Put { key, result } => self.on_put(now, key, result, actions),
            Event::Verified(verdict) => self.on_verified(now, verdict),
            Event::Spooled { id, sequence } => self.on_spooled(id, sequence),
            Event::Readable(end) => self.on_readable(end),
            Event::Withdrawn(id) => self.on_withdrawn(now, id),
            Event::QueueRoom(room) => {
                self.queue_room = room;
                self.withdrawing &= !room;
            }
            Event::Memory { puts, reads } => {
                self.memory_for_puts = puts;
                self.memory_for_reads = reads;
            }
            Event::Read { sequence, load } => self.queued.insert(sequence, load),
            Event::ReadDone { more } => {
                assert!(self.reading, "an answer to a read that was not asked for");
                self.reading = false;
                self.unread = more || std::mem::take(&mut self.readable_while_reading);
            }
            Event::Pause(true) => self.health.pause(),
            Event::Pause(false) => self.health.resume(now),
            Event::InputsEnded => self.inputs_ended = true,
            Event::Stop => self.stopping = true,
            Event::GiveUp => self.give_up(now, actions),
        }
    }

    fn on_live(&mut self, id: u64) {
        assert!(self.live.newest().is_none_or(|last| last < id), "live batches come in order");
        self.live.insert(id, Load::default());
    }

    fn on_put(&mut self, now: Duration, key: Key, result: PutResult, actions: &mut Vec<Action>) {
        self.health.on_put(result.since, now, result.health);
        match result.health {
            PutHealth::Open => self.window.on_accepted(),
            PutHealth::Throttled => self.window.on_throttled(now),
            PutHealth::Transient | PutHealth::Misconfigured | PutHealth::Echo => {}
        }
        let (batches, id) = match key {
            Key::Live(id) => (&mut self.live, id),
            Key::Queued(sequence) => (&mut self.queued, sequence),
        };
        let held = batches.get_mut(id).unwrap_or_else(|| panic!("a put of {key:?} ended that is not held"));
        let Stage::Flying { attempt } = held.stage else {
            panic!("a put of {key:?} ended that was never started");
        };
        if result.finished {
            batches.remove(id);
            actions.push(Action::Done(key));
            return;
        }
        let attempt = if result.progressed { 1 } else { attempt.saturating_add(1) };
        let bound = RETRY_DELAY_FIRST.saturating_mul(1 << (attempt - 1).min(16)).min(RETRY_DELAY_MAX);
        let due = now + bound.mul_f64(self.rng.f64()).max(RETRY_DELAY_MIN);
        held.stage = Stage::Ready { attempt, due };
        held.load = result.left;
    }

    fn on_verified(&mut self, now: Duration, verdict: Verdict) {
        self.health.on_verdict(now, verdict);
        if self.health.permits() > 0 {
            self.live.hurry(now);
            self.queued.hurry(now);
        }
    }

    fn on_spooled(&mut self, id: u64, sequence: u64) {
        let stage = self.live.remove(id);
        assert_eq!(stage, Some(Stage::Spooling), "the queue took batch {id} without having been given it");
        assert!(sequence >= self.spooled_end, "sequences grow");
        self.spooled_end = sequence + 1;
    }

    /// IMPORTANT: only this makes batches unread. That the queue has taken one does not yet mean that a reader finds it,
    /// and a reading that finds nothing is not repeated.
    fn on_readable(&mut self, end: u64) {
        assert!(end >= self.readable_end, "what can be read stays readable");
        self.readable_end = end;
        self.unread = true;
        self.readable_while_reading = self.reading;
    }

    fn on_withdrawn(&mut self, now: Duration, id: u64) {
        let held = self.live.get_mut(id).unwrap_or_else(|| panic!("batch {id} came back and is not held"));
        let was = std::mem::replace(&mut held.stage, Stage::Ready { attempt: 0, due: now });
        assert_eq!(was, Stage::Spooling, "the queue gave batch {id} back without having been given it");
        if self.live.spooling() == 0 && !self.stopping {
            // Whether it has room again, the next batch that needs it will show. The slow way has its time once more.
            (self.queue_room, self.withdrawing) = (true, false);
            self.slow_since = None;
        }
    }

    /// What flies, or waits for a queue that does not answer, is let go of. The queue may still take it: then its input
    /// gives it again, once too often.
    fn give_up(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.stopping = true;
        self.given_up = true;
        self.reading = false;
        self.live.land(now);
        self.queued.land(now);
        let unanswered = self.live.remove_those(|stage| stage == Stage::Spooling);
        actions.extend(unanswered.into_iter().map(Action::Abandon));
    }
}
