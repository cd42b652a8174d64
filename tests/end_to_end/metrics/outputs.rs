//! What can happen to events on their way, and to the process.

use super::{AtLeast, Expected, Is, Zero, check, world};
use crate::admin_client::{ADMIN, Metrics, post};
use crate::world::World;

pub(super) const DROPPED: Expected =
    &[("millpond_dropped_events_total{output=\"main\",reason=\"output_unhealthy\"}", AtLeast(1.0))];

#[tokio::test(flavor = "multi_thread")]
async fn events_are_dropped_while_unhealthy() {
    let (mut world, address, before) = world("backpressure: drop\nmax_record_size: \"16 KiB\"").await;
    world.fault("down");
    world.write_lines(40_000);
    let dropped = |metrics: &Metrics| {
        metrics.get("millpond_dropped_events_total{output=\"main\",reason=\"output_unhealthy\"}") > Some(0.0)
    };
    check(DROPPED, &before, &world.metrics_when(address, "a drop", dropped).await);
    world.stop().await;
}

pub(super) const FAILED_ALONE: Expected = &[
    ("millpond_output_retried_records_total", AtLeast(1.0)),
    ("millpond_put_requests_total{output=\"main\",api=\"PutRecords\",outcome=\"partial\"}", AtLeast(1.0)),
    ("millpond_output_dead_letter_events_total", Is(1.0)),
    ("millpond_dead_letter_events", Is(1.0)),
];

/// Dead letters are still there after a restart, unlike the counter.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_fail_alone() {
    let (mut world, address, before) = world("compression: none\nsend_batched: false").await;
    let partial = world.fault("partial:0.2");
    world.fault("refuse:#1977");
    world.write_lines(2_000);
    let done = |metrics: &Metrics| {
        metrics.get("millpond_output_events_total") == Some(1_999.0)
            && metrics.get("millpond_dead_letter_events") == Some(1.0)
    };
    check(FAILED_ALONE, &before, &world.metrics_when(address, "all but one delivered", done).await);
    world.clear(partial);
    world.stop().await;
    let address = world.start_with_admin().await;
    let later = Metrics::scrape(address).await;
    assert_eq!(later.get("millpond_dead_letter_events"), Some(1.0));
    assert_eq!(later.get("millpond_output_dead_letter_events_total"), Some(0.0));
    world.stop().await;
}

pub(super) const REPEATED: Expected = &[("millpond_output_duplicate_events_total", AtLeast(1.0))];

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_lost() {
    let (mut world, address, before) = world("backpressure: block").await;
    let truncated = world.fault("truncated");
    world.write_lines(100);
    let failed = |metrics: &Metrics| {
        metrics.get("millpond_put_requests_total{output=\"main\",api=\"PutRecord\",outcome=\"transient\"}")
            > Some(0.0)
    };
    world.metrics_when(address, "a put without an answer", failed).await;
    world.clear(truncated);
    let repeated = |metrics: &Metrics| metrics.get("millpond_output_duplicate_events_total") > Some(0.0);
    check(REPEATED, &before, &world.metrics_when(address, "a repetition", repeated).await);
    world.finish(100).await;
}

pub(super) const CUT: Expected = &[("millpond_output_truncated_events_total", Is(1.0))];

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_cut() {
    let (mut world, address, before) = world("oversize: truncate\nmax_record_size: \"16 KiB\"").await;
    std::fs::write(world.path("long.log"), "x".repeat(32 << 10) + "\n").unwrap();
    let cut = |metrics: &Metrics| metrics.get("millpond_output_events_total") == Some(1.0);
    check(CUT, &before, &world.metrics_when(address, "the event", cut).await);
    world.stop().await;
}

pub(super) const TOO_LARGE: Expected = &[
    ("millpond_dropped_events_total{output=\"main\",reason=\"oversize\"}", Is(50.0)),
    ("millpond_log_held_back_lines_total", AtLeast(30.0)),
];

/// Each of them would be a line in the log.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_too_large() {
    let (mut world, address, before) = world("oversize: drop\nmax_record_size: \"16 KiB\"").await;
    std::fs::write(world.path("long.log"), ("x".repeat(32 << 10) + "\n").repeat(50)).unwrap();
    let dropped = |metrics: &Metrics| {
        metrics.get("millpond_dropped_events_total{output=\"main\",reason=\"oversize\"}") == Some(50.0)
    };
    check(TOO_LARGE, &before, &world.metrics_when(address, "the drops", dropped).await);
    world.stop().await;
}

pub(super) const REFUSED: Expected = &[
    ("millpond_config_reloads_total{result=\"refused\"}", Is(1.0)),
    ("millpond_config_last_reload_successful", Zero),
];
pub(super) const TAKEN: Expected = &[
    ("millpond_config_reloads_total{result=\"success\"}", Is(1.0)),
    ("millpond_config_last_reload_successful", Is(1.0)),
    ("millpond_output_tag{output=\"main\",tag=\"new\"}", Is(1.0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn reloads() {
    let (mut world, address, before) = world("tags: [old]").await;
    world.edit("tags: [old]", "tags: [new]\n    concurrency: 0");
    let refused = |metrics: &Metrics| metrics.get("millpond_config_last_reload_successful") == Some(0.0);
    let during = world.metrics_when(address, "the refusal", refused).await;
    check(REFUSED, &before, &during);
    world.edit("concurrency: 0", "concurrency: 5");
    let taken = |metrics: &Metrics| !refused(metrics);
    check(TAKEN, &during, &world.metrics_when(address, "the reload", taken).await);
    world.stop().await;
}

pub(super) const NO_OBJECT: Expected = &[("millpond_output_not_object_events_total", Is(2.0))];

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_no_objects() {
    let mut world = World::new(2, "flush_period: 50ms").await;
    world.configure(|config| {
        config.replace("include: [\"*.log\"]", "include: [\"*.log\"], codec: json") + ADMIN + "\n"
    });
    let address = world.start_with_admin().await;
    let before = Metrics::scrape(address).await;
    std::fs::write(world.path("some.log"), "{\"a\":1}\n[1]\nword\n").unwrap();
    let all = |metrics: &Metrics| metrics.get("millpond_output_events_total") == Some(3.0);
    check(NO_OBJECT, &before, &world.metrics_when(address, "the events", all).await);
    world.stop().await;
}

pub(super) const IN_FLIGHT: Expected = &[("millpond_output_puts_in_flight", AtLeast(1.0))];
pub(super) const PAUSED: Expected = &[
    ("millpond_output_state{output=\"main\",state=\"paused\"}", Is(1.0)),
    ("millpond_output_waiting_batches", AtLeast(1.0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn in_flight_and_paused() {
    let (mut world, address, before) = world("backpressure: block").await;
    let hang = world.fault("hang");
    world.write_lines(100);
    let flies = |metrics: &Metrics| metrics.get("millpond_output_puts_in_flight") > Some(0.0);
    let during = world.metrics_when(address, "a put in flight", flies).await;
    check(IN_FLIGHT, &before, &during);
    assert_eq!(post(address, "/api/v1/outputs/main/pause", "").await.status, 200);
    world.clear(hang);
    world.write_lines(100);
    let waits = |metrics: &Metrics| metrics.get("millpond_output_waiting_batches") > Some(0.0);
    check(PAUSED, &during, &world.metrics_when(address, "a batch that waits", waits).await);
    assert_eq!(post(address, "/api/v1/outputs/main/resume", "").await.status, 200);
    world.finish(100).await;
}
