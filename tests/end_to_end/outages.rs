//! The link goes down, the forwarder is killed, the link comes back: nothing is missing.

use std::time::Duration;

use crate::world::World;

const QUEUE_ERROR: &str = "backpressure: queue\nqueue: { mode: error, max_size: \"64 MiB\" }";
const QUEUE_ALWAYS: &str = "backpressure: queue\nqueue: { mode: always, max_size: \"64 MiB\" }";

async fn outage_with_kills(settings: &str) {
    let settings = format!("flush_period: 100ms\nmax_record_size: \"64 KiB\"\n{settings}");
    let mut world = World::new(3, &settings).await;
    world.write_lines(5_000);
    world.start();
    world.live(Duration::from_secs(1), 4_000).await;
    let down = world.fault("down");
    for _ in 0..3 {
        world.live(Duration::from_millis(fastrand::u64(300..1500)), 4_000).await;
        world.kill_9().await;
        world.start();
    }
    world.live(Duration::from_secs(1), 4_000).await;
    world.clear(down);
    for _ in 0..2 {
        world.live(Duration::from_millis(fastrand::u64(100..1500)), 4_000).await;
        world.kill_9().await;
        world.start();
    }
    // A crash repeats what flew, and what was delivered or queued in the second before it. A forwarder that has just
    // started reads all there is within that second, so each of the five may repeat all that was written.
    let repeated_max = 5 * world.written;
    let proof = world.finish(repeated_max).await;
    assert!(proof.records > 20, "{proof:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn block() {
    outage_with_kills("backpressure: block").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_on_error() {
    outage_with_kills(QUEUE_ERROR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_always() {
    outage_with_kills(QUEUE_ALWAYS).await;
}

/// Without a crash, nothing is sent twice: connections that were refused carried nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_alone_repeats_nothing() {
    for settings in ["backpressure: block", QUEUE_ERROR, QUEUE_ALWAYS] {
        let mut world = World::new(3, &format!("flush_period: 100ms\n{settings}")).await;
        world.start();
        world.live(Duration::from_secs(1), 4_000).await;
        let idle = world.server.counts().events;
        assert!(idle > 0, "{settings}: something arrives while all is well");
        let down = world.fault("down");
        world.live(Duration::from_secs(3), 4_000).await;
        world.clear(down);
        world.hear("recovery", |said| said.state.as_deref() == Some("healthy")).await;
        // What flew when connections were reset may have arrived: at most one batch per permitted put.
        world.finish(5 * 4_000 / 10).await;
    }
}
