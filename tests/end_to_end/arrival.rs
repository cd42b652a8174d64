//! The stream comes after the forwarder: what was written meanwhile arrives when there is one, without a restart.

use std::time::Duration;

use millpond_local_kinesis::{Counts, Operation};
use serde_json::json;

use crate::world::World;

const NOT_THERE: &str = "ResourceNotFoundException";
const REMEDY: &str = "create the stream if it is missing";

/// Puts that were made, however they ended.
fn puts(counts: &Counts) -> u64 {
    [Operation::PutRecord, Operation::PutRecords]
        .iter()
        .filter_map(|put| counts.requests.get(put.name()))
        .flat_map(|outcomes| outcomes.values())
        .sum()
}

async fn a_stream_that_comes_later(settings: &str) {
    let mut world = World::new(2, &format!("flush_period: 100ms\n{settings}")).await;
    world.server.call(Operation::DeleteStream, &json!({"StreamName": "logs"})).unwrap();
    world.start();
    world.write_lines(2_000);
    world.hear("an unhealthy output", |said| said.state.as_deref() == Some("unhealthy")).await;
    let unhealthy = world.said.last().unwrap();
    let reason = unhealthy.reason.as_deref().unwrap_or_default();
    assert!(reason.contains(NOT_THERE) && reason.contains(REMEDY), "{unhealthy:#?}");
    // Lines flow for some probes more.
    let looks = |world: &World| world.server.counts().requests_of(Operation::ListShards, NOT_THERE);
    while looks(&world) < 3 {
        world.live(Duration::from_millis(50), 2_000).await;
    }
    assert_eq!(puts(&world.server.counts()), 0, "nothing is sent to a stream that is not there");
    world.server.call(Operation::CreateStream, &json!({"StreamName": "logs", "ShardCount": 3})).unwrap();
    world.hear("recovery", |said| said.state.as_deref() == Some("healthy")).await;
    assert!(world.has_said("shards verified"), "{:#?}", world.said);
    world.write_lines(500);
    let proof = world.finish(0).await;
    assert!(proof.written > 2_500, "{proof:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn block() {
    a_stream_that_comes_later("backpressure: block").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queue() {
    a_stream_that_comes_later("backpressure: queue\nqueue: { mode: error }").await;
}
