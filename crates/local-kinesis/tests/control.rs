//! Looking at the endpoint and switching it, over HTTP and in process; the file of events; stopping.

#![expect(clippy::unwrap_used, reason = "a test may panic, and helpers of tests too")]

mod common;

use std::io::Write;
use std::time::Duration;

use common::*;
use millpond_local_kinesis::{DecodeError, Operation, Options, StreamSpec, start, verify};
use serde_json::{Value, json};

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A batch of the events `{"n":from}` up to, and without, `{"n":to}`.
fn batch(from: usize, to: usize) -> Vec<u8> {
    let body: String = (from..to).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let header = format!("{{\"format\":\"ndjson\",\"count\":{},\"size\":{}}}\n", to - from, body.len());
    (header + &body).into_bytes()
}

#[tokio::test]
async fn streams_are_operated_in_process_whatever_the_faults() {
    let server = with_logs(1).await;
    server.faults().set("down".parse().unwrap());
    server.faults().set("denied".parse().unwrap());
    let split = json!({"StreamName": "logs", "ShardToSplit": "shardId-0", "NewStartingHashKey": "1000"});
    assert_eq!(server.call(Operation::SplitShard, &split), Ok(Vec::new()));
    let listed = server.call(Operation::ListShards, &json!({"StreamName": "logs"})).unwrap();
    let listed: Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(listed["Shards"].as_array().map(Vec::len), Some(3));
    assert_eq!(server.call(Operation::SplitShard, &split).unwrap_err().code, "InvalidArgumentException");
    assert!(server.counts().requests.is_empty(), "{:?}", server.counts());
}

#[tokio::test]
async fn faults_are_switched_over_http() {
    let server = with_logs(1).await;
    let addr = server.addr();
    assert_eq!(control(addr, "GET", "/_local/health", "").await.json(), json!({ "status": "ok" }));
    assert_eq!(control(addr, "GET", "/_local/faults", "").await.json(), json!([]));

    let set = control(addr, "POST", "/_local/faults", "throttle:1,for=60s\nlist-denied\n\n").await.json();
    assert_eq!((&set[0]["fault"], &set[1]["fault"]), (&json!("throttle:1,for=1m"), &json!("list-denied")));
    assert!(set[0]["remaining_ms"].as_u64().unwrap() > 50_000);
    assert_eq!(set[1]["remaining_ms"], Value::Null);
    assert_eq!(
        fail(&server, "PutRecord", record("a", b"{}")).await.0,
        "ProvisionedThroughputExceededException"
    );
    let listed = control(addr, "GET", "/_local/faults", "").await.json();
    assert_eq!((&listed[0]["hits"], &listed[1]["hits"]), (&json!(1), &json!(0)));

    let path = format!("/_local/faults/{}", set[0]["id"]);
    assert_eq!(control(addr, "DELETE", &path, "").await.json().as_array().unwrap().len(), 1);
    assert_eq!(control(addr, "DELETE", &path, "").await.status, 404);
    call(&server, "PutRecord", record("a", b"{}")).await;
    assert_eq!(control(addr, "DELETE", "/_local/faults", "").await.json(), json!([]));
    assert!(server.faults().active().is_empty());
}

#[tokio::test]
async fn wrong_requests_say_what_would_be_right() {
    let server = with_logs(1).await;
    for (method, path, body, status, part) in [
        ("POST", "/_local/faults", "list-denied\nexplode", 400, "no fault `explode`; there are: down, reset"),
        ("POST", "/_local/faults", "", 400, "write one per line"),
        ("POST", "/_local/faults", "down", 409, "down,for=DURATION"),
        ("POST", "/_local/flush", "", 409, "writes no events"),
        ("GET", "/_local/nothing", "", 404, "there are: GET health"),
        ("DELETE", "/_local/faults/x", "", 404, "no such fault"),
    ] {
        let answer = control(server.addr(), method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}");
        assert!(answer.text().contains(part), "{}", answer.text());
    }
    assert!(server.faults().active().is_empty(), "half of a wrong request was set");
}

