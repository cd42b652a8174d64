//! Messages over TCP, UDP and Unix sockets, plain and as syslog: from the programs that send them to the endpoint.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use millpond_local_kinesis::verify;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::web::replace_input;
use crate::world::{PATIENCE, World};

const SOON: &str = "flush_period: 50ms";

/// A world whose input listens.
struct Streams {
    world: World,
    /// Where it listens once it runs: an address, or the path of a socket as a source.
    address: String,
}

impl Streams {
    /// The forwarder runs when this returns. The settings of the input, then those of the output.
    async fn start(input: &str, output: &str) -> Self {
        let world = World::new(2, output).await;
        replace_input(&world, &format!("{{ {input} }}"));
        let mut streams = Self { world, address: String::new() };
        streams.restart().await;
        streams
    }

    async fn restart(&mut self) {
        self.world.start();
        self.world.hear("the address", |said| said.message == "listening").await;
        let said = self.world.said.last().unwrap();
        said.fields["address"].as_str().unwrap().clone_into(&mut self.address);
    }

    fn socket(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }

    fn port(&self) -> String {
        self.socket().port().to_string()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.socket()).await.unwrap()
    }

    /// The next numbered lines.
    fn lines(&mut self, count: u64) -> String {
        let first = self.world.written;
        self.world.written += count;
        (first..first + count).map(|number| format!("#{number} over a socket\n")).collect()
    }

    /// Waits for so many events in all, and gives them, ordered by their message.
    async fn events(&mut self, count: usize) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        while (self.world.server.counts().events as usize) < count && Instant::now() < until {
            self.world.live(Duration::from_millis(50), 0).await;
        }
        let mut events: Vec<Value> = Vec::new();
        verify(&self.world.server.records(), |_, event| events.push(serde_json::from_slice(event).unwrap()));
        assert_eq!(events.len(), count, "{events:#?}\n{:#?}", self.world.said);
        events.sort_by_key(|event| event["message"].as_str().unwrap_or_default().to_owned());
        events
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.config().with_file_name(name)
    }
}

/// A program that is not part of this project. Where it is not installed, what it would show stays unshown.
async fn run(program: &str, arguments: &[&str], input: &str) -> bool {
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            println!("{program} is not here, and not tried: {error}");
            return false;
        }
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert!(ended.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_go_on_through_an_outage_and_nothing_is_missing() {
    for policy in
        ["backpressure: queue", "backpressure: queue\nqueue: { mode: always }", "backpressure: block"]
    {
        let mut streams =
            Streams::start("type: tcp, listen: \"127.0.0.1:0\"", &format!("{SOON}\n{policy}")).await;
        let mut peers = [streams.connect().await, streams.connect().await];
        for peer in &mut peers {
            peer.write_all(streams.lines(500).as_bytes()).await.unwrap();
        }
        let down = streams.world.fault("down");
        for peer in &mut peers {
            peer.write_all(streams.lines(2_000).as_bytes()).await.unwrap();
        }
        streams.world.hear("the outage", |said| said.state.as_deref() == Some("unhealthy")).await;
        streams.world.clear(down);
        let last = streams.lines(1);
        peers[0].write_all(last.trim_end().as_bytes()).await.unwrap();
        drop(peers);
        streams.world.finish(0).await;
    }
}

/// With `block` the senders wait: what they have sent is in the windows of their connections, and memory stays small.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_waits_while_nothing_can_be_sent() {
    let mut streams =
        Streams::start("type: tcp, listen: \"127.0.0.1:0\"", &format!("{SOON}\nbackpressure: block")).await;
    let down = streams.world.fault("down");
    let mut peer = streams.connect().await;
    let lines = streams.lines(3_000_000);
    let sender = tokio::spawn(async move { peer.write_all(lines.as_bytes()).await.unwrap() });
    streams.world.hear("the outage", |said| said.state.as_deref() == Some("unhealthy")).await;
    assert!(!sender.is_finished());
    streams.world.clear(down);
    sender.await.unwrap();
    streams.world.finish(0).await;
}

