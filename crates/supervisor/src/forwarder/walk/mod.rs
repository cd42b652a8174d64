//! Every state that the forwarder can reach with a few batches, breadth first, whatever the service, the disk, the inputs
//! and people do; and in each of them what must hold.
//!
//! States that differ only in when something happened, and not in what that means now, count as one (see [`shape`]).
//! A model checker was considered (`stateright`): its "eventually" does not see a run that goes in circles, and that from
//! everywhere the drain ends is half of what is asked here.

mod checks;
mod shape;
mod world;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::Policy;
use crate::config::checked::{Backpressure, OnFull, QueueMode};
use crate::rate::DrainLimits;
use world::{Fate, Move, World};

/// Far more than any walk has met. One that meets more does not end.
const STATES_MAX: usize = 3_000_000;

/// What may happen at most, besides what the service and the queue do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Bounds {
    /// Batches of the inputs.
    live: u64,
    /// Batches that the queue holds from before.
    before: u64,
    /// Pauses.
    pauses: u8,
    /// How often the queue has no room any more.
    shortages: u8,
    /// The process may be stopped.
    stops: bool,
}

/// What a walk has met.
#[derive(Debug, Default)]
struct Met {
    states: usize,
    /// Batches were dropped, given back by a queue without room, let go of by a stop.
    drops: bool,
    withdrawals: bool,
    abandoned: bool,
}

/// Walks through everything.
fn walk(policy: &Policy, bounds: Bounds) -> Met {
    let mut met = Met::default();
    let start = World::new(policy.clone(), bounds);
    let mut came_from: HashMap<u64, Option<(u64, Move)>> = HashMap::from([(start.shape(), None)]);
    let mut drains = HashSet::new();
    let mut queue = VecDeque::from([start]);
    while let Some(world) = queue.pop_front() {
        let shape = world.shape();
        for step in world.moves() {
            let mut next = world.clone();
            let checked = next.make(step).and_then(|()| next.check());
            if let Err(broken) = checked {
                panic!(
                    "{broken}\nafter {:?}\nthen {step:?}\nunder {policy:?}: {next:#?}",
                    way(&came_from, shape)
                );
            }
            let next_shape = next.shape();
            if came_from.contains_key(&next_shape) {
                continue;
            }
            came_from.insert(next_shape, Some((shape, step)));
            if let Err(stuck) = drain(next.clone(), &mut drains) {
                panic!("{stuck}\nafter {:?}\nunder {policy:?}: {next:#?}", way(&came_from, next_shape));
            }
            met.drops |= next.has(Fate::Dropped);
            met.abandoned |= next.has(Fate::Abandoned);
            met.withdrawals |= matches!(step, Move::GiveBack);
            queue.push_back(next);
        }
        assert!(came_from.len() < STATES_MAX, "there is no end to it under {policy:?}");
    }
    met.states = came_from.len();
    met
}

/// How a state was reached.
fn way(came_from: &HashMap<u64, Option<(u64, Move)>>, mut shape: u64) -> Vec<Move> {
    let mut way = Vec::new();
    while let Some(Some((before, step))) = came_from.get(&shape) {
        way.push(*step);
        shape = *before;
    }
    way.reverse();
    way
}

/// From now on everybody means well: everything ends. `drains` are states of which that is known.
fn drain(mut world: World, drains: &mut HashSet<u64>) -> Result<(), String> {
    let mut passed = Vec::new();
    while !world.is_finished() {
        let shape = world.shape();
        if drains.contains(&shape) {
            break;
        }
        if passed.len() > 500 {
            return Err("the drain does not end".to_owned());
        }
        passed.push(shape);
        let step = world.good_move().ok_or("nothing moves any more")?;
        world.make(step)?;
        world.check()?;
    }
    if world.is_finished() {
        world.check_fates()?;
    }
    drains.extend(passed);
    Ok(())
}

fn policy(backpressure: Backpressure, concurrency: u32) -> Policy {
    Policy {
        backpressure,
        queue_mode: QueueMode::Error,
        strict_ordering: true,
        on_full: OnFull::Block,
        drain: DrainLimits::default(),
        concurrency,
    }
}