#[tokio::test]
async fn the_control_address_stays_while_the_endpoint_is_down() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let options = Options {
        streams: vec![StreamSpec::new("logs", 1)],
        control_listen: Some(listen),
        faults: vec!["down".parse().unwrap()],
        ..Options::default()
    };
    let server = server(options).await;
    let control_addr = server.control_addr().unwrap();
    let list = kinesis_request("ListShards", b"{\"StreamName\":\"logs\"}", "");
    let send = async || exchange(server.addr(), &list, Duration::from_secs(5)).await;
    while send().await != Outcome::Refused {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(control(control_addr, "GET", "/_local/faults", "").await.json()[0]["fault"], "down");
    control(control_addr, "DELETE", "/_local/faults", "").await;
    while send().await == Outcome::Refused {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(control(control_addr, "POST", "/_local/faults", "down").await.status, 200);
    assert_eq!(control(control_addr, "GET", "/", "").await.status, 404);
}

#[tokio::test]
async fn faults_do_not_touch_control() {
    let server = with_logs(1).await;
    for fault in ["hang", "portal", "reset", "truncated", "denied", "slow:1h"] {
        set(&server, fault);
    }
    assert_eq!(control(server.addr(), "GET", "/_local/health", "").await.status, 200);
}

#[tokio::test]
async fn counts_and_events_are_told() {
    let server = with_logs(1).await;
    call(&server, "PutRecord", record("a", &gzip(&batch(0, 3)))).await;
    call(&server, "PutRecord", record("b", &batch(3, 5))).await;
    call(&server, "PutRecord", record("c", b"{\"n\":5}")).await;
    call(&server, "PutRecord", record("d", b"not json")).await;
    let counts = control(server.addr(), "GET", "/_local/counts", "").await.json();
    assert_eq!((&counts["records"], &counts["events"]), (&json!(4), &json!(7)));
    assert_eq!(counts["requests"]["PutRecord"]["ok"], 4);
    assert_eq!(counts["shards"][0]["records"], 4);

    let events = control(server.addr(), "GET", "/_local/events", "").await;
    assert_eq!(events.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<&str> = events.text().lines().collect();
    let expected: Vec<String> = (0..6).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(lines[..6], expected);
    assert!(lines[6].starts_with("{\"_malformed\":"), "{lines:?}");
}

#[tokio::test]
async fn kept_records_are_verified() {
    let server = with_logs(2).await;
    for n in 0..20 {
        let data = gzip(&batch(n * 10, n * 10 + 10));
        call(&server, "PutRecord", record(&format!("k{n}"), &data)).await;
    }
    let mut seen = Vec::new();
    let verified = verify(&server.records(), |_, event| {
        seen.push(serde_json::from_slice::<Value>(event).unwrap()["n"].as_u64().unwrap());
    });
    seen.sort_unstable();
    assert_eq!((verified.records, verified.events, verified.malformed.len()), (20, 200, 0));
    assert_eq!(seen, (0..200).collect::<Vec<_>>());

    let damaged = batch(0, 2).strip_suffix(b"\n").unwrap().to_vec();
    call(&server, "PutRecord", record("k", &damaged)).await;
    let verified = verify(&server.records(), |_, _| {});
    assert_eq!(verified.malformed.len(), 1);
    assert_eq!(verified.malformed[0].error, DecodeError::Unfinished);
    assert!(verified.malformed[0].to_string().contains("of shardId-"), "{}", verified.malformed[0]);
}

#[tokio::test]
async fn events_are_written_to_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.ndjson");
    let options = Options {
        streams: vec![StreamSpec::new("logs", 1)],
        write_events: Some(path.clone()),
        seed: Some(2),
        ..Options::default()
    };
    let server = server(options).await;
    for n in 0..10 {
        call(&server, "PutRecord", record("a", &gzip(&batch(n * 10, n * 10 + 10)))).await;
    }
    assert_eq!(control(server.addr(), "POST", "/_local/flush", "").await.status, 200);
    let read = || std::fs::read_to_string(&path).unwrap();
    let expected: String = (0..100).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(read(), expected, "one shard's events are in order");

    set(&server, "partial:0.5");
    let answer = call(&server, "PutRecords", events(200)).await;
    let written = 200 - answer["FailedRecordCount"].as_u64().unwrap() as usize;
    set(&server, "refuse:\"n\"");
    assert_eq!(fail(&server, "PutRecord", record("a", b"{\"n\":1}")).await.0, "ValidationException");
    server.faults().clear_all();
    call(&server, "PutRecord", record("a", b"nonsense")).await;
    let counts = server.shutdown().await.unwrap();
    assert_eq!(read().lines().count(), 100 + written + 1, "what was refused is not written");
    assert_eq!((counts.malformed_records, counts.records), (1, 11 + written as u64));
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let error = async |options: Options| start(options).await.unwrap_err().to_string();
    let streams =
        |specs: &[(&str, u32)]| specs.iter().map(|(name, shards)| StreamSpec::new(*name, *shards)).collect();
    let twice = Options { streams: streams(&[("a", 1), ("a", 2)]), ..Options::default() };
    assert_eq!(error(twice).await, "stream `a` is given twice; leave one out");
    let name = Options { streams: streams(&[("a b", 1)]), ..Options::default() };
    assert!(error(name).await.contains("stream name `a b`"));
    let none = Options { streams: streams(&[("a", 0)]), ..Options::default() };
    assert!(error(none).await.contains("from 1 to 10000"));
    let file = Options { write_events: Some("/nonexistent/events".into()), ..Options::default() };
    assert!(error(file).await.contains("cannot open /nonexistent/events"));
}

#[tokio::test]
async fn a_stop_lets_requests_finish() {
    let server = with_logs(1).await;
    set(&server, "rate:40000");
    let addr = server.addr();
    let request = kinesis_request("PutRecord", record("a", &[b'x'; 9000]).to_string().as_bytes(), "");
    let sending = tokio::spawn(async move { exchange(addr, &request, Duration::from_secs(10)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let counts = server.shutdown().await.unwrap();
    assert!(matches!(sending.await.unwrap(), Outcome::Answer(answer) if answer.status == 200));
    assert_eq!(counts.records, 1);
    assert_eq!(exchange(addr, b"", Duration::from_secs(1)).await, Outcome::Refused);
}

#[tokio::test]
async fn dropping_stops_at_once() {
    let server = with_logs(1).await;
    let addr = server.addr();
    drop(server);
    while exchange(addr, b"", Duration::from_millis(100)).await != Outcome::Refused {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