/// A stop and a kill: the address is free at once, and the next forwarder takes it.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_free_again_at_once() {
    let mut streams =
        Streams::start("type: tcp, listen: \"127.0.0.1:0\"", &format!("{SOON}\nbackpressure: queue")).await;
    let address = streams.address.clone();
    streams.world.edit("127.0.0.1:0", &address);
    streams.world.hear("the new address", |said| said.message == "listening").await;
    for is_killed in [false, true, false] {
        let mut peer = streams.connect().await;
        let lines = streams.lines(100);
        peer.write_all(lines.as_bytes()).await.unwrap();
        streams.world.arrived().await;
        if is_killed {
            streams.world.kill_9().await;
        } else {
            streams.world.stop().await;
        }
        streams.restart().await;
        assert_eq!(streams.address, address);
    }
    streams.world.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_datagram_arrives_or_is_counted() {
    let input = "type: udp, listen: \"127.0.0.1:0\", receive_buffer: 64 KiB";
    let mut streams = Streams::start(input, &format!("{SOON}\nbackpressure: queue")).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    peer.connect(streams.socket()).await.unwrap();
    const SENT: u64 = 50_000;
    for number in 0..SENT {
        peer.send(format!("#{number} in a datagram\n").as_bytes()).await.unwrap();
    }
    streams.world.stop().await;
    let dropped: u64 =
        streams.world.said.iter().filter_map(|said| said.fields.get("datagrams")?.as_u64()).sum();
    // Some of them may be in the queue now.
    let read = streams.world.number("events");
    println!("{read} of {SENT} were read, {dropped} dropped by the kernel");
    assert_eq!(read + dropped, SENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_of_either_kind() {
    for kind in ["stream", "datagram"] {
        let input = format!("type: unix, path: in.sock, socket: {kind}, mode: \"0600\"");
        let mut streams = Streams::start(&input, &format!("{SOON}\nbackpressure: queue")).await;
        let path = streams.path("in.sock");
        for is_killed in [true, false] {
            let lines = streams.lines(1_000);
            if kind == "stream" {
                UnixStream::connect(&path).await.unwrap().write_all(lines.as_bytes()).await.unwrap();
            } else {
                let peer = UnixDatagram::unbound().unwrap();
                peer.connect(&path).unwrap();
                for line in lines.lines() {
                    peer.send(line.as_bytes()).await.unwrap();
                }
            }
            streams.world.arrived().await;
            if is_killed {
                // It leaves its socket behind.
                streams.world.kill_9().await;
                assert!(path.exists());
                streams.restart().await;
            }
        }
        streams.world.finish(0).await;
        assert!(!path.exists());
    }
}

/// As util-linux and Python send it. That is not our reading of the standards but theirs.
#[tokio::test(flavor = "multi_thread")]
async fn syslog_of_other_programs() {
    const PYTHON: &str = "import logging, logging.handlers, socket, sys
kind = socket.SOCK_STREAM if sys.argv[2] == 'tcp' else socket.SOCK_DGRAM
handler = logging.handlers.SysLogHandler(('127.0.0.1', int(sys.argv[1])), 'local3', kind)
handler.append_nul = kind == socket.SOCK_DGRAM
# It frames nothing by itself.
handler.setFormatter(logging.Formatter('m4 %(message)s' + ('\\n' if kind == socket.SOCK_STREAM else '')))
logging.getLogger().addHandler(handler)
logging.error('of Python')
handler.close()
";
    for transport in ["udp", "tcp"] {
        let input = format!("type: syslog, listen: \"127.0.0.1:0\", transport: {transport}");
        let mut streams = Streams::start(&input, &format!("{SOON}\nbackpressure: queue")).await;
        let (port, over) = (streams.port(), format!("--{transport}"));
        let mut expected = 0;
        let to = ["-n", "127.0.0.1", "-P", &port, &over, "-p", "daemon.warning", "-t", "mill"];
        let structured =
            ["--rfc5424", "--msgid", "ID7", "--sd-id", "wheel@1", "--sd-param", "speed=\"4\"", "m1 new"];
        expected += usize::from(run("logger", &[&to[..], &structured].concat(), "").await);
        expected +=
            usize::from(run("logger", &[&to[..], &["--rfc3164", "--id=77", "m2 old"]].concat(), "").await);
        if transport == "tcp" {
            expected +=
                usize::from(run("logger", &[&to[..], &["--octet-count", "m3 counted"]].concat(), "").await);
        }
        expected += usize::from(run("python3", &["-c", PYTHON, &port, transport], "").await);
        let events = streams.events(expected).await;
        let host = host_name();
        for event in events {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(text("source"), format!("syslog://{}", streams.address));
            assert!(text("_raw").contains(&text("message")), "{event:#}");
            let age =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
                    - event["_time"].as_f64().unwrap();
            assert!((-5.0..600.0).contains(&age), "{event:#}");
            match &text("message")[..] {
                "m1 new" => {
                    assert_eq!(event["structured_data"]["wheel@1"]["speed"], "4", "{event:#}");
                    assert_eq!((text("msgid"), text("host")), ("ID7".to_owned(), host.clone()));
                    assert_eq!(
                        (text("facility"), text("severity"), text("appname")),
                        ("daemon".into(), "warning".into(), "mill".into())
                    );
                }
                "m2 old" => {
                    assert_eq!(
                        (text("appname"), text("procid"), text("host")),
                        ("mill".into(), "77".into(), host.clone())
                    );
                }
                "m3 counted" => assert_eq!(text("appname"), "mill"),
                // Python sends neither time nor host nor tag.
                "m4 of Python" => {
                    assert_eq!(
                        (text("facility"), text("severity"), text("host")),
                        ("local3".into(), "err".into(), "127.0.0.1".into())
                    );
                }
                _ => panic!("{event:#}"),
            }
        }
        streams.world.stop().await;
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// Writes a certificate of `localhost` and its key; gives the certificate.
fn certificate(directory: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_over_tls() {
    let world = World::new(2, &format!("{SOON}\nbackpressure: queue")).await;
    let directory = world.config().parent().unwrap().to_owned();
    let trusted = certificate(&directory);
    let input = "{ type: syslog, listen: \"127.0.0.1:0\", transport: tcp, tls: { cert_file: cert.pem, key_file: key.pem } }";
    replace_input(&world, input);
    let mut streams = Streams { world, address: String::new() };
    streams.restart().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("localhost").unwrap();
    let mut peer = connector.connect(name, streams.connect().await).await.unwrap();
    // RFC 5425 counts octets.
    let counted = "<13>1 - h a - - - m1\nof 2 lines";
    peer.write_all(format!("{} {counted}<13>1 - h a - - - m2", counted.len()).as_bytes()).await.unwrap();
    peer.shutdown().await.unwrap();
    // Somebody who does not know of TLS disturbs nobody.
    let mut plain = streams.connect().await;
    plain.write_all(b"<13>1 - h a - - - plain\n").await.unwrap();
    let mut expected = vec!["m1\nof 2 lines", "m2"];
    let (ca, to) = (directory.join("cert.pem"), format!("127.0.0.1:{}", streams.port()));
    let arguments =
        ["s_client", "-quiet", "-verify_return_error", "-CAfile", ca.to_str().unwrap(), "-connect", &to];
    if run("openssl", &[&arguments[..], &["-no_ign_eof"]].concat(), "<13>1 - h a - - - m3\n").await {
        expected.push("m3");
    }
    let events = streams.events(expected.len()).await;
    let messages: Vec<_> = events.iter().map(|event| event["message"].as_str().unwrap()).collect();
    assert_eq!(messages, expected);
    streams.world.stop().await;
    assert!(streams.world.has_said("a connection failed: no TLS"), "{:#?}", streams.world.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_said_and_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let world = World::new(1, "").await;
    replace_input(&world, &format!("{{ type: tcp, listen: \"{address}\" }}"));
    let output =
        Command::new(env!("CARGO_BIN_EXE_millpond")).args(["run", "--config"]).arg(world.config()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains(&format!("input app: cannot listen on {address}"))
            && said.contains("stop it, or choose"),
        "{said}"
    );
}
