//! Faults of the connection: how it ends, what was carried out, and that the port comes back.

mod common;

use std::time::{Duration, Instant};

use common::*;
use millpond_local_kinesis::{Operation, Options, StreamSpec, start};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Waits until something is so, for the length of a patient breath.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so().await {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn down_refuses_connections_and_comes_back_on_the_same_port() {
    let server = with_logs(1).await;
    let put = record("a", b"{}");
    call(&server, "PutRecord", put.clone()).await;
    for round in 0..3 {
        let mut idle = TcpStream::connect(server.addr()).await.unwrap();
        idle.write_all(&kinesis_request("PutRecord", put.to_string().as_bytes(), "")).await.unwrap();
        let mut answered = vec![0; 20];
        idle.read_exact(&mut answered).await.unwrap();

        set(&server, "down");
        eventually("refused", async || attempt(&server, "PutRecord", &put).await == Outcome::Refused).await;
        let end = async {
            let mut rest = Vec::new();
            idle.read_to_end(&mut rest).await
        };
        let error = tokio::time::timeout(Duration::from_secs(5), end).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "an open connection is reset");

        server.faults().clear_all();
        eventually("back", async || matches!(attempt(&server, "PutRecord", &put).await, Outcome::Answer(_)))
            .await;
        assert_eq!(server.counts().records, 3 + 2 * round);
    }
}

#[tokio::test]
async fn down_for_a_while_ends_by_itself() {
    let server = with_logs(1).await;
    let start = Instant::now();
    set(&server, "down,for=150ms");
    let list = json!({ "StreamName": "logs" });
    eventually("refused", async || attempt(&server, "ListShards", &list).await == Outcome::Refused).await;
    eventually("back", async || matches!(attempt(&server, "ListShards", &list).await, Outcome::Answer(_)))
        .await;
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn nobody_takes_the_port_while_down() {
    let server = with_logs(1).await;
    let taken = || tokio::net::TcpListener::bind(server.addr());
    assert!(taken().await.is_err());
    let again = start(Options { listen: server.addr(), ..Options::default() }).await.unwrap_err();
    assert!(again.to_string().contains("use port 0 for any free one"), "{again}");
    set(&server, "down");
    let list = json!({ "StreamName": "logs" });
    eventually("refused", async || attempt(&server, "ListShards", &list).await == Outcome::Refused).await;
    assert!(taken().await.is_err());
    assert!(start(Options { listen: server.addr(), ..Options::default() }).await.is_err());
    let addr = server.addr();
    server.shutdown().await.unwrap();
    start(Options { listen: addr, ..Options::default() }).await.unwrap();
}

#[tokio::test]
async fn reset_ends_within_an_answer_and_nothing_is_carried_out() {
    let server = with_logs(1).await;
    set(&server, "reset");
    let Outcome::Reset(received) = attempt(&server, "PutRecord", &record("a", b"{}")).await else {
        panic!("no RST");
    };
    let text = String::from_utf8(received).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("\r\n\r\n{\"SequenceNumber\":\"4"),
        "{text}"
    );
    assert_eq!(server.counts().records, 0);
    assert_eq!(server.counts().requests_of(Operation::PutRecord, "reset"), 1);
    server.faults().clear_all();
    call(&server, "PutRecord", record("a", b"{}")).await;
}

#[tokio::test]
async fn accept_then_reset_carries_out_and_loses_the_answer() {
    let server = with_logs(1).await;
    set(&server, "accept-then-reset");
    assert_eq!(attempt(&server, "PutRecord", &record("a", b"{}")).await, Outcome::Reset(Vec::new()));
    assert_eq!(attempt(&server, "PutRecords", &events(5)).await, Outcome::Reset(Vec::new()));
    assert_eq!(server.counts().records, 6);
    server.faults().clear_all();
    call(&server, "PutRecords", events(5)).await;
    assert_eq!(server.counts().records, 11, "there are no duplicates");
}

