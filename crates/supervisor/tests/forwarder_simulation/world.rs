//! A world in which the link comes and goes, the queue fills up and empties, and answers take their time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use millpond::forwarder::{Action, Event, Forwarder, Key, PutResult};
use millpond::health::{PutHealth, Verdict};
use millpond::rate::Load;

use crate::checks::Watch;
use crate::plan::Plan;

pub(crate) struct World {
    pub(crate) rng: fastrand::Rng,
    pub(crate) plan: Plan,
    pub(crate) now: Duration,
    pub(crate) machine: Forwarder,
    /// What happens later: (when, tie-breaker) → event.
    pub(crate) agenda: BTreeMap<(Duration, u64), Event>,
    tie: u64,
    pub(crate) given: u64,
    /// The queue: ids in the order of their sequence, how many of them can be read, how far they were read or given up.
    pub(crate) queue: Vec<u64>,
    pub(crate) readable: usize,
    pub(crate) read: usize,
    /// Given to the queue, not taken yet.
    pub(crate) parked: VecDeque<u64>,
    /// Takes batches at once and makes them readable up to this much later.
    sync_ms: Option<u64>,
    sync_is_due: bool,
    pub(crate) room: bool,
    /// Memory allows puts from the inputs, and readings.
    pub(crate) memory: (bool, bool),
    /// From then on the queue gets no room any more.
    pub(crate) full_from: Option<Duration>,
    withdrawn_at: Option<Duration>,
    /// What the machine was told of the room.
    pub(crate) told_room: bool,
    pub(crate) link_up: bool,
    /// The shards are being looked at.
    pub(crate) looking: bool,
    /// The machine was paused, and from then on no put and no reading may begin.
    pub(crate) paused: bool,
    pub(crate) delivered: BTreeSet<u64>,
    pub(crate) acknowledged: BTreeSet<u64>,
    pub(crate) dropped: BTreeSet<u64>,
    pub(crate) abandoned: BTreeSet<u64>,
    /// By a policy of the queue, without the machine being told.
    pub(crate) given_up: BTreeSet<u64>,
    pub(crate) watch: Watch,
    pub(crate) stopped: bool,
    pub(crate) out_of_time: bool,
    pub(crate) finished: bool,
}

/// What a batch weighs, of which nothing was delivered yet.
pub(crate) fn load_of(id: u64) -> Load {
    Load { events: 1 + id % 50, bytes: 100 + id * 37 % 3_000 }
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let machine = Forwarder::new(plan.policy.clone(), plan.before, seed);
        let sync_ms = if plan.moods { [None, Some(20), Some(5_000)][rng.usize(..3)] } else { Some(20) };
        let full = plan.moods && rng.bool();
        let mut world = Self {
            now: Duration::ZERO,
            machine,
            agenda: BTreeMap::new(),
            tie: 0,
            given: plan.before,
            queue: (0..plan.before).collect(),
            readable: 0,
            read: 0,
            parked: VecDeque::new(),
            sync_ms,
            sync_is_due: false,
            room: true,
            memory: (true, true),
            full_from: full.then(|| Duration::from_millis(rng.u64(..30_000))),
            withdrawn_at: None,
            told_room: true,
            rng,
            link_up: true,
            looking: false,
            paused: false,
            delivered: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            dropped: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            given_up: BTreeSet::new(),
            watch: Watch::default(),
            stopped: false,
            out_of_time: false,
            finished: false,
            plan,
        };
        if world.plan.before > 0 {
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

    pub(crate) fn tell_room(&mut self) {
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

    /// Something from the agenda happens.
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Readable(_) => self.sync(),
            Event::Put { key, result } => {
                self.answered(key, &result);
                self.step(event);
            }
            Event::Verified(_) => {
                self.looking = false;
                if self.machine.health().permits() == 0 {
                    self.begin_ramp();
                }
                self.step(event);
            }
            event => self.step(event),
        }
    }

    pub(crate) fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.machine.handle(self.now, event, &mut actions);
        for action in actions {
            self.perform(action);
        }
        self.check_step();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Put(key) => self.put(key),
            Action::Done(key) => {
                let id = self.id(key);
                assert!(self.delivered.contains(&id), "{id} acknowledged without having been accepted");
                self.settled(key, id);
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
            Action::Drop(id, _) => {
                self.watch.live -= 1;
                assert!(self.dropped.insert(id));
            }
            Action::Abandon(id) => {
                self.watch.live -= 1;
                assert!(self.abandoned.insert(id));
            }
            Action::Forget(_) => self.watch.read_back -= 1,
            Action::Verify => {
                self.check_look();
                self.looking = true;
                let verdict = match (self.link_up, self.rng.u8(..10)) {
                    (true, 0..8) => Verdict::Covered,
                    (true, _) => Verdict::Unknown,
                    (false, _) => Verdict::Bad,
                };
                self.later(50, Event::Verified(verdict));
            }
            Action::Read(max) => self.read_back(max),
            Action::Finished => self.finished = true,
        }
    }

    fn put(&mut self, key: Key) {
        let id = self.id(key);
        self.check_put(key, id);
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
            assert!(self.delivered.insert(id), "{id} was accepted twice");
        }
        let left = match (finished, progressed) {
            (true, _) => Load::default(),
            (false, true) => Load { events: 1, bytes: 50 },
            (false, false) => self.watch.left_of(id),
        };
        let result = PutResult { finished, progressed, health, since: self.now, left };
        self.later(if self.link_up { 30 } else { 3000 }, Event::Put { key, result });
    }

    pub(crate) fn id(&self, key: Key) -> u64 {
        match key {
            Key::Live(id) => id,
            Key::Queued(sequence) => self.queue[sequence as usize],
        }
    }

    fn read_back(&mut self, max: usize) {
        assert!(self.memory.1 && !self.paused, "a reading against memory or during a pause");
        assert!(self.machine.health().permits() > 0, "a reading while the output is down");
        for sequence in self.read..self.read + max.min(self.readable - self.read) {
            let load = load_of(self.queue[sequence]);
            self.at_once(Event::Read { sequence: sequence as u64, load });
            self.read += 1;
            self.watch.read_back += 1;
        }
        let more = self.read < self.readable;
        self.later(20, Event::ReadDone { more });
    }

    /// The queue takes what it was given, while it has room.
    pub(crate) fn take_parked(&mut self) {
        while self.room
            && let Some(id) = self.parked.pop_front()
        {
            let sequence = self.queue.len() as u64;
            self.queue.push(id);
            if self.abandoned.contains(&id) {
                continue;
            }
            self.watch.live -= 1;
            self.step(Event::Spooled { id, sequence });
            match self.sync_ms {
                None if self.rng.bool() => self.sync(),
                None => self.sync_later(3),
                Some(ms_max) => self.sync_later(ms_max),
            }
        }
    }

    /// A policy of the queue gives up the oldest batches that can be read and were not.
    pub(crate) fn give_up_oldest(&mut self) {
        let end = self.rng.usize(self.read..=self.readable);
        self.given_up.extend(&self.queue[self.read..end]);
        self.read = end;
    }
}
