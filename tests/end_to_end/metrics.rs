//! Every metric is moved: by something that happens to a forwarder, from nothing to a value that is known.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::admin_client::{ADMIN, Metrics, get, post};
use crate::web::replace_input;
use crate::world::World;

/// What a series shows in the end.
enum Shows {
    /// It showed nothing, or 0, and shows this.
    Is(f64),
    /// It showed nothing, or 0, and shows this or more.
    AtLeast(f64),
    /// It has always shown something, and shows this or more.
    Always(f64),
    /// It has shown something else, and shows 0.
    Zero,
}
use Shows::{Always, AtLeast, Is, Zero};

type Expected = &'static [(&'static str, Shows)];

#[track_caller]
fn check(expected: Expected, before: &Metrics, after: &Metrics) {
    for (series, shows) in expected {
        let (was, is) = (before.get(series), after.get(series));
        let good = match shows {
            Is(value) => was.unwrap_or(0.0) == 0.0 && is == Some(*value),
            AtLeast(value) => was.unwrap_or(0.0) == 0.0 && is.is_some_and(|is| is >= *value),
            Always(value) => was.is_some() && is.is_some_and(|is| is >= *value),
            Zero => was.is_some_and(|was| was != 0.0) && is == Some(0.0),
        };
        assert!(good, "{series}: {was:?}, then {is:?}");
    }
}

/// A world with an admin address, running.
async fn world(settings: &str) -> (World, SocketAddr, Metrics) {
    let mut world = World::new(2, &format!("flush_period: 50ms\n{settings}")).await;
    world.configure(|config| {
        let input = "{ type: file, include: [\"*.log\"], max_line: \"64 KiB\", rescan: 100ms }";
        config.replace("{ type: file, include: [\"*.log\"] }", input) + ADMIN + "\n"
    });
    let address = world.start_with_admin().await;
    // From here on it waits for its first batch.
    let verified = |metrics: &Metrics| metrics.get("millpond_shards_open").is_some();
    let before = world.metrics_when(address, "the look at the shards", verified).await;
    (world, address, before)
}

