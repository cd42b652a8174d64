//! What becomes of each batch of one output: sent, spooled to the queue, read back, retried, dropped. Pure: events
//! with the time they happened at go in, actions come out; the [driver](crate::driver) performs them.
//!
//! A batch has one of two keys. `Live` batches come from the inputs, `Queued` ones are read back from the queue.
//! Of what is in them the machine knows how much it is, and only of queued ones: a drain may be limited.

mod events;
mod held;
mod messages;
#[cfg(test)]
mod policies;
mod steps;
#[cfg(test)]
mod walk;

use std::time::Duration;

use crate::config::checked::{Backpressure, OnFull, QueueMode};
use crate::health::Health;
use crate::rate::Pace;
use crate::window::Window;
use held::Batches;

pub use messages::{Action, DropReason, Event, Key, Policy, PutResult};

/// Batches that wait in memory, besides those in flight. Few where every state is walked through.
const LIVE_MAX: usize = if cfg!(test) { 1 } else { 4 };

/// The machine of one output.
#[derive(Debug, Clone)]
pub struct Forwarder {
    policy: Policy,
    health: Health,
    window: Window,
    /// Of what comes from the queue.
    pace: Pace,
    rng: fastrand::Rng,
    live: Batches,
    queued: Batches,
    /// Live batches put since one of the backlog was, while it waited.
    live_run: u32,
    /// What the queue holds ends before this sequence …
    spooled_end: u64,
    /// … and before this one, where it can be read.
    readable_end: u64,
    /// Batches that can be read and were not read yet.
    unread: bool,
    reading: bool,
    /// A batch became readable after the reading that goes on had begun, which may have missed it.
    readable_while_reading: bool,
    queue_room: bool,
    memory_for_puts: bool,
    memory_for_reads: bool,
    /// What waits in the queue for room was taken back, or will be.
    withdrawing: bool,
    /// Since when a live batch has waited for a permit while the output was up.
    slow_since: Option<Duration>,
    inputs_ended: bool,
    stopping: bool,
    given_up: bool,
    finished: bool,
    /// When the last event was handled.
    now: Duration,
}

impl Forwarder {
    /// A machine for an output whose queue holds undelivered batches below the sequence `backlog`, or none if that is
    /// 0. Nothing of it counts as readable before an [`Event::Readable`]. `seed` decides the jitter.
    #[must_use]
    pub fn new(policy: Policy, backlog: u64, seed: u64) -> Self {
        Self {
            health: Health::new(policy.concurrency, seed),
            window: Window::new(policy.concurrency),
            pace: Pace::new(policy.drain),
            rng: fastrand::Rng::with_seed(seed),
            policy,
            live: Batches::default(),
            queued: Batches::default(),
            live_run: 0,
            spooled_end: backlog,
            readable_end: 0,
            unread: false,
            reading: false,
            readable_while_reading: false,
            queue_room: true,
            memory_for_puts: true,
            memory_for_reads: true,
            withdrawing: false,
            slow_since: None,
            inputs_ended: false,
            stopping: false,
            given_up: false,
            finished: false,
            now: Duration::ZERO,
        }
    }

    /// The health of the output.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Is the output up, but slowed down by the service?
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.window.is_narrow() && self.health.permits() > 0
    }

    /// Batches being put.
    #[must_use]
    pub fn puts_in_flight(&self) -> usize {
        self.live.flying() + self.queued.flying()
    }

    /// How many batches may be put at once now; 0 while none may.
    #[must_use]
    pub fn puts_max(&self) -> u32 {
        self.health.permits().min(self.window.limit())
    }

    /// Batches from the inputs that wait in memory, fresh ones and such that are tried again.
    #[must_use]
    pub fn live_waiting(&self) -> usize {
        self.live.ready()
    }

    /// Do batches from the inputs go to the queue now, as far as it has room?
    #[must_use]
    pub fn is_spooling(&self) -> bool {
        !self.is_direct(self.now)
    }

    /// Does the queue hold, or is it about to hold, batches that are not delivered?
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.has_unread() || !self.queued.is_empty() || self.live.spooling() > 0
    }

    /// Is the time for stopping over?
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Is there room for another batch from the inputs?
    #[must_use]
    pub fn wants_live(&self) -> bool {
        self.live.ready() < LIVE_MAX || self.drop_reason().is_some()
    }

    /// When [`Event::Time`] is due, if ever. What was due already and could not be done waits for another event: a
    /// permit that comes back, room in the queue.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let up = self.health.permits() > 0;
        let retries = self.live.retries().chain(self.queued.retries()).filter(|_| up);
        // Where there is nothing to send, nobody waits for its turn.
        let pace = (up && self.queued.ready() > 0).then(|| self.pace.free_at());
        let slow = match (self.policy.queue_mode, self.slow_since) {
            (QueueMode::Backpressure { after }, Some(since)) => Some(since + after),
            _ => None,
        };
        retries.chain(pace).chain(self.health.deadline()).chain(slow).filter(|due| *due > self.now).min()
    }

    /// Takes in what happened and says what to do now.
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        assert!(now >= self.now, "time went backwards");
        self.now = now;
        self.take_in(now, event, actions);
        self.act(now, actions);
    }

    /// Does the queue hold batches that were not read yet, readable already or not?
    fn has_unread(&self) -> bool {
        self.unread || self.readable_end < self.spooled_end
    }

    fn is_queueing(&self) -> bool {
        self.policy.backpressure == Backpressure::Queue
    }

    /// May live batches be put without going through the queue?
    fn is_direct(&self, now: Duration) -> bool {
        if !self.is_queueing() {
            return true;
        }
        let too_slow = match (self.policy.queue_mode, self.slow_since) {
            (QueueMode::Always, _) => true,
            (QueueMode::Backpressure { after }, Some(since)) => now.saturating_sub(since) >= after,
            (QueueMode::Backpressure { .. } | QueueMode::Error, _) => false,
        };
        let passes_backlog = self.policy.strict_ordering && self.has_backlog();
        self.health.permits() > 0 && !too_slow && !passes_backlog && !self.stopping
    }

    /// Why a batch that finds no room is dropped instead of waiting, if it is.
    fn drop_reason(&self) -> Option<DropReason> {
        let down = self.health.name().is_down();
        match self.policy.backpressure {
            Backpressure::Drop if down && !self.stopping => Some(DropReason::Unhealthy),
            Backpressure::Queue if self.policy.on_full == OnFull::Drop => {
                // What is taken back from a full queue is about to be sent, and what waits behind it too.
                let full = !self.queue_room && !self.withdrawing;
                (full && !self.is_direct(self.now)).then_some(DropReason::QueueFull)
            }
            _ => None,
        }
    }
}
