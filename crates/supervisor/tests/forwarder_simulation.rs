//! The forwarder's machine against a simulated queue and service in virtual time: one seed a run, thousands of runs.
//! Each failure prints its seed; `MILLPOND_SEED=n` repeats that run alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use millpond::config::checked::{Backpressure, OnFull, QueueMode};
use millpond::forwarder::{Action, DropReason, Event, Forwarder, Key, Policy, PutResult};
use millpond::health::{PutHealth, Verdict};

const BATCHES: u64 = 120;
const STEPS_MAX: u32 = 200_000;

/// A world in which the link comes and goes, the queue fills up and empties, and answers take their time.
struct World {
    rng: fastrand::Rng,
    now: Duration,
    machine: Forwarder,
    policy: Policy,
    /// What happens later: (when, tie-breaker) → event.
    agenda: BTreeMap<(Duration, u64), Event>,
    tie: u64,
    given: u64,
    /// The queue: ids in the order of their sequence, how many of them can be read, how far they were read or given up.
    queue: Vec<u64>,
    readable: usize,
    read: usize,
    /// Given to the queue, not taken yet.
    parked: VecDeque<u64>,
    /// Takes batches at once and makes them readable up to this much later.
    sync_ms: Option<u64>,
    sync_is_due: bool,
    room: bool,
    /// Memory allows puts from the inputs, and readings.
    memory: (bool, bool),
    /// From then on the queue gets no room any more.
    full_from: Option<Duration>,
    withdrawn_at: Option<Duration>,
    /// What the machine was told of the room.
    told_room: bool,
    link_up: bool,
    /// The shards are being looked at.
    looking: bool,
    /// The machine was paused, and from then on no put and no reading may begin.
    paused: bool,
    delivered: Vec<u64>,
    acknowledged: BTreeSet<u64>,
    dropped: BTreeSet<u64>,
    abandoned: BTreeSet<u64>,
    /// By a policy of the queue, without the machine being told.
    given_up: BTreeSet<u64>,
    unanswered_puts: usize,
    stopped: bool,
    out_of_time: bool,
    finished: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let after = Duration::from_secs(2);
        let modes = [QueueMode::Error, QueueMode::Always, QueueMode::Backpressure { after }];
        let policy = Policy {
            backpressure: [Backpressure::Block, Backpressure::Drop, Backpressure::Queue, Backpressure::Queue]
                [rng.usize(..4)],
            queue_mode: modes[rng.usize(..3)],
            strict_ordering: rng.bool(),
            on_full: [OnFull::Block, OnFull::Drop, OnFull::DropOldest][rng.usize(..3)],
            concurrency: [1, 2, 5, 32, 160][rng.usize(..5)],
        };
        let before = if policy.backpressure == Backpressure::Queue { rng.u64(..10) } else { 0 };
        let machine = Forwarder::new(policy.clone(), before, seed);
        let sync_ms = [None, Some(20), Some(5_000)][rng.usize(..3)];
        let mut world = Self {
            now: Duration::ZERO,
            machine,
            policy,
            agenda: BTreeMap::new(),
            tie: 0,
            given: before,
            queue: (0..before).collect(),
            readable: 0,
            read: 0,
            parked: VecDeque::new(),
            sync_ms,
            sync_is_due: false,
            room: true,
            memory: (true, true),
            full_from: rng.bool().then(|| Duration::from_millis(rng.u64(..30_000))),
            withdrawn_at: None,
            told_room: true,
            rng,
            link_up: true,
            looking: false,
            paused: false,
            delivered: Vec::new(),
            acknowledged: BTreeSet::new(),
            dropped: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            given_up: BTreeSet::new(),
            unanswered_puts: 0,
            stopped: false,
            out_of_time: false,
            finished: false,
        };
        if before > 0 {
            world.sync_later(500);
        }
        world
    }

    /// What is in the queue becomes readable, all of it at once.
    fn sync_later(&mut self, ms_max: u64) {
        if !std::mem::replace(&mut self.sync_is_due, true) {
            self.later(ms_max, Event::Readable(0));
        }
    }

    fn sync(&mut self) {
        self.sync_is_due = false;
        self.readable = self.queue.len();
        self.step(Event::Readable(self.readable as u64));
    }

    /// What the queue's thread says comes in order.
    fn at_once(&mut self, event: Event) {
        self.tie += 1;
        self.agenda.insert((self.now, self.tie), event);
    }

    fn tell_room(&mut self) {
        if self.told_room != self.room && (self.room || !self.parked.is_empty()) {
            self.told_room = self.room;
            self.at_once(Event::QueueRoom(self.room));
        }
    }

    fn later(&mut self, ms_max: u64, event: Event) {
        self.tie += 1;
        let due = self.now + Duration::from_millis(self.rng.u64(1..=ms_max));
        self.agenda.insert((due, self.tie), event);
    }

    fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.machine.handle(self.now, event, &mut actions);
        for action in actions {
            self.perform(action);
        }
        assert!(self.unanswered_puts <= self.policy.concurrency as usize, "more puts than permitted");
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Put(key) => {
                assert!(!self.paused, "{key:?} is put during a pause");
                assert!(self.memory.0 || matches!(key, Key::Queued(_)), "{key:?} is put against memory");
                self.put(key);
            }
            Action::Done(key) => {
                let id = self.id(key);
                assert!(self.delivered.contains(&id), "{id} acknowledged without having been accepted");
                self.acknowledged.insert(id);
            }
            Action::Spool(id) => {
                self.parked.push_back(id);
                self.tell_room();
            }
            Action::Withdraw => {
                let last = self.withdrawn_at.replace(self.now);
                assert!(self.stopped || last != Some(self.now), "given and taken back without end");
                for id in std::mem::take(&mut self.parked) {
                    // Of what was abandoned meanwhile nobody hears any more.
                    if !self.abandoned.contains(&id) {
                        self.at_once(Event::Withdrawn(id));
                    }
                }
                self.told_room = true;
            }
            Action::Drop(id, _) => assert!(self.dropped.insert(id)),
            Action::Abandon(id) => assert!(self.abandoned.insert(id)),
            Action::Forget(_) => {}
            Action::Verify => {
                assert!(!self.paused, "the shards are looked at during a pause");
                assert!(!std::mem::replace(&mut self.looking, true), "two looks at once");
                let verdict = match (self.link_up, self.rng.u8(..10)) {
                    (true, 0..8) => Verdict::Covered,
                    (true, _) => Verdict::Unknown,
                    (false, _) => Verdict::Bad,
                };
                self.later(50, Event::Verified(verdict));
            }
            Action::Read(max) => {
                assert!(!self.paused, "a reading during a pause");
                assert!(self.memory.1, "a reading against memory");
                self.read_back(max);
            }
            Action::Finished => self.finished = true,
        }
    }

    fn put(&mut self, key: Key) {
        self.unanswered_puts += 1;
        let chance = self.rng.u8(..100);
        let (finished, progressed, health) = match (self.link_up, chance) {
            (true, 0..70) => (true, true, PutHealth::Open),
            (true, 70..85) => (false, true, PutHealth::Throttled),
            (true, 85..95) => (false, false, PutHealth::Throttled),
            (true, 95..97) => (false, false, PutHealth::Echo),
            (true, _) => (false, false, PutHealth::Transient),
            (false, 0..90) => (false, false, PutHealth::Transient),
            (false, _) => (false, false, PutHealth::Misconfigured),
        };
        if finished {
            let id = self.id(key);
            self.check_order(key, id);
            self.delivered.push(id);
        }
        let result = PutResult { finished, progressed, health, since: self.now };
        self.later(if self.link_up { 30 } else { 3000 }, Event::Put { key, result });
    }

    /// With one put at a time and strict ordering nothing overtakes anything.
    fn check_order(&self, key: Key, id: u64) {
        if self.policy.strict_ordering && self.policy.concurrency == 1 {
            let last = self.delivered.last().copied();
            assert!(last.is_none_or(|last| last < id), "{key:?} = {id} passed {last:?}");
        }
    }

    fn id(&self, key: Key) -> u64 {
        match key {
            Key::Live(id) => id,
            Key::Queued(sequence) => self.queue[sequence as usize],
        }
    }

    fn read_back(&mut self, max: usize) {
        for _ in 0..max.min(self.readable - self.read) {
            self.tie += 1;
            self.agenda.insert((self.now, self.tie), Event::Read(self.read as u64));
            self.read += 1;
        }
        let more = self.read < self.readable;
        self.later(20, Event::ReadDone { more });
    }

    /// The queue takes what it was given, while it has room.
    fn take_parked(&mut self) {
        while self.room
            && let Some(id) = self.parked.pop_front()
        {
            let sequence = self.queue.len() as u64;
            self.queue.push(id);
            if self.abandoned.contains(&id) {
                continue;
            }
            self.step(Event::Spooled { id, sequence });
            match self.sync_ms {
                None if self.rng.bool() => self.sync(),
                None => self.sync_later(3),
                Some(ms_max) => self.sync_later(ms_max),
            }
        }
    }

    /// A policy of the queue gives up the oldest batches that can be read and were not.
    fn give_up_oldest(&mut self) {
        let end = self.rng.usize(self.read..=self.readable);
        self.given_up.extend(&self.queue[self.read..end]);
        self.read = end;
    }

    fn run(&mut self) {
        // Some stops are patient, some run out of time at once.
        let patience = Duration::from_secs(self.rng.u64(..5));
        let stop_at = self.rng.bool().then(|| Duration::from_millis(self.rng.u64(1..60_000)));
        let mut ended = false;
        for _ in 0..STEPS_MAX {
            if self.finished {
                return;
            }
            self.weather();
            self.take_parked();
            if !self.stopped && stop_at.is_some_and(|at| self.now >= at) {
                self.stopped = true;
                self.step(Event::Stop);
            }
            if self.stopped && !self.out_of_time && stop_at.is_some_and(|at| self.now >= at + patience) {
                self.out_of_time = true;
                let untold = self.agenda.values().any(|event| matches!(event, Event::QueueRoom(_)));
                assert!(self.told_room || untold || self.parked.is_empty(), "it waits for room without end");
                // The queue goes on; what it says of its room is heard.
                self.agenda.retain(|_, event| matches!(event, Event::QueueRoom(_)));
                self.unanswered_puts = 0;
                self.step(Event::GiveUp);
            }
            if !self.stopped && self.given < BATCHES && self.machine.wants_live() {
                self.step(Event::Live(self.given));
                self.given += 1;
            }
            if !ended && (self.stopped || self.given == BATCHES) {
                ended = true;
                self.step(Event::InputsEnded);
            }
            self.advance();
        }
        panic!("no end after {STEPS_MAX} steps: {:?}", self.machine);
    }

    /// For the first two minutes the link and the disk have their moods; then both are well, so that a drain must end.
    fn weather(&mut self) {
        let calm = self.now > Duration::from_secs(120);
        if calm || self.rng.u8(..50) == 0 {
            self.link_up = calm || self.rng.bool();
        }
        if (calm && self.paused) || self.rng.u8(..100) == 0 {
            self.paused = !calm && self.rng.bool();
            self.step(Event::Pause(self.paused));
        }
        if self.rng.u8(..100) == 0 {
            self.give_up_oldest();
        }
        if calm || self.rng.u8(..50) == 0 {
            let memory = (calm || self.rng.bool(), calm || self.rng.bool());
            if std::mem::replace(&mut self.memory, memory) != memory {
                let (puts, reads) = memory;
                self.step(Event::Memory { puts, reads });
            }
        }
        if calm || self.rng.u8(..50) == 0 {
            // Where every batch must go through a queue without room, there is no end but a stop.
            let for_good = self.full_from.is_some_and(|from| self.now >= from)
                && (self.stopped || self.policy.queue_mode != QueueMode::Always);
            self.room = (calm || self.rng.bool()) && !for_good;
            self.tell_room();
        }
    }

    fn advance(&mut self) {
        let event_at = self.agenda.first_key_value().map(|((due, _), _)| *due);
        let timer_at = self.machine.deadline();
        let tick = self.now + Duration::from_millis(self.rng.u64(1..200));
        let next = event_at.into_iter().chain(timer_at).chain([tick]).min().unwrap_or(tick);
        self.now = self.now.max(next);
        if event_at == Some(next) || event_at.is_some_and(|at| at <= self.now) {
            if let Some((_, event)) = self.agenda.pop_first() {
                match event {
                    Event::Readable(_) => self.sync(),
                    Event::Put { .. } => {
                        self.unanswered_puts -= 1;
                        self.step(event);
                    }
                    Event::Verified(_) => {
                        self.looking = false;
                        self.step(event);
                    }
                    event => self.step(event),
                }
            }
        } else if timer_at == Some(next) {
            self.step(Event::Time);
        }
    }

    /// Every batch that was given has exactly one fate, and only a policy or a stop keeps one from being delivered.
    fn check(&self) {
        let queued: BTreeSet<u64> = self.queue.iter().copied().collect();
        for id in 0..self.given {
            let fates = [
                self.acknowledged.contains(&id),
                queued.contains(&id) && !self.acknowledged.contains(&id) && !self.given_up.contains(&id),
                self.dropped.contains(&id),
                self.abandoned.contains(&id),
                self.given_up.contains(&id),
            ];
            // A queue that answers too late has what its input will give again.
            let twice = self.out_of_time && self.abandoned.contains(&id) && queued.contains(&id);
            let count = fates.iter().filter(|fate| **fate).count();
            assert!(count == 1 || (twice && count == 2), "batch {id}: {fates:?}");
        }
        let once: BTreeSet<u64> = self.delivered.iter().copied().collect();
        assert_eq!(once.len(), self.delivered.len(), "a batch was accepted twice");
        if self.policy.backpressure == Backpressure::Block {
            assert!(self.dropped.is_empty() && queued.is_empty());
        }
        if self.policy.on_full != OnFull::Drop && self.policy.backpressure == Backpressure::Queue {
            assert!(self.dropped.is_empty());
        }
        if !self.stopped {
            let done = &self.acknowledged | &self.given_up;
            let left: Vec<_> = queued.difference(&done).collect();
            assert!(
                left.is_empty() && self.parked.is_empty() && self.abandoned.is_empty(),
                "ended before the drain did: {left:?} left"
            );
        }
    }
}

