//! A file, what happens to it, and a stream that takes everything.

use super::{Always, AtLeast, Expected, Is, check, promtool, world};
use crate::admin_client::{Metrics, get};

pub(super) const FLOW: Expected = &[
    ("millpond_build_info", Always(1.0)),
    ("millpond_start_time_seconds", Always(1e9)),
    ("millpond_ready", Always(1.0)),
    ("millpond_config_last_reload_successful", Always(1.0)),
    ("millpond_config_last_reload_success_timestamp_seconds", Always(1e9)),
    ("millpond_input_state{input=\"app\",state=\"accepting\"}", Always(1.0)),
    ("millpond_input_events_total", Is(2_004.0)),
    ("millpond_input_bytes_total", AtLeast(100_000.0)),
    ("millpond_input_cut_events_total", Is(1.0)),
    ("millpond_input_cut_bytes_total", Is(101.0)),
    ("millpond_input_files", Always(1.0)),
    ("millpond_input_open_files", Always(0.0)),
    ("millpond_input_file_rotations_total", Is(1.0)),
    ("millpond_input_file_truncations_total", Is(1.0)),
    ("millpond_input_file_deletions_total", AtLeast(1.0)),
    ("millpond_input_position_saves_total", AtLeast(1.0)),
    ("millpond_output_info", Always(1.0)),
    ("millpond_output_tag", Always(1.0)),
    ("millpond_output_state{output=\"main\",state=\"healthy\"}", Always(1.0)),
    ("millpond_output_state_since_timestamp_seconds", Always(1e9)),
    ("millpond_output_received_events_total", Is(2_004.0)),
    ("millpond_output_events_total", Is(2_004.0)),
    ("millpond_output_bytes_total", AtLeast(10_000.0)),
    ("millpond_output_not_utf8_events_total", Is(1.0)),
    ("millpond_put_requests_total{output=\"main\",api=\"PutRecord\",outcome=\"accepted\"}", AtLeast(1.0)),
    ("millpond_put_duration_seconds_count", AtLeast(1.0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn flow() {
    let (mut world, address, before) = world("tags: [edge]").await;
    world.write_lines(2_000);
    let long = "x".repeat((64 << 10) + 100);
    std::fs::write(world.path("odd.log"), [long.as_bytes(), b"\nbad \xff\n"].concat()).unwrap();
    let received =
        |events: f64| move |metrics: &Metrics| metrics.get("millpond_output_events_total") == Some(events);
    world.metrics_when(address, "the lines", received(2_002.0)).await;
    std::fs::write(world.path("odd.log"), "short\n").unwrap();
    world.metrics_when(address, "the line of the truncated file", received(2_003.0)).await;
    std::fs::rename(world.path("odd.log"), world.path("odd.old")).unwrap();
    std::fs::write(world.path("odd.log"), "new\n").unwrap();
    world.metrics_when(address, "the line of the new file", received(2_004.0)).await;
    std::fs::remove_file(world.path("odd.log")).unwrap();
    let deleted = |metrics: &Metrics| {
        let [deletions, saves] =
            ["millpond_input_file_deletions_total", "millpond_input_position_saves_total"];
        metrics.get(deletions) > Some(0.0) && metrics.get(saves) > Some(0.0)
    };
    let after = world.metrics_when(address, "the deletion, and a save", deleted).await;
    check(FLOW, &before, &after);
    let calls: f64 = after
        .all()
        .filter(|(name, _)| name.starts_with("millpond_put_requests_total"))
        .map(|(_, calls)| calls)
        .sum();
    assert_eq!(after.get("millpond_put_duration_seconds_count"), Some(calls));
    promtool(&["check", "metrics"], &get(address, "/metrics").await.body);
    world.stop().await;
}
