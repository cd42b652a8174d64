//! Events over HTTP: what is answered, and what became of what was answered with 200.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millpond_local_kinesis::verify;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::world::{PATIENCE, World};

const NDJSON: &str = "Content-Type: application/x-ndjson\r\n";
/// Batches are sealed soon, and answers come soon.
const SOON: &str = "flush_period: 50ms";
const TEXT: &str = "Content-Type: text/plain\r\n";

/// A world with an HTTP input, and where it listens once it runs.
struct Web {
    world: World,
    address: SocketAddr,
}

impl Web {
    /// The forwarder runs when this returns. The settings of the input, then those of the output.
    async fn start(input: &str, output: &str) -> Self {
        let world = World::new(2, output).await;
        world.replace_input(&format!("{{ type: http, listen: \"127.0.0.1:0\", {input} }}"));
        let mut web = Self { world, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        web.restart().await;
        web
    }

    async fn restart(&mut self) {
        self.world.start();
        self.world.hear("the address", |said| said.message == "listening").await;
        let said = self.world.said.last().unwrap();
        self.address = said.fields["address"].as_str().unwrap().parse().unwrap();
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Posts a body over a connection of its own.
    async fn post(&self, headers: &str, body: &[u8]) -> Answer {
        post(self.address, headers, body).await.unwrap()
    }
}

async fn post(address: SocketAddr, headers: &str, body: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request(headers, body).as_slice()).await?;
    Answer::read(&mut stream).await
}

fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nHost: edge\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Self> {
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
    fn is_accepted(&self, events: u64) {
        assert_eq!((self.status, &self.body), (200, &json!({ "accepted": events })), "{self:?}");
    }

    #[track_caller]
    fn is_refused(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.body["error"].as_str().unwrap().contains(words), "{self:?}");
        assert_eq!(self.head.contains("retry-after: "), status == 503, "{self:?}");
    }
}

/// So many numbered events, from `first` on.
fn lines(first: u64, count: u64) -> String {
    (first..first + count).map(|number| format!("#{number} over HTTP\n")).collect()
}

