//! Connections, from their peers to the chunks.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rig::{Rig, SOON, anywhere};
use crate::config::checked::{StreamFraming, StreamSettings, TcpInput};
use crate::inputs::InputError;
use crate::inputs::tcp::open;

fn tcp(room: usize, max_line: usize, change: impl FnOnce(&mut StreamSettings)) -> (Rig, SocketAddr) {
    let mut stream = StreamSettings { framing: StreamFraming::Lines, connections_max: 8, idle_timeout: None };
    change(&mut stream);
    let opened = open(&"in".into(), TcpInput { listen: anywhere(), tls: None, stream }).unwrap();
    let address = opened.address();
    (Rig::start(room, max_line, opened), address)
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Whether the other side has closed the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    match timeout(SOON, stream.read(&mut [0])).await.expect("it is closed") {
        Ok(read) => read == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

#[tokio::test]
async fn messages_come_with_their_peer_and_a_last_one_without_line_end() {
    let (mut rig, address) = tcp(8, 100, |_| ());
    let mut peer = connect(address).await;
    peer.write_all(b"one\r\ntwo\nthr").await.unwrap();
    let (host, messages) = rig.next().await.unwrap();
    assert_eq!((host.as_deref(), messages), (Some("127.0.0.1"), vec!["one".to_owned(), "two".to_owned()]));
    peer.write_all(b"ee").await.unwrap();
    drop(peer);
    assert_eq!(rig.messages(1).await, ["three"]);
    rig.counted(|counters| &counters.connections, 0).await;
    assert_eq!(rig.counters.connections_total.get(), 1);
    assert_eq!(rig.finish().await, [""; 0]);
}

#[tokio::test]
async fn a_stop_hands_on_what_was_read_frees_the_port_and_waits_for_receipts() {
    let (mut rig, address) = tcp(8, 100, |_| ());
    let mut peer = connect(address).await;
    peer.write_all(b"one\nhalf").await.unwrap();
    let chunk = timeout(SOON, rig.chunks.recv()).await.unwrap().unwrap();
    rig.stop();
    assert_eq!(rig.messages(1).await, ["half"]);
    assert!(is_closed(&mut peer).await);
    // As an input that replaces it at run time would.
    drop(tokio::net::TcpListener::bind(address).await.unwrap());
    assert_eq!(rig.counters.chunks_in_flight.get(), 1);
    drop(chunk);
    rig.ended().await.unwrap();
    assert_eq!(rig.counters.events_lost.get(), 1, "what was not settled is lost, and counted");
}

#[tokio::test]
async fn one_more_connection_than_allowed_is_refused() {
    const MORE: u64 = 1_000;
    let (mut rig, address) = tcp(8, 100, |stream| stream.connections_max = 2);
    let (mut first, second) = (connect(address).await, connect(address).await);
    rig.counted(|counters| &counters.connections, 2).await;
    for _ in 0..MORE {
        assert!(is_closed(&mut connect(address).await).await);
    }
    assert_eq!(rig.counters.connections_refused.get(), MORE);
    first.write_all(b"still here\n").await.unwrap();
    assert_eq!(rig.messages(1).await, ["still here"]);
    drop(second);
    rig.counted(|counters| &counters.connections, 1).await;
    connect(address).await.write_all(b"next\n").await.unwrap();
    assert_eq!(rig.messages(1).await, ["next"]);
    rig.finish().await;
}

#[tokio::test]
async fn outputs_that_are_slow_hold_up_the_sender_and_nothing_is_lost() {
    let (mut rig, address) = tcp(1, 100, |_| ());
    let mut peer = connect(address).await;
    let line = "x".repeat(99) + "\n";
    let sender = tokio::spawn(async move {
        for _ in 0..400_000 {
            peer.write_all(line.as_bytes()).await.unwrap();
        }
    });
    // Nobody takes anything: the windows of both kernels fill, and then nothing moves any more.
    let mut before = u64::MAX;
    while rig.counters.bytes.get() != before || before == 0 {
        before = rig.counters.bytes.get();
        tokio::time::sleep(super::FLUSH_PERIOD * 3).await;
    }
    assert!(before < 2 << 20, "{before} bytes were read although nobody takes them");
    assert!(!sender.is_finished());
    let mut count = 0;
    while count < 400_000 {
        count += rig.next().await.unwrap().1.len();
    }
    sender.await.unwrap();
    assert_eq!(count, 400_000);
    rig.finish().await;
}

#[tokio::test]
async fn connections_take_turns() {
    let (mut rig, address) = tcp(1, 100, |_| ());
    let loud = connect(address).await;
    let flood = tokio::spawn(async move {
        let mut loud = loud;
        let block = "loud\n".repeat(10_000);
        while loud.write_all(block.as_bytes()).await.is_ok() {}
    });
    rig.next().await.unwrap();
    let mut quiet = connect(address).await;
    quiet.write_all(b"quiet\n").await.unwrap();
    let mut chunks = 0;
    while !rig.next().await.unwrap().1.contains(&"quiet".to_owned()) {
        chunks += 1;
        assert!(chunks < 1_000, "a quiet connection has its turn");
    }
    rig.finish().await;
    flood.await.unwrap();
}

#[tokio::test]
async fn an_endless_line_takes_no_memory_and_is_cut() {
    let (mut rig, address) = tcp(8, 64, |_| ());
    let mut peer = connect(address).await;
    let endless = vec![b'x'; 1 << 20];
    for _ in 0..16 {
        peer.write_all(&endless).await.unwrap();
    }
    peer.write_all(b"\nnext\0\xff\n").await.unwrap();
    assert_eq!(rig.messages(2).await, ["x".repeat(64), "next\0\u{fffd}".to_owned()]);
    let counters = &rig.counters;
    assert_eq!((counters.lines_cut.get(), counters.bytes_cut.get()), (1, (16 << 20) - 64));
    rig.finish().await;
}

#[tokio::test]
async fn a_length_that_is_none_ends_the_connection() {
    let (mut rig, address) = tcp(8, 100, |stream| stream.framing = StreamFraming::OctetCounted);
    let mut peer = connect(address).await;
    peer.write_all(b"7 t\nwo li3 one99999999999 x").await.unwrap();
    assert_eq!(rig.messages(2).await, ["t\nwo li", "one"]);
    assert!(is_closed(&mut peer).await);
    rig.counted(|counters| &counters.framing_errors, 1).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_connection_that_is_idle_is_closed_if_asked_for() {
    let (rig, address) = tcp(8, 100, |stream| stream.idle_timeout = Some(Duration::from_millis(50)));
    let mut peer = connect(address).await;
    assert!(is_closed(&mut peer).await);
    rig.finish().await;
}

#[tokio::test]
async fn outputs_that_have_ended_are_an_error_for_connections_that_are_idle_too() {
    let (mut rig, address) = tcp(8, 100, |_| ());
    let (mut peer, _idle) = (connect(address).await, connect(address).await);
    rig.counted(|counters| &counters.connections, 2).await;
    rig.chunks.close();
    peer.write_all(b"one\n").await.unwrap();
    assert!(matches!(rig.ended().await, Err(InputError::OutputsClosed { .. })));
}
