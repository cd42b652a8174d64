//! The server itself: what it answers before there is anything, TLS, and its end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::config::checked::TlsFiles;
use crate::registry::Stage;

fn server(tls: Option<TlsFiles>) -> (AdminServer, Registry) {
    let registry = Registry::new("");
    let admin = Admin { listen: SocketAddr::from(([127, 0, 0, 1], 0)), token: None, tls };
    (AdminServer::start(&admin, registry.clone()).unwrap(), registry)
}

fn ask(mut stream: impl std::io::Read + std::io::Write, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_is_up_before_it_is_ready() {
    let (server, registry) = server(None);
    let get = |path: &str| ask(TcpStream::connect(server.address()).unwrap(), path);
    assert!(get("/healthz").ends_with("\r\n\r\nup\n"));
    let starting = get("/readyz");
    assert!(
        starting.starts_with("HTTP/1.1 503 ") && starting.ends_with("\r\n\r\nit is starting\n"),
        "{starting}"
    );
    registry.set_stage(Stage::Running);
    assert!(get("/readyz").ends_with("\r\n\r\nready\n"));
    registry.set_stage(Stage::Stopping);
    assert!(get("/readyz").ends_with("\r\n\r\nit is stopping\n"));
    server.stop();
}

/// The browser is told to load nothing from elsewhere, and to keep it out of other pages.
#[test]
fn the_page_comes_with_a_policy() {
    let (server, _registry) = server(None);
    let answer = ask(TcpStream::connect(server.address()).unwrap(), "/");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(body.starts_with("<!doctype html>"), "{answer}");
    for header in [
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; ",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(head.contains(header), "{header} is not in {head}");
    }
    server.stop();
}

/// Whatever clients do, the address is free when it has stopped.
#[test]
fn a_stop_ends_every_connection_and_frees_the_address() {
    let (server, _registry) = server(None);
    let address = server.address();
    let mut half_open = TcpStream::connect(address).unwrap();
    half_open.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    // It is accepted before this one is answered.
    ask(TcpStream::connect(address).unwrap(), "/healthz");
    server.stop();
    let mut rest = Vec::new();
    assert!(matches!(half_open.read_to_end(&mut rest), Ok(0) | Err(_)), "{rest:?}");
    let admin = Admin { listen: address, token: None, tls: None };
    AdminServer::start(&admin, Registry::new("")).unwrap().stop();
}

#[test]
fn an_address_that_is_taken_is_an_error_that_says_what_to_do() {
    let (server, _registry) = server(None);
    let admin = Admin { listen: server.address(), token: None, tls: None };
    let error = AdminServer::start(&admin, Registry::new("")).unwrap_err().to_string();
    assert!(error.starts_with(&format!("admin: cannot listen on {}: ", server.address())), "{error}");
    assert!(error.ends_with("choose another port"), "{error}");
    server.stop();
}

#[test]
fn tls() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), cert.pem()).unwrap();
    std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    let files = TlsFiles { cert_file: path("cert.pem"), key_file: path("key.pem"), client_ca_file: None };
    let (server, _registry) = server(Some(files));
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let stream = StreamOwned::new(client, TcpStream::connect(server.address()).unwrap());
    assert!(ask(stream, "/healthz").ends_with("\r\n\r\nup\n"));
    // Whoever does not speak it gets nothing.
    let mut plain = TcpStream::connect(server.address()).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).ok();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.stop();
}
