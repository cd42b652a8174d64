//! Outages, and what becomes of queues.

use super::{Always, AtLeast, Expected, Is, Zero, check, world};
use crate::admin_client::Metrics;

pub(super) const OUTAGE: Expected = &[
    ("millpond_output_state{output=\"main\",state=\"unhealthy\"}", Is(1.0)),
    ("millpond_output_spooling", Always(1.0)),
    ("millpond_output_spooled_batches_total", AtLeast(1.0)),
    ("millpond_queue_events", Is(20_000.0)),
    ("millpond_queue_batches", AtLeast(1.0)),
    ("millpond_queue_payload_bytes", AtLeast(10_000.0)),
    ("millpond_queue_bytes", Always((1 << 20) as f64)),
    ("millpond_queue_max_bytes", Always((64 << 20) as f64)),
    ("millpond_queue_segments", AtLeast(1.0)),
    ("millpond_queue_oldest_seconds", AtLeast(0.001)),
    ("millpond_queue_accepting", Always(1.0)),
    ("millpond_put_requests_total{output=\"main\",api=\"PutRecord\",outcome=\"transient\"}", AtLeast(1.0)),
];
pub(super) const RECOVERY: Expected = &[
    ("millpond_output_state{output=\"main\",state=\"healthy\"}", Is(1.0)),
    ("millpond_output_events_total", Is(20_000.0)),
    ("millpond_queue_events", Zero),
    ("millpond_queue_oldest_seconds", Zero),
    ("millpond_shards_open", Always(2.0)),
    ("millpond_output_spooling", Zero),
    ("millpond_output_puts_in_flight_max", AtLeast(1.0)),
    ("millpond_queue_retained_bytes", AtLeast(1.0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn outage_and_recovery() {
    let queue = "{ max_size: \"64 MiB\", max_segment_size: \"1 MiB\", retain: 1d }";
    let (mut world, address, before) =
        world(&format!("compression: none\nbackpressure: queue\nqueue: {queue}")).await;
    let down = world.fault("down");
    world.write_lines(20_000);
    let queued = |metrics: &Metrics| {
        let unhealthy =
            metrics.get("millpond_output_state{output=\"main\",state=\"unhealthy\"}") == Some(1.0);
        unhealthy && metrics.get("millpond_queue_events") == Some(20_000.0)
    };
    let during = world.metrics_when(address, "the outage", queued).await;
    check(OUTAGE, &before, &during);
    world.clear(down);
    let recovered = |metrics: &Metrics| {
        metrics.get("millpond_output_state{output=\"main\",state=\"healthy\"}") == Some(1.0)
            && metrics.get("millpond_queue_events") == Some(0.0)
            && metrics.get("millpond_queue_retained_bytes") > Some(0.0)
    };
    let after = world.metrics_when(address, "the recovery", recovered).await;
    check(RECOVERY, &during, &after);
    world.finish(0).await;
}

pub(super) const FULL: Expected =
    &[("millpond_queue_accepting", Zero), ("millpond_input_chunks_in_flight", AtLeast(1.0))];

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue() {
    let queue = "{ max_size: \"4 MiB\", max_segment_size: \"1 MiB\" }";
    let (mut world, address, before) =
        world(&format!("compression: none\nbackpressure: queue\nqueue: {queue}")).await;
    let down = world.fault("down");
    world.write_lines(40_000);
    let full = |metrics: &Metrics| {
        let [accepting, in_flight] = ["millpond_queue_accepting", "millpond_input_chunks_in_flight"];
        metrics.get(accepting) == Some(0.0) && metrics.get(in_flight) > Some(0.0)
    };
    let during = world.metrics_when(address, "a full queue", full).await;
    check(FULL, &before, &during);
    world.clear(down);
    let drained = |metrics: &Metrics| metrics.get("millpond_output_events_total") >= Some(40_000.0);
    world.metrics_when(address, "the drain", drained).await;
    world.finish(0).await;
}

pub(super) const OLDEST_DROPPED: Expected = &[
    ("millpond_dropped_events_total{output=\"main\",reason=\"queue_full_oldest\"}", AtLeast(1.0)),
    ("millpond_queue_lost_events{output=\"main\",reason=\"queue_full_oldest\"}", AtLeast(1.0)),
];

/// What was lost is counted since the queue began, so it is still there after a restart, unlike the counter.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_are_dropped() {
    let queue = "{ max_size: \"4 MiB\", max_segment_size: \"1 MiB\", on_full: drop_oldest }";
    let (mut world, address, before) =
        world(&format!("compression: none\nbackpressure: queue\nqueue: {queue}")).await;
    world.fault("down");
    world.write_lines(40_000);
    let lost = |metrics: &Metrics| {
        metrics.get("millpond_queue_lost_events{output=\"main\",reason=\"queue_full_oldest\"}") > Some(0.0)
    };
    let during = world.metrics_when(address, "a loss", lost).await;
    check(OLDEST_DROPPED, &before, &during);
    world.stop().await;
    let address = world.start_with_admin().await;
    let ever = world.metrics_when(address, "the loss of before", lost).await;
    let since = ever.get("millpond_dropped_events_total{output=\"main\",reason=\"queue_full_oldest\"}");
    let ever = ever.get("millpond_queue_lost_events{output=\"main\",reason=\"queue_full_oldest\"}");
    assert!(since < ever, "{since:?} {ever:?}");
    world.stop().await;
}

pub(super) const DAMAGED: Expected = &[
    ("millpond_queue_damaged_frames_total", AtLeast(1.0)),
    ("millpond_queue_damaged_spans_total", Is(1.0)),
    ("millpond_queue_damaged_bytes_total", AtLeast(1.0)),
    ("millpond_queue_quarantine_bytes", AtLeast(1.0)),
    ("millpond_queue_missing_frames_total", AtLeast(1.0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_queue() {
    let queue = "{ max_size: \"64 MiB\", max_segment_size: \"1 MiB\" }";
    let settings =
        format!("compression: none\nmax_record_size: \"64 KiB\"\nbackpressure: queue\nqueue: {queue}");
    let (mut world, address, before) = world(&settings).await;
    let down = world.fault("down");
    world.write_lines(20_000);
    let queued = |metrics: &Metrics| metrics.get("millpond_queue_events") == Some(20_000.0);
    world.metrics_when(address, "everything queued", queued).await;
    world.stop().await;
    let mut segments: Vec<_> = std::fs::read_dir(world.path("data/queues/main"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    let mut bytes = std::fs::read(&segments[2]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&segments[2], bytes).unwrap();
    std::fs::remove_file(&segments[0]).unwrap();
    world.clear(down);
    let address = world.start_with_admin().await;
    let drained = |metrics: &Metrics| {
        metrics.get("millpond_queue_events") == Some(0.0)
            && metrics.get("millpond_queue_quarantine_bytes") > Some(0.0)
    };
    let after = world.metrics_when(address, "the end of the drain", drained).await;
    check(DAMAGED, &before, &after);
    world.stop().await;
}
