//! A forwarder that takes events over HTTP, and its clients.

use std::io::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::World;

pub(crate) const NDJSON: &str = "Content-Type: application/x-ndjson\r\n";
/// Batches are sealed soon, and answers come soon.
pub(crate) const SOON: &str = "flush_period: 50ms";
pub(crate) const TEXT: &str = "Content-Type: text/plain\r\n";

/// A world with an HTTP input, and where it listens once it runs.
pub(crate) struct Web {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
}

impl Web {
    /// The forwarder runs when this returns. The settings of the input, then those of the output.
    pub(crate) async fn start(input: &str, output: &str) -> Self {
        let world = World::new(2, output).await;
        replace_input(&world, &format!("{{ type: http, listen: \"127.0.0.1:0\", {input} }}"));
        let mut web = Self { world, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        web.restart().await;
        web
    }

    pub(crate) async fn restart(&mut self) {
        self.world.start();
        self.world.hear("the address", |said| said.message == "listening").await;
        let said = self.world.said.last().unwrap();
        self.address = said.fields["address"].as_str().unwrap().parse().unwrap();
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Posts a body over a connection of its own.
    pub(crate) async fn post(&self, headers: &str, body: &[u8]) -> Answer {
        post(self.address, headers, body).await.unwrap()
    }
}

pub(crate) async fn post(address: SocketAddr, headers: &str, body: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request(headers, body).as_slice()).await?;
    Answer::read(&mut stream).await
}

pub(crate) fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nHost: edge\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Self { status, head, body: serde_json::from_slice(&body).unwrap() })
    }

    #[track_caller]
    pub(crate) fn is_accepted(&self, events: u64) {
        assert_eq!((self.status, &self.body), (200, &json!({ "accepted": events })), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.body["error"].as_str().unwrap().contains(words), "{self:?}");
        assert_eq!(self.head.contains("retry-after: "), status == 503, "{self:?}");
    }
}

/// So many numbered events, from `first` on.
pub(crate) fn lines(first: u64, count: u64) -> String {
    (first..first + count).map(|number| format!("#{number} over HTTP\n")).collect()
}

pub(crate) fn objects(first: u64, count: u64) -> Vec<Value> {
    (first..first + count).map(|number| json!({ "_raw": format!("#{number} over HTTP") })).collect()
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Another input than the log file.
pub(crate) fn replace_input(world: &World, input: &str) {
    let config = std::fs::read_to_string(world.config()).unwrap();
    let (before, after) = config.split_once("  app: ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    std::fs::write(world.config(), format!("{before}  app: {input}\n{after}")).unwrap();
}
