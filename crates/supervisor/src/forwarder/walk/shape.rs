//! What of a state matters for all that can come: when something happened counts only by what it means now.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::world::World;
use crate::config::checked::QueueMode;
use crate::forwarder::Forwarder;
use crate::forwarder::held::{Batches, Stage};
use crate::health::State;

/// Long enough for any failure to count as sustained.
const SUSTAINED: Duration = Duration::from_millis(500);

impl World {
    /// The same for states that differ in nothing that matters.
    pub(super) fn shape(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let to = &mut hasher;
        self.machine.shape(self.now, to);
        (self.given, self.looking, self.reading, &self.queue, self.readable, self.read).hash(to);
        (&self.parked, self.wanted_back, &self.coming_back, self.room, self.told_full).hash(to);
        (self.paused, self.ended, self.stopped, self.gave_up, self.finished).hash(to);
        (self.bounds, &self.fates).hash(to);
        for (key, since) in &self.puts {
            (key, self.now - *since >= SUSTAINED).hash(to);
        }
        hasher.finish()
    }
}

impl Forwarder {
    fn shape(&self, now: Duration, to: &mut DefaultHasher) {
        shape_of_batches(&self.live, now, to);
        shape_of_batches(&self.queued, now, to);
        match *self.health.state() {
            State::Healthy { failures, failing_since } => {
                // Three are enough; what counts besides is whether the next one makes them an outage.
                (0, failures.min(3), failures > 0 && now - failing_since >= SUSTAINED).hash(to);
            }
            State::Unhealthy { retry_at, .. } => (1, retry_at <= now).hash(to),
            State::VerifyingShards { .. } => 2.hash(to),
            State::VerifyingCanary { .. } => 3.hash(to),
            State::Recovering { permits, accepted } => (4, permits, accepted).hash(to),
            State::Paused { looking } => (5, looking).hash(to),
        }
        self.window.shape(now).hash(to);
        let slow = match (self.policy.queue_mode, self.slow_since) {
            (QueueMode::Backpressure { after }, Some(since)) => 1 + u8::from(now - since >= after),
            _ => 0,
        };
        (slow, self.pace.free_at() <= now, self.live_run).hash(to);
        (self.spooled_end, self.readable_end, self.unread, self.reading, self.readable_while_reading)
            .hash(to);
        (self.queue_room, self.withdrawing, self.inputs_ended, self.stopping, self.given_up).hash(to);
        (self.memory_for_puts, self.memory_for_reads, self.finished).hash(to);
        // Which deadline comes first decides what the next one can find.
        self.order_of_deadlines(now).hash(to);
    }

    fn order_of_deadlines(&self, now: Duration) -> Vec<(u8, u64)> {
        let due = |kind: u8, batches: &Batches| {
            let dues = batches.iter().filter_map(move |(id, stage)| match stage {
                Stage::Ready { due, .. } => Some((due, (kind, id))),
                _ => None,
            });
            dues.collect::<Vec<_>>()
        };
        let mut deadlines = due(0, &self.live);
        deadlines.extend(due(1, &self.queued));
        deadlines.extend(self.health.deadline().map(|at| (at, (2, 0))));
        deadlines.push((self.pace.free_at(), (3, 0)));
        deadlines.retain(|(at, _)| *at > now);
        deadlines.sort_unstable();
        deadlines.into_iter().map(|(_, what)| what).collect()
    }
}

fn shape_of_batches(batches: &Batches, now: Duration, to: &mut DefaultHasher) {
    for (id, stage) in batches.iter() {
        let stage = match stage {
            // Later attempts wait for longer, and that is all.
            Stage::Ready { attempt, due } => (0, attempt.min(1), due <= now),
            Stage::Flying { attempt } => (1, attempt.min(1), false),
            Stage::Spooling => (2, 0, false),
        };
        (id, stage).hash(to);
    }
    u64::MAX.hash(to);
}
