//! What is given up by policy.

use super::*;

#[test]
fn the_oldest_make_room_and_are_counted() {
    let mut world = World::new(small(), Policy { drop_oldest: true, ..Policy::default() });
    (0..200).for_each(|_| world.append(10_000));
    let (mut kept, mut lost, mut below) = (0, 0, 0);
    for heard in world.heard() {
        match heard {
            Kept(id, Some(sequence)) => {
                assert_eq!((id, sequence), (kept, kept + 1), "in order");
                kept += 1;
            }
            Gone(DropReason::Full, batches, events, end) => {
                assert_eq!(events, 3 * batches);
                lost += batches;
                below = end;
            }
            Readable(_) => {}
            heard => panic!("{heard:?}"),
        }
    }
    let delivered = world.deliver();
    assert_eq!((kept, lost + delivered.len() as u64), (200, 200));
    assert_eq!((delivered.first(), delivered.last()), (Some(&below), Some(&200)), "the newest are there");
    assert!(world.disk.used_bytes() <= small().size_bytes_max);
}

/// A batch that waits to be sent when it is given up is not counted: it is sent all the same.
#[test]
fn what_was_given_out_is_not_lost_yet() {
    let mut world = World::new(small(), Policy { drop_oldest: true, ..Policy::default() });
    world.append(10_000);
    let first = world.reader.next().unwrap().unwrap().sequence;
    (0..99).for_each(|_| world.append(10_000));
    let lost: u64 =
        world.heard().iter().map(|heard| if let Gone(_, lost, ..) = heard { *lost } else { 0 }).sum();
    let now = world.now;
    world.owner().take(Command::Ack(first), now);
    assert_eq!(1 + lost + world.deliver().len() as u64, 100);
}

#[test]
fn where_nothing_can_be_given_up_the_queue_is_full() {
    // Two segments fit only while the first one is small.
    let mut world = World::new(
        Options { size_bytes_max: 128 << 10, ..small() },
        Policy { drop_oldest: true, ..Policy::default() },
    );
    world.disk.set_capacity(world.disk.used_bytes() + (40 << 10));
    (0..5).for_each(|_| world.append(10_000));
    let heard = world.heard();
    assert!(heard.contains(&Full) && !heard.iter().any(|heard| matches!(heard, Gone(..))), "{heard:?}");
    world.disk.set_capacity(64 << 20);
    world.pass(SECOND);
    assert_eq!(world.heard().last(), Some(&Room));
}

/// Where the disk fails half-way, what was lost is reported all the same, once, and it is tried again.
#[test]
fn a_failure_to_give_up_is_tried_again() {
    for call in [Call::Remove, Call::Write, Call::SyncData] {
        let mut world = World::new(small(), Policy { drop_oldest: true, ..Policy::default() });
        let mut lost = 0;
        let count = |world: &World, lost: &mut u64| {
            let heard = world.heard();
            for heard in &heard {
                if let Gone(_, batches, ..) = heard {
                    *lost += batches;
                }
            }
            heard
        };
        while count(&world, &mut lost).iter().all(|heard| !matches!(heard, Gone(..))) {
            world.append(10_000);
        }
        let name = if call == Call::Remove { ".seg" } else { "cursor" };
        world.disk.faults().add(Fault::always(call, Fault::EIO).named(name));
        while !count(&world, &mut lost).contains(&Full) {
            world.append(10_000);
        }
        world.pass(2 * SECOND + MS);
        world.disk.faults().clear();
        world.pass(SECOND);
        assert!(count(&world, &mut lost).contains(&Room), "{call:?}");
        let delivered = world.deliver().len() as u64;
        assert_eq!(world.given, lost + delivered, "{call:?}");
    }
}

#[test]
fn what_is_too_old_goes_in_time() {
    let mut world = World::new(small(), Policy { max_age: Some(10 * SECOND), ..Policy::default() });
    for _ in 0..3 {
        world.append(100);
        world.pass(SECOND);
    }
    world.heard();
    world.pass(7 * SECOND);
    assert_eq!(world.heard(), []);
    world.pass(MS);
    assert_eq!(world.heard(), [Gone(DropReason::Expired, 1, 3, 2)]);
    world.pass(SECOND);
    assert_eq!(world.heard(), [Gone(DropReason::Expired, 1, 3, 3)]);
    assert_eq!(world.deliver(), [3]);
    world.pass(20 * SECOND);
    assert_eq!(world.heard(), []);
    assert!(world.sleeps(), "nothing is left that could become too old");
    world.append(100);
    world.pass(11 * SECOND);
    assert_eq!(world.heard(), [Kept(3, Some(4)), Readable(5), Gone(DropReason::Expired, 1, 3, 5)]);
}

