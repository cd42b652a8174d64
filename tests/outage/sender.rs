//! Those who send events to the forwarder, by every way that it has.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixStream};
use tokio::sync::watch;

/// Between two bursts of events.
const TICK: Duration = Duration::from_millis(200);
/// Events of a burst.
const BURST: u64 = 4;
/// Before a request is made again that was not accepted.
const AGAIN: Duration = Duration::from_millis(500);

/// A kind of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    File,
    Stdin,
    Http,
    Tcp,
    Udp,
    Syslog,
    Unix,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] =
        [Self::File, Self::Stdin, Self::Http, Self::Tcp, Self::Udp, Self::Syslog, Self::Unix];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stdin => "stdin",
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Syslog => "syslog (tcp)",
            Self::Unix => "unix",
        }
    }

    /// The input in the configuration.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::File => "{ type: file, include: [\"*.log\"] }",
            Self::Stdin => "{ type: stdin }",
            Self::Http => "{ type: http, listen: \"127.0.0.1:0\", ack_timeout: 10s }",
            Self::Tcp => "{ type: tcp, listen: \"127.0.0.1:0\" }",
            Self::Udp => "{ type: udp, listen: \"127.0.0.1:0\" }",
            Self::Syslog => "{ type: syslog, transport: tcp, listen: \"127.0.0.1:0\" }",
            Self::Unix => "{ type: unix, path: in.socket }",
        }
    }

    /// Is there an address that the forwarder says?
    pub(crate) fn listens(self) -> bool {
        matches!(self, Self::Http | Self::Tcp | Self::Udp | Self::Syslog | Self::Unix)
    }
}

/// Sends events from number 0 on, and goes on until it is told to stop; gives how many.
pub(crate) struct Sender {
    pub(crate) kind: Kind,
    /// Where to: an address, or the path of a file, a pipe or a socket.
    pub(crate) address: String,
    pub(crate) path: PathBuf,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Sender {
    pub(crate) async fn run(self) -> u64 {
        match self.kind {
            Kind::File => {
                let mut file = std::fs::File::options().append(true).open(&self.path).unwrap();
                self.bursts(async |lines: String| file.write_all(lines.as_bytes()).unwrap()).await
            }
            Kind::Stdin => {
                let path = self.path.clone();
                let file = tokio::fs::OpenOptions::new().write(true).open(path).await.unwrap();
                self.stream(file).await
            }
            Kind::Http => {
                let address = self.address.clone();
                self.bursts(async |lines: String| until_accepted(&address, &lines).await).await
            }
            Kind::Tcp | Kind::Syslog => {
                let stream = TcpStream::connect(&self.address).await.unwrap();
                self.stream(stream).await
            }
            Kind::Unix => {
                let stream = UnixStream::connect(&self.path).await.unwrap();
                self.stream(stream).await
            }
            Kind::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let address = self.address.clone();
                let send = async |lines: String| {
                    for line in lines.lines() {
                        socket.send_to(line.as_bytes(), &address).await.unwrap();
                    }
                };
                self.bursts(send).await
            }
        }
    }

    async fn stream(self, mut stream: impl AsyncWrite + Unpin) -> u64 {
        let count =
            self.bursts(async |lines: String| stream.write_all(lines.as_bytes()).await.unwrap()).await;
        stream.shutdown().await.unwrap();
        count
    }

    async fn bursts(self, mut send: impl AsyncFnMut(String)) -> u64 {
        let head = if self.kind == Kind::Syslog { "<13>1 2026-11-24T12:00:00Z gate app - - - " } else { "" };
        let mut sent = 0;
        while !*self.stop.borrow() {
            let lines = (sent..sent + BURST).map(|number| format!("{head}#{number} of an outage\n"));
            send(lines.collect()).await;
            sent += BURST;
            tokio::time::sleep(TICK).await;
        }
        sent
    }
}

/// Posts until the answer is 200, as a client should.
async fn until_accepted(address: &str, lines: &str) {
    loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            lines.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(lines.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        if answer.starts_with("HTTP/1.1 200 ") {
            return;
        }
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.to_lowercase().contains("retry-after"),
            "{answer}"
        );
        tokio::time::sleep(AGAIN).await;
    }
}