const FLOW: Expected = &[
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

const OUTAGE: Expected = &[
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
const RECOVERY: Expected = &[
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

const FULL: Expected =
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

const OLDEST_DROPPED: Expected = &[
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

const DROPPED: Expected =
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

const FAILED_ALONE: Expected = &[
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

const REPEATED: Expected = &[("millpond_output_duplicate_events_total", AtLeast(1.0))];

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

const CUT: Expected = &[("millpond_output_truncated_events_total", Is(1.0))];

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_cut() {
    let (mut world, address, before) = world("oversize: truncate\nmax_record_size: \"16 KiB\"").await;
    std::fs::write(world.path("long.log"), "x".repeat(32 << 10) + "\n").unwrap();
    let cut = |metrics: &Metrics| metrics.get("millpond_output_events_total") == Some(1.0);
    check(CUT, &before, &world.metrics_when(address, "the event", cut).await);
    world.stop().await;
}

const TOO_LARGE: Expected = &[
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

const REFUSED: Expected = &[
    ("millpond_config_reloads_total{result=\"refused\"}", Is(1.0)),
    ("millpond_config_last_reload_successful", Zero),
];
const TAKEN: Expected = &[
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

const NO_OBJECT: Expected = &[("millpond_output_not_object_events_total", Is(2.0))];

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

const IN_FLIGHT: Expected = &[("millpond_output_puts_in_flight", AtLeast(1.0))];
const PAUSED: Expected = &[
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

const DAMAGED: Expected = &[
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

const REQUESTS: Expected = &[
    ("millpond_input_requests_total{input=\"app\",outcome=\"accepted\"}", Is(1.0)),
    ("millpond_input_connections", Is(1.0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn requests() {
    let (mut world, address, input, before) = listening("type: http", "").await;
    let mut client = TcpStream::connect(input).await.unwrap();
    let request =
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nhello\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let accepted = |metrics: &Metrics| {
        metrics.get("millpond_input_requests_total{input=\"app\",outcome=\"accepted\"}") == Some(1.0)
    };
    check(REQUESTS, &before, &world.metrics_when(address, "the request", accepted).await);
    drop(client);
    world.stop().await;
}

/// A world whose input listens: its admin address, that of the input, and what there was at the start.
async fn listening(input: &str, output: &str) -> (World, SocketAddr, SocketAddr, Metrics) {
    let mut world = World::new(2, &format!("flush_period: 50ms\n{output}")).await;
    replace_input(&world, &format!("{{ {input}, listen: \"127.0.0.1:0\" }}"));
    world.configure(|config| config + ADMIN + "\n");
    let address = world.start_with_admin().await;
    if !world.has_said("listening") {
        world.hear("its address", |said| said.message == "listening").await;
    }
    let said = world.said.iter().find(|said| said.message == "listening").unwrap();
    let input = said.fields["address"].as_str().unwrap().parse().unwrap();
    let before = Metrics::scrape(address).await;
    (world, address, input, before)
}

const CONNECTIONS: Expected = &[
    ("millpond_input_accepted_connections_total", Is(3.0)),
    ("millpond_input_refused_connections_total", Is(1.0)),
    ("millpond_input_connection_errors_total", Is(1.0)),
    ("millpond_input_framing_errors_total", Is(1.0)),
    ("millpond_input_incomplete_events_total", Is(1.0)),
    ("millpond_input_unparsed_events_total", Is(3.0)),
    ("millpond_input_not_utf8_events_total", Is(1.0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn connections() {
    let input = "type: syslog, transport: tcp, framing: octet_counted, max_connections: 1";
    let (mut world, address, input, before) = listening(input, "").await;
    let is = |series: &'static str, value: f64| move |metrics: &Metrics| metrics.get(series) == Some(value);
    let mut first = TcpStream::connect(input).await.unwrap();
    first.write_all(b"5 hello2 \xff\xfe9 half").await.unwrap();
    world.metrics_when(address, "two events", is("millpond_input_unparsed_events_total", 2.0)).await;
    let _one_too_many = TcpStream::connect(input).await.unwrap();
    world.metrics_when(address, "a refusal", is("millpond_input_refused_connections_total", 1.0)).await;
    drop(first);
    world.metrics_when(address, "half a message", is("millpond_input_incomplete_events_total", 1.0)).await;
    world.metrics_when(address, "room", is("millpond_input_connections", 0.0)).await;
    let mut second = TcpStream::connect(input).await.unwrap();
    second.write_all(b"no number").await.unwrap();
    world.metrics_when(address, "a bad frame", is("millpond_input_framing_errors_total", 1.0)).await;
    world.metrics_when(address, "room", is("millpond_input_connections", 0.0)).await;
    let third = TcpStream::connect(input).await.unwrap();
    world.metrics_when(address, "the third", is("millpond_input_accepted_connections_total", 3.0)).await;
    // Its end is a reset.
    third.set_zero_linger().unwrap();
    drop(third);
    let after =
        world.metrics_when(address, "a reset", is("millpond_input_connection_errors_total", 1.0)).await;
    check(CONNECTIONS, &before, &after);
    world.stop().await;
}

const DATAGRAMS: Expected = &[("millpond_input_dropped_datagrams_total", AtLeast(1.0))];

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_dropped() {
    let (mut world, address, input, before) =
        listening("type: udp, receive_buffer: \"4 KiB\"", "backpressure: block").await;
    assert_eq!(post(address, "/api/v1/outputs/main/pause", "").await.status, 200);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dropped = |metrics: &Metrics| metrics.get("millpond_input_dropped_datagrams_total") > Some(0.0);
    for _ in 0..20_000 {
        socket.send_to(&[b'x'; 1_000], input).await.unwrap();
    }
    assert_eq!(post(address, "/api/v1/outputs/main/resume", "").await.status, 200);
    // The kernel tells of it with the next one that it does not drop.
    world.live(Duration::from_millis(500), 0).await;
    socket.send_to(b"the next one", input).await.unwrap();
    check(DATAGRAMS, &before, &world.metrics_when(address, "the loss", dropped).await);
    world.stop().await;
}

/// What cannot be made to happen here at will. That they show what they say is tested in the crate, as for all others.
const NOT_FROM_OUTSIDE: [&str; 8] = [
    // Counted at the very end of a stop that runs out of time.
    "millpond_output_unacknowledged_events_total",
    // An output lets go of events only at such a stop, or when it fails.
    "millpond_input_resent_chunks_total",
    // A race between whoever writes and truncates a file and the reader.
    "millpond_input_lost_bytes_total",
    "millpond_input_lost_events_total",
    // Disks and limits of the system that fail; the tests may run as root, whom no permission stops.
    "millpond_input_read_errors_total",
    "millpond_input_unwatched_directories",
    "millpond_input_position_errors_total",
    "millpond_queue_poisoned_segments_total",
];

#[test]
fn every_metric_is_moved() {
    let scenarios = [
        FLOW,
        OUTAGE,
        RECOVERY,
        FULL,
        OLDEST_DROPPED,
        DROPPED,
        FAILED_ALONE,
        REPEATED,
        CUT,
        TOO_LARGE,
        REFUSED,
        TAKEN,
        NO_OBJECT,
        IN_FLIGHT,
        PAUSED,
        DAMAGED,
        REQUESTS,
        CONNECTIONS,
        DATAGRAMS,
    ];
    let family = |series: &'static str| {
        let name = series.split('{').next().unwrap_or(series);
        name.strip_suffix("_count").unwrap_or(name)
    };
    let mut moved: BTreeSet<_> = scenarios.into_iter().flatten().map(|(series, _)| family(series)).collect();
    for name in NOT_FROM_OUTSIDE {
        assert!(moved.insert(name), "{name} is moved after all");
    }
    let declared: BTreeSet<_> = millpond::metrics::families().map(|family| family.name).collect();
    let unmoved: Vec<_> = declared.difference(&moved).collect();
    assert!(unmoved.is_empty(), "declared, and moved by no test: {unmoved:?}");
    let unknown: Vec<_> = moved.difference(&declared).collect();
    assert!(unknown.is_empty(), "moved, and not declared: {unknown:?}");
}

#[test]
fn alert_rules() {
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/alerts.yml");
    promtool(&["check", "rules", rules.to_str().unwrap()], "");
}

/// Prometheus itself says whether it is right; where it is not installed, that is left out and said.
fn promtool(arguments: &[&str], text: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = match command.spawn() {
        Ok(promtool) => promtool,
        Err(error) => {
            eprintln!("skip promtool {}: {error} (Debian: apt-get install prometheus)", arguments.join(" "));
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