/// A thousand batches are not a thousand looks at the queue.
#[test]
fn what_is_too_old_goes_in_groups() {
    let mut world = World::new(small(), Policy { max_age: Some(32 * SECOND), ..Policy::default() });
    for _ in 0..1_000 {
        world.append(10);
        world.pass(4 * MS);
    }
    world.heard();
    world.pass(40 * SECOND);
    let heard = world.heard();
    assert!(heard.len() <= 6, "{heard:?}");
    let lost: u64 = heard.iter().map(|heard| if let Gone(_, lost, ..) = heard { *lost } else { 0 }).sum();
    assert_eq!(lost, 1_000);
}

#[test]
fn what_became_too_old_while_the_queue_was_closed_is_not_read() {
    let policy = Policy { max_age: Some(10 * SECOND), ..Policy::default() };
    let mut world = World::new(small(), policy);
    world.append(100);
    world.pass(9 * SECOND);
    world.append(100);
    let mut world = world.restart(2 * SECOND);
    assert_eq!(world.heard(), [Gone(DropReason::Expired, 1, 3, 2), Readable(3)]);
    assert_eq!(world.deliver(), [2]);
}

/// A batch that becomes too old before its sync goes after it.
#[test]
fn an_expiry_that_comes_before_the_sync_is_not_forgotten() {
    let policy = Policy { max_age: Some(SECOND), sync_every: Some(10 * SECOND), ..Policy::default() };
    let mut world = World::new(small(), policy);
    world.append(100);
    world.pass(9 * SECOND);
    assert_eq!(world.heard(), [Kept(0, Some(1))]);
    world.pass(2 * SECOND);
    assert_eq!(world.heard(), [Readable(2), Gone(DropReason::Expired, 1, 3, 2)]);
    assert!(world.sleeps());
}

#[test]
fn an_expiry_that_fails_is_tried_again_and_missed_by_nobody() {
    for (call, name) in [(Call::Open, ".seg"), (Call::Write, "cursor"), (Call::SyncData, "cursor")] {
        let mut world = World::new(small(), Policy { max_age: Some(SECOND), ..Policy::default() });
        world.append(100);
        world.disk.faults().add(Fault::always(call, Fault::EIO).named(name));
        world.pass(3 * SECOND);
        world.disk.faults().clear();
        world.pass(2 * SECOND);
        let lost: Vec<_> = world.heard().into_iter().filter(|heard| matches!(heard, Gone(..))).collect();
        assert_eq!(lost, [Gone(DropReason::Expired, 1, 3, 2)], "{call:?}");
        assert!(world.sleeps());
    }
}

/// The space of what has expired is there for what waits.
#[test]
fn expired_batches_make_room() {
    let mut world = World::new(small(), Policy { max_age: Some(10 * SECOND), ..Policy::default() });
    (0..60).for_each(|_| world.append(10_000));
    assert!(world.heard().contains(&Full));
    world.pass(10 * SECOND + MS);
    let heard = world.heard();
    assert!(heard.contains(&Room) && heard.contains(&Kept(59, Some(60))), "{heard:?}");
}

#[test]
fn a_clock_that_was_never_set_expires_nothing() {
    let policy = Policy { max_age: Some(SECOND), ..Policy::default() };
    let mut world = World::new(small(), policy);
    world.append(100);
    let now = world.now;
    world.owner.take().unwrap().close(now).unwrap();
    let (queue, _) = Queue::open(world.disk.clone(), small()).unwrap();
    let mut owner = Owner::new(queue, policy, Steady::new(now, 0), Box::new(|report| panic!("{report:?}")));
    owner.timers.expire_at = Some(now);
    owner.work(now + 10 * SECOND);
    assert_eq!(owner.timers.next(), None);
}
