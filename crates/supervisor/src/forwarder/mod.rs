//! What becomes of each batch of one output: sent, spooled to the queue, read back, retried, dropped. Pure: events
//! with the time they happened at go in, actions come out; the [driver](crate::driver) performs them.
//!
//! A batch has one of two keys. `Live` batches come from the inputs, `Queued` ones are read back from the queue.
//! The machine knows neither their bytes nor their events.

mod messages;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::checked::{Backpressure, OnFull, QueueMode};
use crate::health::{Health, PutHealth, Verdict};
use crate::window::Window;

pub use messages::{Action, DropReason, Event, Key, Policy, PutResult};

/// Bounds of the delay before a failed put is tried again while the output is up; it doubles with every attempt.
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(200);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(20);

/// Batches that wait in memory, besides those in flight.
const LIVE_MAX: usize = 4;
/// Batches handed to the queue that it has not taken yet. More than one, so that they share a sync.
const SPOOLS_MAX: usize = 8;
/// Queued batches that are held ready beyond those that may fly.
const READ_AHEAD: usize = 2;

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits in memory; not to be put before `due`. `attempt` puts of it have failed since it last progressed.
    Ready {
        attempt: u32,
        due: Duration,
    },
    Flying {
        attempt: u32,
    },
    /// Given to the queue, which has not taken it yet.
    Spooling,
}

const FRESH: Stage = Stage::Ready { attempt: 0, due: Duration::ZERO };

