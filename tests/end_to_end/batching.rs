//! Records that share requests, on a link with a long round trip.

use std::time::Duration;

use millpond_local_kinesis::Operation;

use crate::world::World;

const ROUND_TRIP: &str = "slow:200ms";
/// Small batches, many of them.
const SMALL: &str = "flush_period: 10ms\nmax_record_size: \"8 KiB\"\nput_records_batching: true";

/// Requests that put records, by both operations and with any outcome.
fn puts(world: &World) -> (u64, u64) {
    let counts = world.server.counts();
    let of = |operation: Operation| counts.requests.get(operation.name()).map_or(0, |by| by.values().sum());
    (of(Operation::PutRecord), of(Operation::PutRecords))
}

/// The outcomes of puts that the forwarder gave last.
fn outcomes(world: &World) -> Option<&str> {
    world.said.iter().rev().find_map(|said| said.fields.get("put_outcomes")?.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_share_requests_and_arrive_once() {
    for settings in ["backpressure: block", "backpressure: queue\nqueue: { mode: always }"] {
        let mut world = World::new(2, &format!("{SMALL}\n{settings}")).await;
        world.fault(ROUND_TRIP);
        world.start();
        world.live(Duration::from_secs(3), 4_000).await;
        let proof = world.arrived().await;
        let (single, shared) = puts(&world);
        assert_eq!(single, 0, "PutRecords alone needs to be allowed");
        assert!(proof.records > 200 && shared * 4 < proof.records, "{shared} requests for {proof:#?}");
        world.stop().await;
        assert_eq!(outcomes(&world), Some(&*format!("PutRecords: {shared} accepted")));
        let (p50, p99) = (world.number("put_p50_ms"), world.number("put_p99_ms"));
        assert!(200 <= p50 && p50 <= p99, "{p50} {p99}");
        world.finish(0).await;
    }
}

/// The queue that an outage has filled is drained in requests of many records.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_drained_in_shared_requests() {
    let settings = format!("{SMALL}\nbackpressure: queue\nqueue: {{ mode: error, max_size: \"64 MiB\" }}");
    let mut world = World::new(2, &settings).await;
    let down = world.fault("down");
    world.start();
    world.hear("the outage", |said| said.state.as_deref() == Some("unhealthy")).await;
    world.live(Duration::from_secs(3), 8_000).await;
    let queued = world.gauge.look().unwrap().batches;
    assert!(queued > 200, "{queued} batches are queued");
    assert_eq!(world.server.counts().records, 0);
    world.fault(ROUND_TRIP);
    world.clear(down);
    let proof = world.arrived().await;
    let (single, shared) = puts(&world);
    assert!(single == 0 && shared * 4 < proof.records, "{shared} requests for {proof:#?}");
    world.finish(0).await;
}

/// What is throttled or fails alone is sent again, alone.
#[tokio::test(flavor = "multi_thread")]
async fn failures_in_shared_requests_repeat_nothing() {
    let mut world = World::new(2, &format!("{SMALL}\nbackpressure: queue\nqueue: {{ mode: error }}")).await;
    world.fault(ROUND_TRIP);
    let throttled = world.fault("throttle:0.3");
    let partial = world.fault("partial:0.2");
    world.start();
    world.live(Duration::from_secs(3), 2_000).await;
    world.clear(throttled);
    world.clear(partial);
    world.finish(0).await;
}
