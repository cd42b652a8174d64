//! What becomes of a new batch under every policy and in every situation, as a table for people:
//! `fixtures/transitions/new-batch.txt`.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Action, Event, Forwarder, Key, LIVE_MAX, Policy};
use crate::config::checked::{Backpressure, OnFull, QueueMode};
use crate::golden;
use crate::health::{Name, PutHealth, Verdict};
use crate::rate::DrainLimits;

const SLOW_AFTER: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
enum Way {
    Up,
    /// All permits have been taken for longer than is borne.
    Slow,
    Down,
    Paused,
    Stopping,
}

const WAYS: [(&str, Way); 5] = [
    ("up", Way::Up),
    ("slow", Way::Slow),
    ("down", Way::Down),
    ("paused", Way::Paused),
    ("stopping", Way::Stopping),
];

/// A queue's situation: does it hold batches that are not delivered, has it room?
const QUEUES: [(&str, bool, bool); 3] =
    [("empty", false, true), ("backlog", true, true), ("full", true, false)];

struct Rig {
    machine: Forwarder,
    now: Duration,
    next: u64,
    sequence: u64,
}

impl Rig {
    /// A machine that is up, with one permit, and with a backlog that nothing is read of if `backlog`.
    fn new(policy: Policy, backlog: bool) -> Self {
        let machine = Forwarder::new(policy, u64::from(backlog), 1);
        let mut rig = Self { machine, now: Duration::ZERO, next: 0, sequence: 1 };
        rig.handle(Event::Time);
        rig.handle(Event::Verified(Verdict::Covered));
        // The canary was another one.
        rig.machine.health.on_put(rig.now, rig.now, PutHealth::Open);
        assert_eq!(rig.machine.health.name(), Name::Healthy);
        rig
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.machine.handle(self.now, event, &mut actions);
        actions
    }

    /// The inputs give a batch. The queue takes at once what it is given.
    fn give(&mut self) -> Vec<Action> {
        self.next += 1;
        let actions = self.handle(Event::Live(self.next));
        for action in &actions {
            if let Action::Spool(id) = *action {
                self.sequence += 1;
                self.handle(Event::Spooled { id, sequence: self.sequence });
            }
        }
        actions
    }

    fn bring_to(&mut self, way: Way, room: bool) {
        match way {
            Way::Up => {}
            Way::Slow => {
                // The only permit is taken, or it would be: nothing of a backlog is read here.
                self.give();
                self.give();
                self.now += SLOW_AFTER;
            }
            Way::Down => self.machine.health.on_put(self.now, self.now, PutHealth::Misconfigured),
            Way::Paused => drop(self.handle(Event::Pause(true))),
            Way::Stopping => drop(self.handle(Event::Stop)),
        }
        if !room {
            self.handle(Event::QueueRoom(false));
        }
    }

    /// What becomes of the next batch, or of the last one that must wait.
    fn fate(&mut self) -> &'static str {
        let actions = self.give();
        let id = self.next;
        if actions.contains(&Action::Put(Key::Live(id))) {
            return "sent";
        }
        if actions.contains(&Action::Spool(id)) {
            return "queued";
        }
        if actions.contains(&Action::Abandon(id)) {
            return "let go";
        }
        // It waits; and when there is no room for waiting?
        for _ in 0..=LIVE_MAX {
            let dropped = self.give().into_iter().any(|action| matches!(action, Action::Drop(..)));
            if dropped {
                return "dropped";
            }
        }
        "waits"
    }
}

/// What happens to a new batch in each situation of the output.
fn fates(policy: &Policy, (queue, backlog, room): (&str, bool, bool)) -> String {
    let fates = WAYS.map(|(name, way)| {
        let mut rig = Rig::new(policy.clone(), backlog);
        rig.bring_to(way, room);
        format!("{name}: {:<8}", rig.fate())
    });
    format!("    {queue:<8} {}", fates.join(" ")).trim_end().to_owned()
}

#[test]
fn every_policy_in_every_situation() {
    let after = SLOW_AFTER;
    let modes = [
        ("error", QueueMode::Error),
        ("backpressure", QueueMode::Backpressure { after }),
        ("always", QueueMode::Always),
    ];
    let policy = |backpressure| Policy {
        backpressure,
        queue_mode: QueueMode::Error,
        strict_ordering: true,
        on_full: OnFull::Block,
        drain: DrainLimits::default(),
        concurrency: 1,
    };
    let mut table = "What becomes of a new batch. `waits`: in memory, and then the inputs wait. `let go`: its input keeps its \
                     position.\n`slow`: the only put has been in flight for `backpressure_secs`. Where that put may \
                     have to be queued before it, a batch waits.\n"
        .to_owned();
    for (name, backpressure) in [("block", Backpressure::Block), ("drop", Backpressure::Drop)] {
        writeln!(table, "\n{name}\n{}", fates(&policy(backpressure), QUEUES[0])).unwrap();
    }
    for (mode, queue_mode) in modes {
        for strict_ordering in [true, false] {
            for (full, on_full) in [("block or drop_oldest", OnFull::Block), ("drop", OnFull::Drop)] {
                let policy = Policy { queue_mode, strict_ordering, on_full, ..policy(Backpressure::Queue) };
                let name = format!("queue, mode {mode}, strict_ordering {strict_ordering}, on_full {full}");
                writeln!(table, "\n{name}").unwrap();
                QUEUES.iter().for_each(|queue| writeln!(table, "{}", fates(&policy, *queue)).unwrap());
            }
        }
    }
    golden::check("transitions/new-batch.txt", &table);
}
