//! A client that is as plain as can be: one connection per request, nothing hidden, every way of failing told apart.
#![expect(dead_code, reason = "each test file uses another part")]
#![expect(clippy::unwrap_used, reason = "a test may panic, and helpers of tests too")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use millpond_local_kinesis::{Options, Server, StreamSpec, start};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A whole answer.
    Answer(Answer),
    /// Nobody listens.
    Refused,
    /// RST, after so much of the answer.
    Reset(Vec<u8>),
    /// The connection was closed before the answer was whole.
    Cut(Vec<u8>),
    /// Nothing within the time given.
    Silence,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The value of a header, in lower case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

pub(crate) async fn server(options: Options) -> Server {
    start(options).await.unwrap()
}

/// A server with one stream, `logs`.
pub(crate) async fn with_logs(shards: u32) -> Server {
    server(Options { streams: vec![StreamSpec::new("logs", shards)], seed: Some(1), ..Options::default() })
        .await
}

/// Sends bytes on a new connection and takes what comes.
pub(crate) async fn exchange(addr: SocketAddr, request: &[u8], patience: Duration) -> Outcome {
    tokio::time::timeout(patience, exchange_forever(addr, request)).await.unwrap_or(Outcome::Silence)
}

async fn exchange_forever(addr: SocketAddr, request: &[u8]) -> Outcome {
    let mut stream = match TcpStream::connect(addr).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Outcome::Refused,
        // The listener was closed between the kernel's accepting and ours.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Outcome::Reset(Vec::new()),
        Err(error) => panic!("cannot connect: {error}"),
    };
    if stream.write_all(request).await.is_err() {
        return Outcome::Reset(Vec::new());
    }
    let mut received = Vec::new();
    loop {
        if let Some(answer) = whole_answer(&received) {
            return Outcome::Answer(answer);
        }
        match stream.read_buf(&mut received).await {
            Ok(0) => return Outcome::Cut(received),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Outcome::Reset(received),
            Err(error) => panic!("cannot read: {error}"),
        }
    }
}

fn whole_answer(received: &[u8]) -> Option<Answer> {
    let head_end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(received[..head_end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let rest = &received[head_end + 4..];
    let mut answer = Answer { status, head, body: Vec::new() };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunk(rest)?;
    } else {
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = rest.get(..length)?.to_vec();
    }
    Some(answer)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line_end]).unwrap(), 16).unwrap();
        rest = &rest[line_end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

pub(crate) fn http(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn kinesis_request(operation: &str, body: &[u8], headers: &str) -> Vec<u8> {
    let headers = format!(
        "content-type: application/x-amz-json-1.1\r\nx-amz-target: Kinesis_20131202.{operation}\r\n{headers}"
    );
    http("POST", "/", &headers, body)
}

/// A request of Kinesis, however it ends.
pub(crate) async fn attempt(server: &Server, operation: &str, body: &Value) -> Outcome {
    let request = kinesis_request(operation, body.to_string().as_bytes(), "");
    exchange(server.addr(), &request, Duration::from_secs(10)).await
}

/// A request of Kinesis that gets a whole answer.
pub(crate) async fn answer(server: &Server, operation: &str, body: &Value) -> Answer {
    match attempt(server, operation, body).await {
        Outcome::Answer(answer) => answer,
        other => panic!("{operation}: {other:?}"),
    }
}

/// A request of Kinesis that succeeds; null if the answer is empty.
pub(crate) async fn call(server: &Server, operation: &str, body: Value) -> Value {
    let answer = answer(server, operation, &body).await;
    assert_eq!(answer.status, 200, "{operation} {}: {}", short(&body), answer.text());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// A request of Kinesis that fails; gives the error's code and message.
pub(crate) async fn fail(server: &Server, operation: &str, body: Value) -> (String, String) {
    let answer = answer(server, operation, &body).await;
    assert_ne!(answer.status, 200, "{operation} {} succeeded: {}", short(&body), answer.text());
    error_of(&answer)
}

fn short(body: &Value) -> String {
    body.to_string().chars().take(200).collect()
}

/// The error in an answer, which its head must tell too.
pub(crate) fn error_of(answer: &Answer) -> (String, String) {
    let json = answer.json();
    let text = |field: &str| json[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(answer.header("x-amzn-errortype"), Some(text("__type").as_str()));
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.1"));
    assert!(answer.header("x-amzn-requestid").is_some_and(|id| id.len() == 36), "{answer:?}");
    (text("__type"), text("message"))
}

/// A request to `/_local/…`.
pub(crate) async fn control(addr: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let request = http(method, path, "", body.as_bytes());
    match exchange(addr, &request, Duration::from_secs(10)).await {
        Outcome::Answer(answer) => answer,
        other => panic!("{method} {path}: {other:?}"),
    }
}

pub(crate) fn base64(data: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(data)
}

pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text).unwrap()
}

pub(crate) fn record(key: &str, data: &[u8]) -> Value {
    json!({ "StreamName": "logs", "PartitionKey": key, "Data": base64(data) })
}

/// PutRecords of events `{"n":0}`, `{"n":1}`, …, each with another key.
pub(crate) fn events(count: usize) -> Value {
    let entry = |n: usize| json!({ "Data": base64(format!("{{\"n\":{n}}}").as_bytes()), "PartitionKey": format!("k{n}") });
    json!({ "StreamName": "logs", "Records": (0..count).map(entry).collect::<Vec<_>>() })
}

/// Sets a fault.
pub(crate) fn set(server: &Server, fault: &str) -> millpond_local_kinesis::FaultId {
    server.faults().set(fault.parse().unwrap())
}