/// The machine of one output.
#[derive(Debug)]
pub struct Forwarder {
    policy: Policy,
    health: Health,
    window: Window,
    rng: fastrand::Rng,
    live: BTreeMap<u64, Stage>,
    queued: BTreeMap<u64, Stage>,
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
            rng: fastrand::Rng::with_seed(seed),
            policy,
            live: BTreeMap::new(),
            queued: BTreeMap::new(),
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
        self.flying()
    }

    /// How many batches may be put at once now; 0 while none may.
    #[must_use]
    pub fn puts_max(&self) -> u32 {
        self.health.permits().min(self.window.limit())
    }

    /// Batches from the inputs that wait in memory, fresh ones and such that are tried again.
    #[must_use]
    pub fn live_waiting(&self) -> usize {
        self.live.values().filter(|stage| matches!(stage, Stage::Ready { .. })).count()
    }

    /// Do batches from the inputs go to the queue now, as far as it has room?
    #[must_use]
    pub fn is_spooling(&self) -> bool {
        !self.is_direct(self.now)
    }

    /// Does the queue hold, or is it about to hold, batches that are not delivered?
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.has_unread() || !self.queued.is_empty() || self.spools() > 0
    }

    /// Is the time for stopping over?
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Is there room for another batch from the inputs?
    #[must_use]
    pub fn wants_live(&self) -> bool {
        self.live_waiting() < LIVE_MAX || self.drop_reason().is_some()
    }

    /// When [`Event::Time`] is due, if ever. What was due already and could not be done waits for another event: a
    /// permit that comes back, room in the queue.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let retry = |stage: &Stage| match stage {
            Stage::Ready { attempt: 1.., due } if self.health.permits() > 0 => Some(*due),
            _ => None,
        };
        let retries = self.live.values().chain(self.queued.values()).filter_map(retry);
        let slow = match (self.policy.queue_mode, self.slow_since) {
            (QueueMode::Backpressure { after }, Some(since)) => Some(since + after),
            _ => None,
        };
        retries.chain(self.health.deadline()).chain(slow).filter(|due| *due > self.now).min()
    }

    /// Takes in what happened and says what to do now.
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        assert!(now >= self.now, "time went backwards");
        self.now = now;
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
            Event::Read(sequence) => {
                let known = self.queued.insert(sequence, FRESH);
                assert!(known.is_none(), "batch {sequence} was read twice");
            }
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
        if self.health.on_time(now) {
            actions.push(Action::Verify);
        }
        self.drop_what_has_no_room(actions);
        if self.stopping {
            self.let_go(actions);
        }
        self.take_back(actions);
        self.spool_live(now, actions);
        self.put_ready(now, actions);
        self.note_slowness(now);
        self.read_backlog(actions);
        if self.live.is_empty() && !self.has_backlog() {
            self.health.on_idle();
        }
        self.finish(actions);
    }

    fn on_live(&mut self, id: u64) {
        assert!(self.live.keys().next_back().is_none_or(|last| *last < id), "live batches come in order");
        self.live.insert(id, FRESH);
    }

    fn on_put(&mut self, now: Duration, key: Key, result: PutResult, actions: &mut Vec<Action>) {
        self.health.on_put(result.since, now, result.health);
        match result.health {
            PutHealth::Open => self.window.on_accepted(),
            PutHealth::Throttled => self.window.on_throttled(now),
            PutHealth::Transient | PutHealth::Misconfigured | PutHealth::Echo => {}
        }
        let (map, id) = match key {
            Key::Live(id) => (&mut self.live, id),
            Key::Queued(sequence) => (&mut self.queued, sequence),
        };
        let Some(Stage::Flying { attempt }) = map.get(&id).copied() else {
            panic!("a put of {key:?} ended that was never started");
        };
        if result.finished {
            map.remove(&id);
            actions.push(Action::Done(key));
            return;
        }
        let attempt = if result.progressed { 1 } else { attempt.saturating_add(1) };
        let bound = RETRY_DELAY_FIRST.saturating_mul(1 << (attempt - 1).min(16)).min(RETRY_DELAY_MAX);
        let due = now + bound.mul_f64(self.rng.f64()).max(RETRY_DELAY_MIN);
        map.insert(id, Stage::Ready { attempt, due });
    }

    fn on_verified(&mut self, now: Duration, verdict: Verdict) {
        self.health.on_verdict(now, verdict);
        if self.health.permits() > 0 {
            for stage in self.live.values_mut().chain(self.queued.values_mut()) {
                if let Stage::Ready { due, .. } = stage {
                    *due = now;
                }
            }
        }
    }

    fn on_spooled(&mut self, id: u64, sequence: u64) {
        let stage = self.live.remove(&id);
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
        let stage = self.live.insert(id, Stage::Ready { attempt: 0, due: now });
        assert_eq!(
            stage,
            Some(Stage::Spooling),
            "the queue gave batch {id} back without having been given it"
        );
        if self.spools() == 0 && !self.stopping {
            // Whether it has room again, the next batch that needs it will show. The slow way has its time once more.
            (self.queue_room, self.withdrawing) = (true, false);
            self.slow_since = None;
        }
    }

    /// Does the queue hold batches that were not read yet, readable already or not?
    fn has_unread(&self) -> bool {
        self.unread || self.readable_end < self.spooled_end
    }

    fn spools(&self) -> usize {
        self.live.values().filter(|stage| **stage == Stage::Spooling).count()
    }

    fn flying(&self) -> usize {
        let flying = |stage: &&Stage| matches!(stage, Stage::Flying { .. });
        self.live.values().chain(self.queued.values()).filter(flying).count()
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
            Backpressure::Queue if !self.queue_room && self.policy.on_full == OnFull::Drop => {
                Some(DropReason::QueueFull)
            }
            _ => None,
        }
    }

    /// Drops the newest batches beyond those that may wait.
    fn drop_what_has_no_room(&mut self, actions: &mut Vec<Action>) {
        let Some(reason) = self.drop_reason() else { return };
        let fresh: Vec<u64> =
            self.live.iter().filter(|(_, stage)| **stage == FRESH).map(|(id, _)| *id).collect();
        let keep = LIVE_MAX.saturating_sub(self.live_waiting() - fresh.len());
        for id in fresh.into_iter().skip(keep) {
            self.live.remove(&id);
            actions.push(Action::Drop(id, reason));
        }
    }

    /// Hands live batches to the queue, oldest first. Under strict ordering none passes an older one whose put is
    /// still undecided: that one may have to be spooled before it.
    fn spool_live(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if !self.is_queueing() || self.is_direct(now) || !self.queue_room {
            return;
        }
        let mut room = SPOOLS_MAX.saturating_sub(self.spools());
        for (id, stage) in &mut self.live {
            match stage {
                Stage::Flying { .. } if self.policy.strict_ordering => break,
                Stage::Ready { .. } if room == 0 => break,
                Stage::Ready { .. } => {
                    *stage = Stage::Spooling;
                    room -= 1;
                    actions.push(Action::Spool(*id));
                }
                Stage::Flying { .. } | Stage::Spooling => {}
            }
        }
    }

    fn put_ready(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.given_up {
            return;
        }
        let limit = self.puts_max() as usize;
        let mut permits = limit.saturating_sub(self.flying());
        let direct = self.is_direct(now) && self.memory_for_puts;
        if self.policy.strict_ordering || !self.is_queueing() {
            put_in_order(&mut self.queued, Key::Queued, now, &mut permits, actions);
            if direct {
                put_in_order(&mut self.live, Key::Live, now, &mut permits, actions);
            }
            return;
        }
        // New before old, but one permit of several is the backlog's, so that it always moves.
        let reserved = usize::from(!self.queued.is_empty() && limit > 1 && permits > 0);
        permits -= reserved;
        if direct {
            put_in_order(&mut self.live, Key::Live, now, &mut permits, actions);
        }
        permits += reserved;
        put_in_order(&mut self.queued, Key::Queued, now, &mut permits, actions);
    }

    fn note_slowness(&mut self, now: Duration) {
        let up = self.health.permits() > 0;
        let waiting = self.live.values().any(|stage| matches!(stage, Stage::Ready { .. }));
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

    /// While stopping: lets go of what will not be sent any more. A queued batch that was tried already may be
    /// delivered in part, so it is tried again while the way is open.
    fn let_go(&mut self, actions: &mut Vec<Action>) {
        let open = self.health.permits() > 0 && !self.given_up;
        let queued = ready(&self.queued, |attempt| attempt == 0 || !open);
        for sequence in queued {
            self.queued.remove(&sequence);
            // It is still in the queue, for the next start to read.
            self.unread = true;
            actions.push(Action::Forget(sequence));
        }
        let hopeless = if self.is_queueing() { !self.queue_room } else { !open };
        for id in ready(&self.live, |_| hopeless) {
            self.live.remove(&id);
            actions.push(Action::Abandon(id));
        }
    }

    /// Takes back what waits for room in the queue where that is of no use: it could be sent at once, since everything
    /// before it is delivered, or there is no time to wait. A queue can be empty and have no room: another program has
    /// filled the disk.
    fn take_back(&mut self, actions: &mut Vec<Action>) {
        let is_next = self.health.permits() > 0 && self.queued.is_empty() && !self.has_unread();
        let no_use = self.stopping || (is_next && self.policy.queue_mode != QueueMode::Always);
        let waits = !self.queue_room && self.spools() > 0;
        if no_use && waits && !std::mem::replace(&mut self.withdrawing, true) {
            actions.push(Action::Withdraw);
        }
    }

    /// What flies, or waits for a queue that does not answer, is let go of. The queue may still take it: then its input
    /// gives it again, once too often.
    fn give_up(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.stopping = true;
        self.given_up = true;
        self.reading = false;
        for stage in self.live.values_mut().chain(self.queued.values_mut()) {
            if let Stage::Flying { attempt } = *stage {
                *stage = Stage::Ready { attempt, due: now };
            }
        }
        for (id, _) in self.live.extract_if(.., |_, stage| *stage == Stage::Spooling) {
            actions.push(Action::Abandon(id));
        }
    }
}

/// The batches that wait and whose attempts satisfy `which`.
fn ready(batches: &BTreeMap<u64, Stage>, which: impl Fn(u32) -> bool) -> Vec<u64> {
    let waiting = |(id, stage): (&u64, &Stage)| match stage {
        Stage::Ready { attempt, .. } if which(*attempt) => Some(*id),
        _ => None,
    };
    batches.iter().filter_map(waiting).collect()
}

/// Puts the oldest batches that are due. One that waits to be tried again keeps its permit, so that with a single
/// permit nothing ever passes it.
fn put_in_order(
    batches: &mut BTreeMap<u64, Stage>,
    key: fn(u64) -> Key,
    now: Duration,
    permits: &mut usize,
    actions: &mut Vec<Action>,
) {
    for (id, stage) in batches {
        if *permits == 0 {
            return;
        }
        if let Stage::Ready { attempt, due } = *stage {
            *permits -= 1;
            if due <= now {
                *stage = Stage::Flying { attempt };
                actions.push(Action::Put(key(*id)));
            }
        }
    }
}
