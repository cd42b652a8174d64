//! Events over HTTP: what is taken, what is refused, and with which words.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millpond_local_kinesis::verify;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::web::{Answer, NDJSON, SOON, TEXT, Web, gzip, lines, objects, post, replace_input, request};
use crate::world::{PATIENCE, World};

/// The body of numbered events, from this number on.
type Numbered = fn(u64) -> String;

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_and_encodings_are_taken() {
    const EVENTS: u64 = 300;
    let mut web = Web::start("codec: text", &format!("{SOON}\nbackpressure: queue")).await;
    let formats: [(&str, Numbered); 5] = [
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
    // More than the system buffers: a client that sends all of it before it reads hears the answer too.
    let mut large = web.connect().await;
    let head = format!("POST /events HTTP/1.1\r\nHost: edge\r\n{shown}Content-Length: {}\r\n\r\n", 32 << 20);
    large.write_all(head.as_bytes()).await.unwrap();
    large.write_all(&vec![b'\n'; 32 << 20]).await.unwrap();
    Answer::read(&mut large).await.unwrap().is_refused(413, "max_body");
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
    replace_input(
        &world,
        "{ type: http, listen: \"127.0.0.1:0\", tls: { cert_file: cert.pem, key_file: key.pem } }",
    );
    let mut web = Web { world, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
    web.restart().await;
    let connect = async |certificate: &CertificateDer<'static>| {
        let name = ServerName::try_from("localhost").unwrap();
        connector(certificate).connect(name, TcpStream::connect(web.address).await.unwrap()).await
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

async fn post_over(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), body: String) -> Answer {
    stream.write_all(&request(TEXT, body.as_bytes())).await.unwrap();
    stream.flush().await.unwrap();
    Answer::read(stream).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_or_certificate_that_cannot_be_had_ends_the_start() {
    let world = World::new(1, "").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let run = |input: String| {
        replace_input(&world, &input);
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