/// A machine that is up, without a queue.
fn healthy(concurrency: u32) -> Forwarder {
    healthy_with(healthy_policy(concurrency))
}

fn healthy_policy(concurrency: u32) -> Policy {
    Policy {
        backpressure: Backpressure::Block,
        queue_mode: QueueMode::Error,
        strict_ordering: true,
        on_full: OnFull::Block,
        concurrency,
    }
}

/// A machine that is up.
fn healthy_with(policy: Policy) -> Forwarder {
    let mut machine = Forwarder::new(policy, 0, 1);
    let mut actions = Vec::new();
    let result =
        PutResult { finished: true, progressed: true, health: PutHealth::Open, since: Duration::ZERO };
    for event in [
        Event::Time,
        Event::Verified(Verdict::Covered),
        Event::Live(0),
        Event::Put { key: Key::Live(0), result },
    ] {
        machine.handle(Duration::ZERO, event, &mut actions);
    }
    assert_eq!(actions.last(), Some(&Action::Done(Key::Live(0))));
    machine
}

#[test]
fn as_many_batches_of_the_inputs_fly_as_are_permitted_and_a_few_wait() {
    for concurrency in [1, 5, 32, 160] {
        let mut machine = healthy(concurrency);
        let mut actions = Vec::new();
        let taken = (1..1000)
            .take_while(|id| {
                let wanted = machine.wants_live();
                if wanted {
                    machine.handle(Duration::ZERO, Event::Live(*id), &mut actions);
                }
                wanted
            })
            .count();
        assert_eq!(actions.len(), concurrency as usize, "{concurrency}");
        assert_eq!(taken, concurrency as usize + 4, "{concurrency}");
    }
}

