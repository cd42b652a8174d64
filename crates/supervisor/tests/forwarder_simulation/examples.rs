//! Single steps, and what must come of them.

use std::time::Duration;

use millpond::config::checked::{Backpressure, OnFull, QueueMode};
use millpond::forwarder::{Action, DropReason, Event, Forwarder, Key, Policy, PutResult};
use millpond::health::{PutHealth, Verdict};
use millpond::rate::{DrainLimits, Load};

/// A machine that is up, without a queue.
fn healthy(concurrency: u32) -> Forwarder {
    healthy_with(healthy_policy(concurrency))
}

pub(crate) fn accepted() -> PutResult {
    PutResult {
        finished: true,
        progressed: true,
        health: PutHealth::Open,
        since: Duration::ZERO,
        left: Load::default(),
    }
}

pub(crate) fn healthy_policy(concurrency: u32) -> Policy {
    Policy {
        backpressure: Backpressure::Block,
        queue_mode: QueueMode::Error,
        strict_ordering: true,
        on_full: OnFull::Block,
        drain: DrainLimits::default(),
        concurrency,
    }
}

/// A machine that is up.
pub(crate) fn healthy_with(policy: Policy) -> Forwarder {
    let mut machine = Forwarder::new(policy, 0, 1);
    let mut actions = Vec::new();
    let result = accepted();
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
    machine.handle(Duration::ZERO, Event::Read { sequence: 0, load: Load::default() }, &mut actions);
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
    let result = accepted();
    handle(Event::Put { key: Key::Live(1), result }, &[Action::Done(Key::Live(1))]);
    handle(Event::Pause(false), &[Action::Verify]);
    handle(Event::Verified(Verdict::Covered), &[Action::Put(Key::Live(2))]);
    handle(Event::Pause(true), &[]);
    handle(Event::Stop, &[Action::Abandon(3)]);
    handle(Event::InputsEnded, &[]);
    handle(Event::Put { key: Key::Live(2), result }, &[Action::Done(Key::Live(2)), Action::Finished]);
}
