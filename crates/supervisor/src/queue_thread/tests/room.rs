//! Room: for what waits, and for what was delivered.

use super::*;

/// Many batches at once are not refused where they would have had room one by one.
#[test]
fn as_many_fit_together_as_one_by_one() {
    let policy = Policy { drop_oldest: true, ..Policy::default() };
    let until_given_up = |together: usize| {
        let mut world = World::new(small(), policy);
        while !world.heard().iter().any(|heard| matches!(heard, Gone(..))) {
            (0..together).for_each(|_| world.hand_over(10_000));
            world.settle();
        }
        world.given
    };
    assert_eq!(until_given_up(8), until_given_up(1).next_multiple_of(8));
}

/// A queue is not full of what was delivered, however short a time ago.
#[test]
fn what_was_just_delivered_makes_room_before_the_queue_counts_as_full() {
    let mut world = World::new(small(), Policy::default());
    for _ in 0..30 {
        (0..10).for_each(|_| world.append(10_000));
        while let Some(frame) = world.reader.next().unwrap() {
            let now = world.now;
            world.owner().take(Command::Ack(frame.sequence), now);
        }
    }
    assert!(!world.heard().contains(&Full));
}

#[test]
fn delivered_batches_make_room_at_once() {
    let mut world = World::new(small(), Policy::default());
    while !world.heard().contains(&Full) {
        world.append(10_000);
    }
    world.deliver();
    assert!(world.heard().contains(&Room));
}

#[test]
fn what_waits_for_room_can_be_taken_back() {
    let mut world = World::new(small(), Policy::default());
    while !world.heard().contains(&Full) {
        world.append(10_000);
    }
    let now = world.now;
    world.owner().take(Command::Withdraw, now);
    assert_eq!(world.heard(), [Kept(world.given - 1, None)]);
    world.pass(SECOND);
    assert!(world.sleeps(), "nothing waits any more");
    world.append(10_000);
    assert_eq!(world.heard(), [Full], "it is still full, and says so anew");
    world.deliver();
    world.pass(SECOND);
    assert!(world.heard().contains(&Room));
}

#[test]
fn delivered_batches_are_kept_for_their_time() {
    let retain = Retain { for_ms: Some(3_200_000), bytes_max: None };
    let policy = Policy { retain: Some(3_200 * SECOND), ..Policy::default() };
    let mut world = World::new(Options { retain, ..small() }, policy);
    (0..20).for_each(|_| world.append(10_000));
    assert!(world.sleeps(), "nothing is delivered");
    world.deliver();
    world.pass(3_000 * SECOND);
    let kept = world.disk.names().iter().filter(|name| name.ends_with(".seg")).count();
    assert!(kept > 2, "{:?}", world.disk.names());
    let mut world = world.restart(SECOND);
    assert!(!world.sleeps());
    world.pass(400 * SECOND);
    let kept = world.disk.names().iter().filter(|name| name.ends_with(".seg")).count();
    assert_eq!(kept, 1, "{:?}", world.disk.names());
    assert!(world.sleeps(), "nothing is kept any more");
}

#[test]
fn what_is_kept_gives_way() {
    let retain = Retain { for_ms: Some(3_600_000), bytes_max: None };
    let policy = Policy { retain: Some(3_600 * SECOND), ..Policy::default() };
    let mut world = World::new(Options { retain, ..small() }, policy);
    for _ in 0..20 {
        (0..10).for_each(|_| world.append(10_000));
        world.deliver();
        world.pass(SECOND);
    }
    let heard = world.heard();
    assert!(!heard.contains(&Full) && !heard.iter().any(|heard| matches!(heard, Gone(..))), "{heard:?}");
    assert!(world.disk.used_bytes() > small().size_bytes_max / 2, "what can be kept is kept");
}
