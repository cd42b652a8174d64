//! An endpoint that lies: each for a while, nothing is missing, and the log says in words what was wrong.

use std::time::Duration;

use crate::world::World;

const FOR_A_WHILE: Duration = Duration::from_secs(2);

async fn lies(settings: &str, cases: &[(&str, &str)]) {
    let mut world =
        World::new(2, &format!("flush_period: 100ms\nmax_record_size: \"64 KiB\"\n{settings}")).await;
    world.start();
    world.live(Duration::from_millis(500), 2_000).await;
    for (fault, words) in cases {
        let id = world.fault(fault);
        world.live(FOR_A_WHILE, 2_000).await;
        world.clear(id);
        let proof = world.arrived().await;
        assert_eq!(proof.missing, 0, "{fault}: {proof:#?}");
        assert!(
            words.is_empty() || world.has_said(words),
            "{fault}: nothing said of {words:?} in {:#?}",
            world.said
        );
    }
    let written = world.written;
    world.finish(written).await;
}

const LIES: [(&str, &str); 8] = [
    ("empty", "not from Kinesis"),
    ("portal", "portal"),
    ("denied", "AccessDenied"),
    ("expired-token", "expired"),
    ("not-found", "ResourceNotFound"),
    ("error500", "500"),
    ("reset", "connection"),
    ("truncated", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn put_record_block() {
    lies("backpressure: block", &LIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn put_record_queue() {
    lies("backpressure: queue\nqueue: { mode: error }", &LIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn put_records_queue_always() {
    lies("compression: none\nsend_batched: false\nbackpressure: queue\nqueue: { mode: always }", &LIES).await;
}

/// Throttled and failed records are sent again, alone: nothing is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn partial_failures_repeat_nothing() {
    for settings in ["backpressure: block", "backpressure: queue\nqueue: { mode: always }"] {
        let format = "flush_period: 100ms\ncompression: none\nsend_batched: false";
        let mut world = World::new(2, &format!("{format}\n{settings}")).await;
        let throttled = world.fault("throttle:0.4");
        let partial = world.fault("partial:0.2");
        world.start();
        world.live(Duration::from_secs(3), 2_000).await;
        world.clear(throttled);
        world.clear(partial);
        world.finish(0).await;
    }
}

/// A record that the service will never take goes to the dead letters; its neighbours go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_does_not_hold_up_the_others() {
    let mut world = World::new(2, "flush_period: 100ms\ncompression: none\nsend_batched: false").await;
    // No other line begins with it: the last one is #1999.
    world.fault("refuse:#1977");
    world.write_lines(2_000);
    world.start();
    world.hear("a dead letter", |said| said.message.contains("dead letters")).await;
    let proof = world.arrived_within(Duration::from_secs(2)).await;
    assert_eq!((proof.missing, proof.repeated), (1, 0), "{proof:#?}");
    world.stop().await;
    assert_eq!(world.number("dead_letters"), 1);
    assert!(world.path("data/dead-letters/main").is_dir());
}