fn queueing(mode: QueueMode, strict_ordering: bool) -> Policy {
    Policy { queue_mode: mode, strict_ordering, ..policy(Backpressure::Queue, 2) }
}

const SLOW: QueueMode = QueueMode::Backpressure { after: Duration::from_secs(30) };

const CALM: Bounds = Bounds { live: 2, before: 1, pauses: 0, shortages: 0, stops: false };
const PAUSED: Bounds = Bounds { pauses: 1, ..CALM };
const SHORT: Bounds = Bounds { shortages: 1, ..CALM };
const STOPPED: Bounds = Bounds { stops: true, ..CALM };

#[test]
fn without_a_queue() {
    for backpressure in [Backpressure::Block, Backpressure::Drop] {
        for concurrency in [1, 2, 3] {
            let bounds = Bounds { live: 3, before: 0, pauses: 1, shortages: 0, stops: true };
            let met = walk(&policy(backpressure, concurrency), bounds);
            assert!(met.states > 1_000 && met.abandoned, "{backpressure:?} {concurrency}: {met:?}");
            assert_eq!(met.drops, backpressure == Backpressure::Drop);
        }
    }
}

#[test]
fn with_a_queue_for_outages() {
    for bounds in [PAUSED, Bounds { shortages: 1, ..STOPPED }] {
        let met = walk(&queueing(QueueMode::Error, true), bounds);
        assert!(met.states > 10_000 && !met.drops, "{bounds:?}: {met:?}");
        assert_eq!((met.withdrawals, met.abandoned), (bounds.shortages > 0, bounds.stops));
    }
}

#[test]
fn with_a_queue_that_is_passed() {
    for bounds in [PAUSED, SHORT, STOPPED] {
        let met = walk(&queueing(QueueMode::Error, false), bounds);
        assert!(met.states > 10_000 && !met.drops, "{bounds:?}: {met:?}");
    }
}

#[test]
fn with_a_queue_that_drops_what_it_has_no_room_for() {
    for strict_ordering in [true, false] {
        let policy = Policy { on_full: OnFull::Drop, ..queueing(QueueMode::Error, strict_ordering) };
        let met = walk(&policy, Bounds { live: 3, before: 0, ..SHORT });
        assert!(met.states > 10_000 && met.drops, "{strict_ordering}: {met:?}");
    }
}

#[test]
fn with_a_queue_for_a_slow_output() {
    for (strict_ordering, live) in [(true, 2), (false, 1)] {
        for bounds in [PAUSED, Bounds { shortages: 1, ..STOPPED }] {
            let met = walk(&queueing(SLOW, strict_ordering), Bounds { live, ..bounds });
            assert!(met.states > 5_000, "{strict_ordering} {bounds:?}: {met:?}");
        }
    }
}

#[test]
fn with_a_queue_for_everything() {
    for bounds in [PAUSED, Bounds { shortages: 1, ..STOPPED }] {
        let met = walk(&queueing(QueueMode::Always, true), bounds);
        assert!(met.states > 5_000, "{bounds:?}: {met:?}");
        // Nothing new is put, so that there is nothing for it to pass.
        assert_eq!(walk(&queueing(QueueMode::Always, false), bounds).states, met.states);
    }
}

#[test]
fn with_a_drain_that_is_limited() {
    for strict_ordering in [true, false] {
        let drain = DrainLimits { events_per_sec: 1, bytes_per_sec: 0 };
        let policy = Policy { drain, ..queueing(QueueMode::Error, strict_ordering) };
        let met = walk(&policy, Bounds { live: 1, before: 2, stops: true, ..CALM });
        assert!(met.states > 5_000, "{strict_ordering}: {met:?}");
    }
}

#[test]
#[ignore = "takes some two minutes: everything that may happen, all in one walk"]
fn with_all_troubles_at_once() {
    for mode in [QueueMode::Error, QueueMode::Always, SLOW] {
        for strict_ordering in [true, false] {
            let bounds = Bounds { live: 2, before: 1, pauses: 1, shortages: 1, stops: true };
            let met = walk(&queueing(mode, strict_ordering), bounds);
            assert!(met.states > 100_000, "{mode:?} {strict_ordering}: {met:?}");
        }
    }
}
