//! Events over HTTP in bad times: outages, crashes, clients that are slow, mad or gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::web::{Answer, SOON, TEXT, Web, gzip, lines, post, request};

/// What was answered with 200 is on disk: nothing that happens to the process takes it away.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_with_200_survives_kill_9() {
    let mut web = Web::start("", &format!("{SOON}\nbackpressure: queue\nqueue: {{ mode: always }}")).await;
    let down = web.world.fault("down");
    for _ in 0..4 {
        for _ in 0..5 {
            let body = lines(web.world.written, 50);
            web.post(TEXT, body.as_bytes()).await.is_accepted(50);
            web.world.written += 50;
        }
        web.world.kill_9().await;
        web.restart().await;
    }
    web.world.clear(down);
    web.world.finish(0).await;
}

/// While the output blocks, everybody gets an answer, and memory does not grow with what is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_output_is_503_and_memory_is_bounded() {
    const CLIENTS: u64 = 40;
    let input = "busy_timeout: 200ms, ack_timeout: 2s, max_body: \"4 MiB\", max_buffered: \"8 MiB\"";
    let mut web = Web::start(input, &format!("{SOON}\nbackpressure: block")).await;
    web.post(TEXT, lines(0, 1).as_bytes()).await.is_accepted(1);
    let down = web.world.fault("down");
    // Numbered as the first, so that what does arrive is a repetition.
    let plain = Arc::new(lines(0, 1).repeat(290_000));
    let packed = Arc::new(gzip(plain.as_bytes()));
    let (address, refused) = (web.address, Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (plain, packed, refused) = (Arc::clone(&plain), Arc::clone(&packed), Arc::clone(&refused));
        clients.spawn(async move {
            for _ in 0..4 {
                let answer = match client % 2 {
                    0 => post(address, TEXT, plain.as_bytes()).await,
                    _ => post(address, "Content-Encoding: gzip\r\n", &packed).await,
                };
                answer.unwrap().is_refused(503, "again");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while clients.join_next().await.map(Result::unwrap).is_some() {}
    assert_eq!(refused.load(Ordering::Relaxed), CLIENTS * 4);
    web.post("Content-Type: text/html\r\n", b"x").await.is_refused(415, "not known");
    web.world.clear(down);
    web.world.hear("recovery", |said| said.state.as_deref() == Some("healthy")).await;
    web.world.written = 2;
    assert!(retry(address, TEXT, lines(1, 1).as_bytes()).await > 0);
    web.world.stop().await;
    let proof = millpond::drill::Proof::take(2, &web.world.server.records());
    assert!(proof.holds(), "{proof:#?}");
    assert!(web.world.peak_memory < 64 << 20, "{} bytes resident", web.world.peak_memory);
}

/// Sends a body until it is accepted; how often that was.
async fn retry(address: SocketAddr, headers: &str, body: &[u8]) -> u64 {
    let mut sent = 0;
    loop {
        sent += 1;
        if post(address, headers, body).await.is_ok_and(|answer| answer.status == 200) {
            return sent;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Clients that send again what was not accepted lose nothing through an outage; in = delivered + repeated.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_retry_lose_nothing() {
    const CLIENTS: u64 = 4;
    const BODIES: u64 = 30;
    for output in ["backpressure: block", "backpressure: queue\nqueue: { mode: error }"] {
        let mut web =
            Web::start("busy_timeout: 50ms, ack_timeout: 500ms", &format!("{SOON}\n{output}")).await;
        let address = web.address;
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(async move {
                let mut sent = 0;
                for body in 0..BODIES {
                    let body = lines((client * BODIES + body) * 100, 100);
                    sent += retry(address, TEXT, body.as_bytes()).await * 100;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                sent
            });
        }
        let down = web.world.fault("down");
        web.world.live(Duration::from_secs(3), 0).await;
        web.world.clear(down);
        let mut sent = 0;
        while let Some(one) = clients.join_next().await {
            sent += one.unwrap();
        }
        web.world.written = CLIENTS * BODIES * 100;
        let proof = web.world.finish(sent - CLIENTS * BODIES * 100).await;
        assert!(proof.arrived <= sent, "{proof:#?}");
    }
}

/// Slow, idle, mad: whoever holds memory or places gives way to those who send.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_disturb_nobody() {
    let input = "max_connections: 4, max_body: \"1 MiB\", max_buffered: \"1 MiB\", busy_timeout: 20s";
    let mut web = Web::start(input, &format!("{SOON}\nbackpressure: queue")).await;
    let mut hostile = Vec::new();
    for beginning in [
        &b""[..],
        b"POST / HTTP/1.1\r\nHost: ed",
        b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 1000000\r\n\r\nslow",
        b"POST / HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\nslow",
        b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    ] {
        let mut stream = web.connect().await;
        stream.write_all(beginning).await.unwrap();
        hostile.push(stream);
    }
    // One that holds all of the memory.
    let mut greedy = web.connect().await;
    let body = vec![b'\n'; (1 << 20) - 1];
    let head = format!("POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: {}\r\n\r\n", body.len() + 1);
    greedy.write_all(head.as_bytes()).await.unwrap();
    greedy.write_all(&body).await.unwrap();
    for _ in 0..10 {
        let body = lines(web.world.written, 10);
        web.post(TEXT, body.as_bytes()).await.is_accepted(10);
        web.world.written += 10;
    }
    Answer::read(&mut greedy).await.unwrap().is_refused(408, "too slowly");
    // Old, and one after the other without waiting.
    let mut old = web.connect().await;
    let body = lines(web.world.written, 1);
    let request_of_old = format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    old.write_all(request_of_old.as_bytes()).await.unwrap();
    Answer::read(&mut old).await.unwrap().is_accepted(1);
    web.world.written += 1;
    let mut pipelined = web.connect().await;
    let requests: Vec<_> =
        (0..5).map(|n| request(TEXT, lines(web.world.written + n, 1).as_bytes())).collect();
    pipelined.write_all(&requests.concat()).await.unwrap();
    for _ in 0..5 {
        Answer::read(&mut pipelined).await.unwrap().is_accepted(1);
    }
    web.world.written += 5;
    let huge = format!("POST / HTTP/1.1\r\nHost: edge\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let mut heads = web.connect().await;
    heads.write_all(huge.as_bytes()).await.ok();
    let mut answer = Vec::new();
    heads.read_to_end(&mut answer).await.ok();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    web.world.finish(0).await;
}

/// A client that goes away before the answer takes nothing with it, and holds nobody up.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_disturbs_nobody() {
    let mut web = Web::start("", &format!("{SOON}\nbackpressure: queue\nqueue: {{ mode: always }}")).await;
    for number in 0..20 {
        let mut stream = web.connect().await;
        stream.write_all(&request(TEXT, lines(number, 1).as_bytes())).await.unwrap();
        drop(stream);
    }
    let body = lines(0, 21);
    web.post(TEXT, body.as_bytes()).await.is_accepted(21);
    web.world.written = 21;
    web.world.finish(20).await;
}

/// A stop answers those whose events were handed on, refuses the others, and gives the port back.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_who_waits() {
    let mut web = Web::start("ack_timeout: 1m", "flush_period: 30s\nbackpressure: block").await;
    let mut waiting = web.connect().await;
    waiting.write_all(&request(TEXT, lines(0, 10).as_bytes())).await.unwrap();
    let mut slow = web.connect().await;
    slow.write_all(b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 10\r\n\r\n#0 ").await.unwrap();
    let _idle = web.connect().await;
    // Nothing tells that the events were handed on.
    web.world.live(Duration::from_secs(1), 0).await;
    web.world.stop().await;
    Answer::read(&mut waiting).await.unwrap().is_accepted(10);
    Answer::read(&mut slow).await.unwrap().is_refused(503, "stopping");
    std::net::TcpListener::bind(web.address).unwrap();
    web.world.written = 10;
    web.world.finish(0).await;
}

/// An input whose settings change takes its own port again, and answers those who wait for the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_the_same_port_again() {
    let mut web = Web::start("path: /old", "flush_period: 2s\nbackpressure: queue").await;
    // From now on the port is a fixed one.
    let listen = format!("listen: \"{}\"", web.address);
    web.world.edit("listen: \"127.0.0.1:0\"", &listen);
    web.world.hear("the same port", |said| said.message == "listening").await;
    let ask = |path: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: edge\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let mut waiting = web.connect().await;
    waiting.write_all(ask("/old", &lines(0, 10)).as_bytes()).await.unwrap();
    web.world.live(Duration::from_millis(500), 0).await;
    web.world.edit("path: /old", "path: /new");
    web.world.hear("the same port again", |said| said.message == "listening").await;
    Answer::read(&mut waiting).await.unwrap().is_accepted(10);
    let mut old = web.connect().await;
    old.write_all(ask("/old", &lines(10, 10)).as_bytes()).await.unwrap();
    Answer::read(&mut old).await.unwrap().is_refused(404, "path");
    let mut new = web.connect().await;
    new.write_all(ask("/new", &lines(10, 10)).as_bytes()).await.unwrap();
    Answer::read(&mut new).await.unwrap().is_accepted(10);
    web.world.written = 20;
    web.world.finish(0).await;
}
