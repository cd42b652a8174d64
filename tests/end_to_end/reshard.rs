//! Shards are split and merged while lines flow: nothing is missing, nothing is repeated, the new shards take over.

use std::time::Duration;

use millpond_local_kinesis::Operation;
use serde_json::json;
use tokio::time::Instant;

use crate::world::{PATIENCE, World};

/// Lines a second.
const RATE: u64 = 3_000;
/// Events that a shard takes before it counts as in use.
const TAKEN_MIN: u64 = 500;
const TICK: Duration = Duration::from_millis(50);

const HALF: u128 = 1 << 127;
const QUARTER: u128 = 1 << 126;

/// Lets lines flow until `is_so`.
async fn flow(world: &mut World, what: &str, mut is_so: impl FnMut(&mut World) -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so(world) {
        assert!(Instant::now() < until, "never came: {what}; but: {:#?}", world.said);
        world.live(TICK, RATE).await;
    }
}

fn shard(number: u32) -> String {
    format!("shardId-{number:012}")
}

fn split(world: &World, number: u32, at: u128) {
    let body =
        json!({"StreamName": "logs", "ShardToSplit": shard(number), "NewStartingHashKey": at.to_string()});
    world.server.call(Operation::SplitShard, &body).unwrap();
}

fn merge(world: &World, lower: u32, upper: u32) {
    let body =
        json!({"StreamName": "logs", "ShardToMerge": shard(lower), "AdjacentShardToMerge": shard(upper)});
    world.server.call(Operation::MergeShards, &body).unwrap();
}

/// Lines flow until each of these shards has taken its share, and no other is open.
async fn take_over(world: &mut World, shards: &[u32]) {
    let names: Vec<String> = shards.iter().copied().map(shard).collect();
    let open: Vec<_> = world.server.counts().shards.into_iter().filter(|shard| shard.open).collect();
    assert_eq!(open.len(), names.len(), "{open:#?}");
    let before = |name: &String| open.iter().find(|shard| shard.shard_id == *name).unwrap().events;
    let wanted: Vec<u64> = names.iter().map(|name| before(name) + TAKEN_MIN).collect();
    let is_so = |world: &mut World| {
        let counts = world.server.counts().shards;
        let taken = |name: &String| counts.iter().find(|shard| shard.shard_id == *name).unwrap().events;
        names.iter().zip(&wanted).all(|(name, wanted)| taken(name) >= *wanted)
    };
    flow(world, "records in all open shards", is_so).await;
}

fn last_state(world: &World) -> Option<&str> {
    world.said.iter().rev().find_map(|said| said.state.as_deref())
}

async fn a_split_and_a_merge_under_load(format: &str) {
    let settings = format!(
        "flush_period: 100ms\nmax_record_size: \"64 KiB\"\nconcurrency: 8\n{format}\nbackpressure: queue\n\
         queue: {{ mode: error }}"
    );
    let mut world = World::new(2, &settings).await;
    world.start();
    take_over(&mut world, &[0, 1]).await;
    split(&world, 0, QUARTER);
    take_over(&mut world, &[2, 3, 1]).await;
    merge(&world, 3, 1);
    take_over(&mut world, &[2, 4]).await;
    assert!(!world.has_said("failed"), "a reshard is no failure: {:#?}", world.said);

    // Nothing is carried out under this fault, so nothing may be repeated.
    let outage = world.fault("reset");
    flow(&mut world, "an outage", |world| last_state(world) == Some("unhealthy")).await;
    flow(&mut world, "a queue", |world| world.gauge.look().is_some_and(|depth| depth.batches > 4)).await;
    split(&world, 4, HALF);
    merge(&world, 2, 5);
    let from = world.said.len();
    world.clear(outage);
    take_over(&mut world, &[7, 6]).await;
    flow(&mut world, "an end of the drain", |world| {
        world.said[from..].iter().any(|said| said.message == "the queue is empty")
    })
    .await;
    let verified =
        world.said[from..].iter().find(|said| said.message.starts_with("shards verified")).unwrap();
    assert_eq!(verified.fields["open_shards"], 2, "the new shards were looked at: {verified:#?}");
    let written = world.written;
    assert!(written > 10 * TAKEN_MIN, "{written} lines are no load");
    world.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn put_record() {
    a_split_and_a_merge_under_load("compression: gzip").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn put_records() {
    a_split_and_a_merge_under_load("compression: none\nsend_batched: false").await;
}
