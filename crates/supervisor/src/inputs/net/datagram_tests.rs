//! Datagrams and Unix sockets, from their peers to the chunks.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{UdpSocket, UnixDatagram, UnixStream};
use tokio::time::timeout;

use super::rig::{Rig, SOON, free_port};
use crate::config::checked::{
    DatagramFraming, StreamFraming, StreamSettings, SyslogInput, SyslogTransport, UdpInput, UnixInput,
    UnixSocket, Zone,
};
use crate::inputs::{run_syslog, run_udp, run_unix};

async fn udp(room: usize, max_line: usize, framing: DatagramFraming, receive_buffer: usize) -> (Rig, UdpSocket) {
    let listen = free_port().await;
    let config = UdpInput { listen, framing, receive_buffer };
    let rig = Rig::start(room, max_line, |ctx| run_udp(config, ctx));
    (rig, peer_of(listen).await)
}

/// Somebody whose datagrams arrive: nobody tells when a socket is there.
async fn peer_of(listen: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(listen).await.unwrap();
    let bound = async {
        // Refused until somebody listens. An empty datagram holds no event.
        while socket.send(b"").await.is_err() || socket.send(b"").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, bound).await.unwrap();
    socket
}

#[tokio::test]
async fn a_datagram_is_a_message_and_is_cut_if_too_long() {
    let (mut rig, peer) = udp(8, 8, DatagramFraming::Message, 0).await;
    for datagram in ["one\r\n", "two\nof it\n", "12345678\n", "123456789", "\n"] {
        peer.send(datagram.as_bytes()).await.unwrap();
    }
    assert_eq!(rig.messages(4).await, ["one", "two\nof i", "12345678", "12345678"]);
    assert_eq!(rig.counters.lines_cut.get(), 2);
    rig.finish().await;
}

#[tokio::test]
async fn each_line_of_a_datagram_is_a_message_if_asked_for() {
    let (mut rig, peer) = udp(8, 8, DatagramFraming::Lines, 0).await;
    peer.send(b"one\ntwo\r\nmuch too long\nend").await.unwrap();
    assert_eq!(rig.messages(4).await, ["one", "two", "much too", "end"]);
    rig.finish().await;
}

#[tokio::test]
async fn what_has_arrived_before_the_stop_is_taken() {
    let (mut rig, peer) = udp(1024, 100, DatagramFraming::Message, 0).await;
    for n in 0..100 {
        peer.send(n.to_string().as_bytes()).await.unwrap();
    }
    rig.stop();
    let mut messages = Vec::new();
    while let Some((host, more)) = rig.next().await {
        assert_eq!(host.as_deref(), Some("127.0.0.1"));
        messages.extend(more);
    }
    assert_eq!(messages, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    rig.ended().await.unwrap();
}

#[tokio::test]
async fn what_the_kernel_drops_while_outputs_wait_is_counted() {
    const SENT: u64 = 2_000;
    let (mut rig, peer) = udp(1, 8192, DatagramFraming::Message, 8192).await;
    let datagram = vec![b'x'; 4096];
    for _ in 0..SENT {
        peer.send(&datagram).await.unwrap();
        tokio::task::yield_now().await;
    }
    rig.stop();
    let mut taken = 0;
    while let Some((_, messages)) = rig.next().await {
        taken += messages.len() as u64;
    }
    rig.ended().await.unwrap();
    let dropped = rig.counters.datagrams_dropped.get();
    assert!(dropped > 0, "{taken} were taken");
    assert_eq!(taken + dropped, SENT, "each was taken, or counted as dropped");
}

#[tokio::test]
async fn syslog_of_many_peers_is_one_chunk_of_objects() {
    let listen = free_port().await;
    let config = SyslogInput {
        listen,
        transport: SyslogTransport::Udp { receive_buffer: 0 },
        timezone: Zone::Fixed { minutes_east: 0 },
    };
    let mut rig = Rig::start(8, 1000, |ctx| run_syslog(config, ctx));
    let (one, other) = (peer_of(listen).await, peer_of(listen).await);
    one.send(b"<13>1 2026-11-24T12:00:00Z h a - - - m").await.unwrap();
    other.send(b"no syslog \xff").await.unwrap();
    let messages = rig.messages(2).await;
    let events: Vec<serde_json::Value> =
        messages.iter().map(|message| serde_json::from_str(message).unwrap()).collect();
    assert_eq!((&events[0]["host"], &events[0]["message"]), (&"h".into(), &"m".into()));
    assert_eq!((&events[1]["host"], &events[1]["_raw"]), (&"127.0.0.1".into(), &"no syslog \u{fffd}".into()));
    assert_eq!((rig.counters.unparsed.get(), rig.counters.not_utf8.get()), (1, 1));
    rig.finish().await;
}

fn unix(path: &Path, mode: u32, socket: UnixSocket) -> Rig {
    let config = UnixInput { path: path.to_owned(), mode, socket };
    Rig::start(8, 100, |ctx| run_unix(config, ctx))
}

fn connections() -> UnixSocket {
    UnixSocket::Stream(StreamSettings { framing: StreamFraming::Lines, connections_max: 8, idle_timeout: None })
}

fn path() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.sock");
    (directory, path)
}

async fn connect(path: &Path) -> UnixStream {
    let connected = async {
        loop {
            match UnixStream::connect(path).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(SOON, connected).await.unwrap()
}

#[tokio::test]
async fn a_unix_socket_has_its_permissions_and_is_gone_after_the_stop() {
    for socket in [connections(), UnixSocket::Datagram] {
        let (_directory, path) = path();
        // More than a usual umask leaves.
        let mut rig = unix(&path, 0o666, socket.clone());
        match socket {
            UnixSocket::Stream(_) => connect(&path).await.write_all(b"one\ntwo").await.unwrap(),
            UnixSocket::Datagram => {
                let peer = UnixDatagram::unbound().unwrap();
                let sent = async { while peer.send_to(b"one\n", &path).await.is_err() { tokio::time::sleep(Duration::from_millis(5)).await } };
                timeout(SOON, sent).await.unwrap();
                peer.send_to(b"two", &path).await.unwrap();
            }
        }
        assert_eq!(rig.messages(2).await, ["one", "two"]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o666);
        rig.finish().await;
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn only_the_socket_of_a_process_that_is_gone_is_replaced() {
    let (_directory, path) = path();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut rig = unix(&path, 0o600, connections());
    connect(&path).await.write_all(b"one\n").await.unwrap();
    assert_eq!(rig.messages(1).await, ["one"]);
    let refused = |expected: &'static str, socket| {
        let mut second = unix(&path, 0o600, socket);
        async move {
            let error = second.ended().await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    };
    refused("another process listens there; stop it", connections()).await;
    refused("another process listens there; stop it", UnixSocket::Datagram).await;
    connect(&path).await.write_all(b"two\n").await.unwrap();
    assert_eq!(rig.messages(1).await, ["two"], "it was not disturbed");
    // Somebody else has put something there: it is not ours to remove.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    rig.finish().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    refused("something else than a socket is there; move it away", connections()).await;
    std::fs::remove_file(&path).unwrap();
    let long = path.with_file_name("x".repeat(120));
    let error = unix(&long, 0o600, connections()).ended().await.unwrap_err().to_string();
    assert!(error.contains("at most 107 bytes"), "{error}");
    let nowhere = path.join("in.sock");
    let error = unix(&nowhere, 0o600, connections()).ended().await.unwrap_err().to_string();
    assert!(error.contains("create its directory"), "{error}");
}
