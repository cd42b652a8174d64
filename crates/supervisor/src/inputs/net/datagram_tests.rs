//! Datagrams and Unix sockets, from their peers to the chunks.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{UdpSocket, UnixDatagram, UnixStream};

use super::opened::NetInput;
use super::rig::{Rig, anywhere};
use crate::config::checked::{
    DatagramFraming, StreamFraming, StreamSettings, SyslogInput, SyslogTransport, UdpInput, UnixInput,
    UnixSocket, Zone,
};
use crate::inputs::{InputError, syslog, udp, unix};

async fn udp(
    room: usize,
    max_line: usize,
    framing: DatagramFraming,
    receive_buffer: usize,
) -> (Rig, UdpSocket) {
    let config = UdpInput { listen: anywhere(), framing, receive_buffer };
    let opened = udp::open(&"in".into(), &config).unwrap();
    let peer = peer_of(opened.address()).await;
    (Rig::start(room, max_line, opened), peer)
}

async fn peer_of(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
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
    let config = SyslogInput {
        listen: anywhere(),
        transport: SyslogTransport::Udp { receive_buffer: 0 },
        timezone: Zone::Fixed { minutes_east: 0 },
    };
    let opened = syslog::open(&"in".into(), config).unwrap();
    let (one, other) = (peer_of(opened.address()).await, peer_of(opened.address()).await);
    let mut rig = Rig::start(8, 1000, opened);
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

fn open_unix(path: &Path, mode: u32, socket: UnixSocket) -> Result<NetInput, InputError> {
    unix::open(&"in".into(), UnixInput { path: path.to_owned(), mode, socket })
}

fn unix(path: &Path, mode: u32, socket: UnixSocket) -> Rig {
    Rig::start(8, 100, open_unix(path, mode, socket).unwrap())
}

fn connections() -> UnixSocket {
    UnixSocket::Stream(StreamSettings {
        framing: StreamFraming::Lines,
        connections_max: 8,
        idle_timeout: None,
    })
}

fn path() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.sock");
    (directory, path)
}

async fn connect(path: &Path) -> UnixStream {
    UnixStream::connect(path).await.unwrap()
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
                peer.send_to(b"one\n", &path).await.unwrap();
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
    let refused = |path: &Path, expected: &str, socket| {
        let error = open_unix(path, 0o600, socket).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("input in: cannot listen on {}: ", path.display())), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    refused(&path, "another process listens there; stop it", connections());
    refused(&path, "another process listens there; stop it", UnixSocket::Datagram);
    connect(&path).await.write_all(b"two\n").await.unwrap();
    assert_eq!(rig.messages(1).await, ["two"], "it was not disturbed");
    // Somebody else has put something there: it is not ours to remove.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    rig.finish().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    refused(&path, "something else than a socket is there; move it away", connections());
    std::fs::remove_file(&path).unwrap();
    refused(&path.with_file_name("x".repeat(120)), "at most 107 bytes", connections());
    refused(&path.join("in.sock"), "create its directory", connections());
}
