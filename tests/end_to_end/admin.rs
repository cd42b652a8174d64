//! The admin address: what it answers, what it does, and whom it never disturbs.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::admin_client::{ADMIN, ask, get, post};
use crate::world::World;

const QUEUE: &str = "flush_period: 50ms\nbackpressure: queue\ntags: [edge]";

/// A world with an admin address.
async fn world(settings: &str, admin: &str) -> World {
    let world = World::new(2, settings).await;
    world.configure(|config| format!("{config}{admin}\n"));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_status() {
    let other = "  elsewhere: { type: kinesis, environment: lab, stream_name: other, region: us-east-1, tags: [lab] }";
    let mut world = world(QUEUE, &format!("{other}\n{ADMIN}")).await;
    let address = world.start_with_admin().await;
    world.write_lines(100);
    world.arrived().await;
    assert_eq!(get(address, "/healthz").await.status, 200);
    assert_eq!(get(address, "/readyz").await.body, "ready\n");
    let status = get(address, "/api/v1/status").await.json();
    assert_eq!((&status["stage"], &status["ready"]), (&"running".into(), &true.into()));
    assert_eq!((&status["inputs"][0]["id"], &status["inputs"][0]["events"]), (&"app".into(), &100.into()));
    let [elsewhere, main] = &status["outputs"].as_array().unwrap()[..] else { panic!("{status:#}") };
    assert_eq!((&main["state"], &main["running"]["delivered_events"]), (&"healthy".into(), &100.into()));
    assert_eq!((&main["running"]["queue"]["events"], &main["tags"][0]), (&0.into(), &"edge".into()));
    assert_eq!((&elsewhere["state"], &elsewhere["running"]), (&"inactive".into(), &serde_json::Value::Null));
    let tagged = get(address, "/api/v1/status?tag=edge").await.json();
    assert_eq!(tagged["outputs"].as_array().unwrap().len(), 1);
    let tagged = get(address, "/metrics?tag=lab").await.body;
    assert!(tagged.contains("output=\"elsewhere\"") && !tagged.contains("output=\"main\""), "{tagged}");
    let refused = post(address, "/api/v1/outputs/elsewhere/pause", "").await;
    assert_eq!((refused.status, refused.body.contains("another environment")), (409, true), "{refused:?}");
    assert_eq!(post(address, "/api/v1/outputs/nobody/pause", "").await.status, 404);
    assert_eq!(ask(address, "POST", "/api/v1/outputs/main/pause", "", "").await.status, 415);
    world.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for() {
    let mut world = world(
        QUEUE,
        "admin: { listen: \"127.0.0.1:0\", token: \"${secret:admin}\" }\nsecrets: { admin: { file: token } }",
    )
    .await;
    std::fs::write(world.path("token"), "s3cret\n").unwrap();
    let address = world.start_with_admin().await;
    assert_eq!(get(address, "/healthz").await.status, 200);
    assert_eq!(get(address, "/readyz").await.status, 200);
    let refused = get(address, "/metrics").await;
    assert_eq!(
        (refused.status, refused.head.contains("www-authenticate: Bearer")),
        (401, true),
        "{refused:?}"
    );
    let shown = ask(address, "GET", "/metrics", "authorization: Bearer s3cret\r\n", "").await;
    assert_eq!(shown.status, 200);
    world.write_lines(10);
    world.finish(0).await;
}

/// An output that is paused queues; one that is resumed drains.
#[tokio::test(flavor = "multi_thread")]
async fn pause_and_resume() {
    let mut world = world(QUEUE, ADMIN).await;
    let address = world.start_with_admin().await;
    let paused = post(address, "/api/v1/outputs/main/pause", "").await;
    assert_eq!((paused.status, &paused.json()["state"]), (200, &"paused".into()), "{paused:?}");
    world.write_lines(1_000);
    let is_queued =
        |metrics: &crate::admin_client::Metrics| metrics.get("millpond_queue_events") == Some(1_000.0);
    world.metrics_when(address, "everything queued", is_queued).await;
    assert_eq!(world.server.counts().events, 0);
    let status = get(address, "/api/v1/status").await.json();
    assert_eq!(status["outputs"][0]["why"], "a person has paused it");
    let resumed = post(address, "/api/v1/outputs/main/resume", "").await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    world.finish(0).await;
}

/// Test events go the whole way, and the answer says how far they came.
#[tokio::test(flavor = "multi_thread")]
async fn test_events_go_the_whole_way() {
    let mut world =
        world("flush_period: 50ms\ncompression: none\nsend_batched: false\nbackpressure: queue", ADMIN).await;
    let address = world.start_with_admin().await;
    let delivered = post(address, "/api/v1/outputs/main/test", "{\"events\": 2}").await.json();
    assert_eq!(delivered["result"], "delivered", "{delivered:#}");
    let mut arrived = Vec::new();
    millpond_local_kinesis::verify(&world.server.records(), |_, event| {
        arrived.push(serde_json::from_slice::<serde_json::Value>(event).unwrap());
    });
    assert_eq!(arrived.len(), 2);
    for event in &arrived {
        assert_eq!((&event["millpond_test"], &event["millpond_test_id"]), (&true.into(), &delivered["id"]));
    }
    let down = world.fault("down");
    let is_down = |metrics: &crate::admin_client::Metrics| {
        metrics.get("millpond_output_state{output=\"main\",state=\"healthy\"}") == Some(0.0)
    };
    world.write_lines(1);
    world.metrics_when(address, "an outage", is_down).await;
    let queued = post(address, "/api/v1/outputs/main/test", "").await.json();
    assert_eq!(queued["result"], "queued", "{queued:#}");
    world.clear(down);
    for bad in ["{\"events\": 0}", "{\"event\": 1}", "x", "{\"wait_secs\": 61}"] {
        assert_eq!(post(address, "/api/v1/outputs/main/test", bad).await.status, 400, "{bad}");
    }
    let all_delivered =
        |metrics: &crate::admin_client::Metrics| metrics.get("millpond_output_events_total") == Some(6.0);
    world.metrics_when(address, "all delivered", all_delivered).await;
    world.stop().await;
}

/// An output that lets its inputs wait says so, and the events are delivered all the same.
#[tokio::test(flavor = "multi_thread")]
async fn test_events_that_wait_are_not_lost() {
    let mut world = world("flush_period: 50ms\nbackpressure: block", ADMIN).await;
    let address = world.start_with_admin().await;
    post(address, "/api/v1/outputs/main/pause", "").await;
    let waiting = post(address, "/api/v1/outputs/main/test", "{\"wait_secs\": 1}").await.json();
    assert_eq!(waiting["result"], "waiting", "{waiting:#}");
    assert!(waiting["meaning"].as_str().unwrap().contains("paused"), "{waiting:#}");
    post(address, "/api/v1/outputs/main/resume", "").await;
    let all_delivered =
        |metrics: &crate::admin_client::Metrics| metrics.get("millpond_output_events_total") == Some(3.0);
    world.metrics_when(address, "all delivered", all_delivered).await;
    world.stop().await;
}

/// Half-open connections and a client that does not read cost other clients nothing, and forwarding even less.
#[tokio::test(flavor = "multi_thread")]
async fn slow_and_hostile_clients_disturb_nobody() {
    let mut world = world(QUEUE, ADMIN).await;
    let address = world.start_with_admin().await;
    let mut half_open = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ").await.unwrap();
        }
        half_open.push(stream);
    }
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    for _ in 0..40 {
        assert_eq!(get(address, "/healthz").await.status, 200);
    }
    // The oldest have made room, and only they: nobody has waited until their time was over.
    let mut end = [0; 1];
    assert!(matches!(half_open[0].read(&mut end).await, Ok(0) | Err(_)));
    let still_open = half_open[90].try_read(&mut end).unwrap_err();
    assert_eq!(still_open.kind(), std::io::ErrorKind::WouldBlock);
    world.live(Duration::from_secs(1), 4_000).await;
    let proof = world.arrived().await;
    assert_eq!((proof.missing, proof.repeated), (0, 0), "{proof:#?}");
    // The slow one had its request in before the others wanted its place, so it gets its answer.
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('\n'), "{answer}");
    for (what, request) in [
        ("a large head", format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(64 << 10))),
        ("no HTTP", "\u{16}\u{3}\u{1} hello\r\n\r\n".to_owned()),
        (
            "a large body",
            format!(
                "POST /api/v1/outputs/main/test HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{}",
                "x".repeat(8 << 10)
            ),
        ),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may be refused before all of it is written.
        stream.write_all(request.as_bytes()).await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
    }
    drop(half_open);
    world.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let world = world(QUEUE, &format!("admin: {{ listen: \"{address}\" }}")).await;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(["run", "--config"])
        .arg(world.config())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("admin: cannot listen on {address}")), "{said}");
}