fn objects(first: u64, count: u64) -> Vec<Value> {
    (first..first + count).map(|number| json!({ "_raw": format!("#{number} over HTTP") })).collect()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_and_encodings_are_taken() {
    const EVENTS: u64 = 300;
    let mut web = Web::start("codec: text", &format!("{SOON}\nbackpressure: queue")).await;
    let formats: [(&str, fn(u64) -> String); 5] = [
        ("", |first| lines(first, EVENTS)),
        (TEXT, |first| lines(first, EVENTS)),
        (NDJSON, |first| objects(first, EVENTS).iter().map(|object| format!("{object}\n")).collect()),
        ("Content-Type: application/json\r\n", |first| json!(objects(first, EVENTS)).to_string()),
        ("Content-Type: application/json; charset=utf-8\r\n", |first| {
            let (one, other) = (objects(first, EVENTS / 2), objects(first + EVENTS / 2, EVENTS / 2));
            let one: String = one.iter().map(Value::to_string).collect();
            let other: Vec<_> = other.iter().map(Value::to_string).collect();
            format!("{one}[ ]\n[\n{}\n]\n", other.join("\n,\r\n"))
        }),
    ];
    for (content_type, body) in formats {
        for (encoding, encode) in [
            ("", (|plain| plain.to_vec()) as fn(&[u8]) -> Vec<u8>),
            ("Content-Encoding: gzip\r\n", gzip),
            ("Content-Encoding: zstd\r\n", |plain| zstd::bulk::compress(plain, 3).unwrap()),
        ] {
            let body = encode(body(web.world.written).as_bytes());
            web.post(&format!("{content_type}{encoding}"), &body).await.is_accepted(EVENTS);
            web.world.written += EVENTS;
        }
    }
    // Without a length, in chunks.
    let mut stream = web.connect().await;
    let chunked = format!("{}\r\n", lines(web.world.written, 1));
    let head = "POST / HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = format!("{head}{:x}\r\n{chunked}0\r\n\r\n", chunked.len() - 2);
    stream.write_all(chunks.as_bytes()).await.unwrap();
    Answer::read(&mut stream).await.unwrap().is_accepted(1);
    web.world.written += 1;
    web.post("", b"").await.is_accepted(0);
    web.post("Content-Type: application/json\r\n", b" [ ] ").await.is_accepted(0);
    let source = format!("http://{}", web.address);
    let mut wrapped = 0;
    verify(&web.world.server.records(), |_, event| {
        let event: Value = serde_json::from_slice(event).unwrap();
        if event.get("source").is_some() {
            assert_eq!((&event["host"], &event["source"]), (&json!("127.0.0.1"), &json!(source)));
            wrapped += 1;
        }
    });
    assert_eq!(wrapped, 6 * EVENTS + 1);
    web.world.finish(0).await;
}

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
    assert!(web.world.peak_memory() < 64 << 20, "{} bytes resident", web.world.peak_memory());
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_nothing_behind() {
    let input = "token: \"s3cret\", path: /events, max_body: \"64 KiB\", max_line: \"1 KiB\"";
    let mut web = Web::start(input, &format!("{SOON}\nbackpressure: queue")).await;
    let address = web.address;
    let ask = async |line: &str, headers: &str, body: &[u8]| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            format!("{line} HTTP/1.1\r\nHost: edge\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        // A refusal may come before the body has gone.
        stream.write_all(&[head.as_bytes(), body].concat()).await.ok();
        Answer::read(&mut stream).await.unwrap()
    };
    let shown = "Authorization: Bearer s3cret\r\n";
    let good = lines(0, 10);
    ask("POST /events", "", good.as_bytes()).await.is_refused(401, "token");
    for wrong in ["Bearer s3cre", "Bearer s3cret2", "Bearer", "Basic s3cret", "s3cret"] {
        let headers = format!("Authorization: {wrong}\r\n");
        ask("POST /events", &headers, good.as_bytes()).await.is_refused(401, "token");
    }
    ask("POST /", shown, good.as_bytes()).await.is_refused(404, "path");
    ask("GET /events", shown, b"").await.is_refused(405, "POST");
    let with = |headers: &str| format!("{shown}{headers}");
    ask("POST /events", &with("Content-Type: application/xml\r\n"), b"<x/>")
        .await
        .is_refused(415, "application/xml");
    ask("POST /events", &with("Content-Encoding: br\r\n"), b"x").await.is_refused(415, "br");
    ask("POST /events", &with("Content-Encoding: gzip\r\n"), b"plain").await.is_refused(400, "no gzip");
    let bomb = gzip(&vec![b'\n'; 32 << 20]);
    assert!(bomb.len() < 64 << 10);
    ask("POST /events", &with("Content-Encoding: gzip\r\n"), &bomb).await.is_refused(413, "decompressed");
    ask("POST /events", shown, &vec![b'\n'; 4 << 20]).await.is_refused(413, "max_body");
    ask("POST /events", &with(NDJSON), b"{}\n{}\nnone\n").await.is_refused(400, "line 3");
    let json = with("Content-Type: application/json\r\n");
    ask("POST /events", &json, b"[{},{},3]").await.is_refused(400, "event 3");
    let long = format!("[{{}},{{\"a\":\"{}\"}}]", "x".repeat(1_024));
    ask("POST /events", &json, long.as_bytes()).await.is_refused(413, "event 2");

    ask("POST /events?from=here", shown, good.as_bytes()).await.is_accepted(10);
    web.world.written = 10;
    web.world.stop().await;
    assert!(!web.world.said.iter().any(|said| format!("{said:?}").contains("s3cret")));
    assert!(web.world.has_said("a request was refused"));
    web.world.finish(0).await;
}

fn connector(certificate: &CertificateDer<'static>) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    TlsConnector::from(Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth()))
}

fn new_certificate(directory: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

/// A certificate is renewed while the forwarder runs; connections that are open stay.
#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_certificate_that_is_renewed() {
    let world = World::new(2, "flush_period: 50ms\nbackpressure: queue").await;
    let first = new_certificate(&world.path(""));
    world.replace_input(
        "{ type: http, listen: \"127.0.0.1:0\", tls: { cert_file: cert.pem, key_file: key.pem } }",
    );
    let mut web = Web { world, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
    web.restart().await;
    let connect = async |certificate: &CertificateDer<'static>| {
        let name = ServerName::try_from("localhost").unwrap();
        connector(certificate).connect(name, web.address.connect().await).await
    };
    let mut open = connect(&first).await.unwrap();
    post_over(&mut open, lines(0, 10)).await.is_accepted(10);
    let second = new_certificate(&web.world.path(""));
    let renewed = async {
        loop {
            match connect(&second).await {
                Ok(stream) => return stream,
                // Until the files are looked at again.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let mut renewed = tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    post_over(&mut renewed, lines(10, 10)).await.is_accepted(10);
    post_over(&mut open, lines(20, 10)).await.is_accepted(10);
    assert!(connect(&first).await.is_err());
    // Who does not speak TLS is not served.
    assert!(post(web.address, TEXT, lines(0, 1).as_bytes()).await.is_err());
    web.world.written = 30;
    web.world.finish(0).await;
}

trait Connect {
    async fn connect(&self) -> TcpStream;
}

impl Connect for SocketAddr {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self).await.unwrap()
    }
}

async fn post_over(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), body: String) -> Answer {
    stream.write_all(&request(TEXT, body.as_bytes())).await.unwrap();
    stream.flush().await.unwrap();
    Answer::read(stream).await.unwrap()
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

#[tokio::test(flavor = "multi_thread")]
async fn an_address_or_certificate_that_cannot_be_had_ends_the_start() {
    let world = World::new(1, "").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let run = |input: String| {
        world.replace_input(&input);
        let mut millpond = std::process::Command::new(env!("CARGO_BIN_EXE_millpond"));
        let output = millpond.args(["run", "--config"]).arg(world.config()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run(format!("{{ type: http, listen: \"{address}\" }}"));
    assert!(said.contains(&format!("input app: cannot listen on {address}")), "{said}");
    assert!(said.contains("choose another port"), "{said}");
    let tls = "{ type: http, listen: \"127.0.0.1:0\", tls: { cert_file: none.pem, key_file: key.pem } }";
    let said = run(tls.to_owned());
    assert!(said.contains("none.pem: cannot be read"), "{said}");
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_millpond"));
    let output = check.args(["check", "--config"]).arg(world.config()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("inputs.app.tls.cert_file"), "{said}");
    assert_ne!(output.status.code(), Some(0), "{said}");
}
