//! A queue that others want to have now and then.

use super::*;

const LEASE: Lease = Lease { idle: SECOND, longest: Duration::from_secs(5) };

fn world() -> World {
    World::new(small(), Policy { lease: Some(LEASE), ..Policy::default() })
}

fn works_at(world: &mut World, at: Duration) -> bool {
    world.now = world.start + at;
    let now = world.now;
    world.owner().work(now);
    !world.owner().is_closing()
}

#[test]
fn it_is_closed_when_nothing_was_appended_for_a_while() {
    let mut world = world();
    assert!(works_at(&mut world, 900 * MS));
    world.append(100);
    assert!(works_at(&mut world, 1_899 * MS));
    assert!(!works_at(&mut world, 1_900 * MS));
}

#[test]
fn it_is_closed_in_time_however_much_is_appended() {
    let mut world = world();
    for step in 1..50 {
        assert!(works_at(&mut world, step * 100 * MS));
        world.append(100);
    }
    assert!(!works_at(&mut world, 5_000 * MS));
}

#[test]
fn what_waits_for_room_waits_until_others_must_have_it() {
    let mut world = world();
    while !world.heard().contains(&Full) {
        world.append(10_000);
    }
    assert!(works_at(&mut world, 4_999 * MS));
    assert!(!works_at(&mut world, 5_000 * MS));
    let now = world.now;
    world.owner.take().unwrap().close(now).unwrap();
    assert_eq!(world.heard(), [], "whoever waited is let go of, and told nothing");
}

#[test]
fn without_a_lease_it_stays_open() {
    let mut world = World::new(small(), Policy::default());
    world.append(100);
    assert!(works_at(&mut world, 86_400 * SECOND));
    assert_eq!(world.owner().lease_ends(), None);
}