#[test]
fn what_waits_for_memory_flies_when_there_is_some() {
    let mut machine = healthy(8);
    let mut actions = Vec::new();
    machine.handle(Duration::ZERO, Event::Memory { puts: false, reads: true }, &mut actions);
    machine.handle(Duration::ZERO, Event::Live(1), &mut actions);
    machine.handle(Duration::ZERO, Event::Live(2), &mut actions);
    assert_eq!(actions, []);
    machine.handle(Duration::ZERO, Event::Memory { puts: true, reads: true }, &mut actions);
    assert_eq!(actions, [Action::Put(Key::Live(1)), Action::Put(Key::Live(2))]);
}

#[test]
fn what_a_stop_forgets_is_still_in_the_queue() {
    let mut machine = healthy(1);
    let mut actions = Vec::new();
    machine.handle(Duration::ZERO, Event::Live(1), &mut actions);
    assert_eq!(std::mem::take(&mut actions), [Action::Put(Key::Live(1))]);
    machine.handle(Duration::ZERO, Event::Readable(1), &mut actions);
    assert!(matches!(*std::mem::take(&mut actions), [Action::Read(_)]));
    machine.handle(Duration::ZERO, Event::Read(0), &mut actions);
    machine.handle(Duration::ZERO, Event::ReadDone { more: false }, &mut actions);
    assert_eq!(actions, [], "the only permit is taken");
    machine.handle(Duration::ZERO, Event::Stop, &mut actions);
    assert_eq!(actions, [Action::Forget(0)]);
    assert!(machine.has_backlog(), "nothing says that the queue is empty");
}