#[tokio::test]
async fn truncated_carries_out_and_ends_in_the_middle() {
    let server = with_logs(1).await;
    set(&server, "truncated");
    let Outcome::Cut(received) = attempt(&server, "PutRecords", &events(5)).await else { panic!("not cut") };
    let text = String::from_utf8(received).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length: usize =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    assert_eq!(body.len(), length / 2);
    assert_eq!(server.counts().records, 5);
    // CreateStream answers with an empty body.
    let create = json!({ "StreamName": "new", "ShardCount": 1 });
    let Outcome::Cut(received) = attempt(&server, "CreateStream", &create).await else { panic!("not cut") };
    assert_eq!(received.len(), 20);
    server.faults().clear_all();
    call(&server, "DescribeStream", json!({ "StreamName": "new" })).await;
}

#[tokio::test]
async fn hang_never_answers_and_ends_with_the_fault() {
    let server = with_logs(1).await;
    let request = kinesis_request("PutRecord", record("a", b"{}").to_string().as_bytes(), "");
    set(&server, "hang");
    assert_eq!(exchange(server.addr(), &request, Duration::from_millis(150)).await, Outcome::Silence);
    let waiting = exchange(server.addr(), &request, Duration::from_secs(10));
    let (outcome, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.faults().clear_all();
    });
    assert_eq!(outcome, Outcome::Cut(Vec::new()));
    assert_eq!(server.counts().records, 0);
    call(&server, "PutRecord", record("a", b"{}")).await;
    // A hanging request does not hold up a stop.
    set(&server, "hang");
    let addr = server.addr();
    let hanging = tokio::spawn(async move { exchange(addr, &request, Duration::from_secs(10)).await });
    eventually("hanging", async || server.counts().requests_of(Operation::PutRecord, "hang") == 3).await;
    let start = Instant::now();
    server.shutdown().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(hanging.await.unwrap(), Outcome::Cut(Vec::new()));
}

#[tokio::test]
async fn down_for_an_operation_resets_only_that() {
    let server = with_logs(1).await;
    set(&server, "down,op=PutRecord");
    assert_eq!(attempt(&server, "PutRecord", &record("a", b"{}")).await, Outcome::Reset(Vec::new()));
    call(&server, "PutRecords", events(3)).await;
    assert_eq!(server.counts().records, 3);
}

#[tokio::test]
async fn a_rate_is_shared_and_can_be_lifted() {
    let server = with_logs(1).await;
    set(&server, "rate:200000");
    // 30,000 bytes are 40,000 in base64, twice: 0.4 s at this rate.
    let start = Instant::now();
    let body = record("a", &[b'x'; 30_000]);
    tokio::join!(call(&server, "PutRecord", body.clone()), call(&server, "PutRecord", body.clone()));
    let took = start.elapsed();
    assert!((Duration::from_millis(350)..Duration::from_millis(1500)).contains(&took), "{took:?}");

    server.faults().clear_all();
    set(&server, "rate:100");
    let start = Instant::now();
    tokio::join!(call(&server, "PutRecord", body), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.faults().clear_all();
    });
    assert!(start.elapsed() < Duration::from_secs(3), "the rate outlived its fault");
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = with_logs(1).await;
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    let request = kinesis_request("PutRecord", record("a", b"{}").to_string().as_bytes(), "");
    for _ in 0..20 {
        stream.write_all(&request).await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0);
        }
    }
    let counts = server.counts();
    assert_eq!((counts.records, counts.connections), (20, 1));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let mut options = Options { streams: vec![StreamSpec::new("logs", 1)], ..Options::default() };
    options.limits.connections_max = 2;
    let server = server(options).await;
    let first = TcpStream::connect(server.addr()).await.unwrap();
    let second = TcpStream::connect(server.addr()).await.unwrap();
    let list = kinesis_request("ListShards", b"{\"StreamName\":\"logs\"}", "");
    assert_eq!(exchange(server.addr(), &list, Duration::from_millis(100)).await, Outcome::Silence);
    drop(first);
    assert!(matches!(exchange(server.addr(), &list, Duration::from_secs(5)).await, Outcome::Answer(_)));
    drop(second);
}
