//! When a batch counts as kept, and when it can be read.

use super::*;

fn interval() -> Policy {
    Policy { sync_every: Some(100 * MS), ..Policy::default() }
}

#[test]
fn with_a_commit_a_batch_is_kept_when_it_is_durable() {
    let mut world = World::new(small(), Policy::default());
    assert_eq!(world.heard(), [], "there is nothing to read");
    world.append(100);
    assert_eq!(world.heard(), [Kept(0, Some(1)), Readable(2)]);
    assert_eq!(world.after_a_power_cut(), 1);
    assert!(world.sleeps());
}

#[test]
fn with_an_interval_a_batch_is_kept_at_once_and_durable_in_time() {
    let mut world = World::new(small(), interval());
    world.append(100);
    world.pass(60 * MS);
    world.append(100);
    assert_eq!(world.heard(), [Kept(0, Some(1)), Kept(1, Some(2))]);
    assert_eq!((world.after_a_power_cut(), world.deliver()), (0, vec![]));
    world.pass(39 * MS);
    assert_eq!(world.heard(), []);
    world.pass(MS);
    assert_eq!(world.heard(), [Readable(3)]);
    assert_eq!(world.after_a_power_cut(), 2);
    assert!(world.sleeps(), "nothing is written that is not synced");
    assert_eq!(world.deliver(), [1, 2]);
}

#[test]
fn with_an_interval_what_waits_for_its_sync_is_bounded() {
    let options =
        Options { staged_bytes_max: 100_000, segment_bytes_max: 1 << 20, size_bytes_max: 8 << 20, ..small() };
    let mut world = World::new(options, interval());
    (0..10).for_each(|_| world.append(30_000));
    let heard = world.heard();
    assert_eq!(heard.iter().filter(|heard| matches!(heard, Kept(..))).count(), 10);
    assert!(heard.contains(&Readable(4)), "{heard:?}");
    world.pass(SECOND);
    assert_eq!(world.heard(), [Readable(11)]);
}

#[test]
fn a_sync_that_fails_stops_what_comes_after_it() {
    let mut world = World::new(small(), interval());
    world.append(100);
    world.disk.faults().add(Fault::always(Call::SyncData, Fault::EIO));
    world.pass(50 * MS);
    world.append(100);
    assert_eq!(world.heard(), [Kept(0, Some(1)), Kept(1, Some(2))]);
    world.pass(SECOND);
    assert_eq!(world.heard(), [Full]);
    world.append(100);
    world.pass(3 * SECOND);
    assert_eq!(world.heard(), [], "it is not kept before a sync has succeeded");
    world.disk.faults().clear();
    world.pass(SECOND);
    assert_eq!(world.heard(), [Kept(2, Some(3)), Readable(4), Room]);
    assert!(world.sleeps());
    assert_eq!((world.after_a_power_cut(), world.deliver()), (3, vec![1, 2, 3]));
}

#[test]
fn with_an_interval_a_full_queue_syncs_what_it_has() {
    let mut world = World::new(small(), interval());
    (0..100).for_each(|_| world.append(10_000));
    let heard = world.heard();
    let kept = heard.iter().filter(|heard| matches!(heard, Kept(..))).count() as u64;
    assert!(heard.contains(&Full) && kept < 100, "{heard:?}");
    world.pass(100 * MS);
    assert_eq!(world.heard(), [Readable(kept + 1)]);
    assert_eq!(world.after_a_power_cut(), kept);
}