#[test]
fn a_pause_is_an_outage_that_only_a_person_ends() {
    let policy = |backpressure| Policy { backpressure, ..healthy_policy(2) };
    let fate = |backpressure, ids: std::ops::Range<u64>| {
        let mut machine = healthy_with(policy(backpressure));
        let mut actions = Vec::new();
        machine.handle(Duration::ZERO, Event::Pause(true), &mut actions);
        for id in ids {
            if machine.wants_live() {
                machine.handle(Duration::ZERO, Event::Live(id), &mut Vec::new());
            }
        }
        machine.handle(Duration::from_secs(86_400), Event::Live(100), &mut actions);
        assert_eq!(machine.deadline(), None, "{backpressure:?}: a pause needs no timer");
        (machine.wants_live(), actions)
    };
    let dropped = Action::Drop(100, DropReason::Unhealthy);
    assert_eq!(fate(Backpressure::Block, 1..100), (false, vec![]));
    assert_eq!(fate(Backpressure::Drop, 1..100), (true, vec![dropped]));
    assert_eq!(fate(Backpressure::Queue, 1..3), (true, vec![Action::Spool(100)]));
}

#[test]
fn after_a_pause_the_shards_are_verified_and_one_batch_goes_first() {
    let mut machine = healthy(8);
    let mut actions = Vec::new();
    let mut handle = |event, expected: &[Action]| {
        machine.handle(Duration::ZERO, event, &mut actions);
        assert_eq!(std::mem::take(&mut actions), expected);
    };
    handle(Event::Live(1), &[Action::Put(Key::Live(1))]);
    handle(Event::Pause(true), &[]);
    handle(Event::Live(2), &[]);
    handle(Event::Live(3), &[]);
    let result =
        PutResult { finished: true, progressed: true, health: PutHealth::Open, since: Duration::ZERO };
    handle(Event::Put { key: Key::Live(1), result }, &[Action::Done(Key::Live(1))]);
    handle(Event::Pause(false), &[Action::Verify]);
    handle(Event::Verified(Verdict::Covered), &[Action::Put(Key::Live(2))]);
    handle(Event::Pause(true), &[]);
    handle(Event::Stop, &[Action::Abandon(3)]);
    handle(Event::InputsEnded, &[]);
    handle(Event::Put { key: Key::Live(2), result }, &[Action::Done(Key::Live(2)), Action::Finished]);
}

fn run(seed: u64) -> Result<(), String> {
    let outcome = std::panic::catch_unwind(|| {
        let mut world = World::new(seed);
        world.run();
        world.check();
    });
    outcome.map_err(|_| format!("seed {seed} failed: MILLPOND_SEED={seed} repeats it"))
}

#[test]
fn nothing_is_lost_reordered_or_stuck() -> Result<(), String> {
    if let Ok(seed) = std::env::var("MILLPOND_SEED") {
        return run(seed.parse().map_err(|_| format!("MILLPOND_SEED={seed} is not a number"))?);
    }
    (0..5_000).try_for_each(run)
}
