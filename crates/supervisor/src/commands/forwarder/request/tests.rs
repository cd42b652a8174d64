//! What is said when nobody answers, or something else does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use millpond_kinesis::aws::Secret;

use super::*;
use crate::admin::AdminServer;
use crate::commands::forwarder::of;
use crate::config::checked::{Admin, TlsFiles};
use crate::registry::Registry;

fn ask(forwarder: &Forwarder, path: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(forwarder.ask(Method::Get, path));
    answer.map(|answer| String::from_utf8(answer.body.to_vec()).unwrap()).map_err(|error| error.to_string())
}

fn forwarder(address: SocketAddr, token: Option<&str>, tls: Option<TlsFiles>) -> Forwarder {
    let token = token.map(|token| Secret::new(token.to_owned()));
    of(&Admin { listen: address, token, tls }, Path::new("millpond.yaml")).unwrap()
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Says `answer` to the first who asks.
fn somebody(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(local()).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
    });
    address
}

#[test]
fn nobody_is_there() {
    let address = TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let error = ask(&forwarder(address, None, None), "/healthz").unwrap_err();
    let expected =
        format!("nobody answers at http://{address}: Connection refused (os error 111); does the forwarder");
    assert!(error.starts_with(&expected) && error.ends_with(WITHOUT), "{error}");
}

#[test]
fn something_else_is_there() {
    for (answer, words) in [
        ("", "gives no answer that can be read"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "gives no answer that can be read"),
        ("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", "it answers 302 Found"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", "gives no answer that can be read"),
    ] {
        let address = somebody(answer);
        let error = ask(&forwarder(address, None, None), "/api/v1/status").unwrap_err();
        assert!(error.contains(words) && error.contains(&address.to_string()), "{answer:?}: {error}");
    }
}

#[test]
fn a_token_is_shown_and_asked_for() {
    let admin = Admin { listen: local(), token: Some(Secret::new("s3cret".to_owned())), tls: None };
    let server = AdminServer::start(&admin, Registry::new("")).unwrap();
    let status = |token| ask(&forwarder(server.address(), token, None), "/api/v1/status");
    assert!(status(Some("s3cret")).unwrap().contains("\"stage\": \"starting\""));
    let none = status(None).unwrap_err();
    assert!(none.contains("the token is missing or wrong; give the token with"), "{none}");
    assert!(status(Some("other")).unwrap_err().contains("has been given another one"));
    server.stop();
}

/// The one certificate of the configuration is trusted whatever its name, and no other.
#[test]
fn tls() {
    let directory = tempfile::tempdir().unwrap();
    let files = |name: &str| {
        let path = |what: &str| directory.path().join(format!("{name}.{what}"));
        let made =
            rcgen::generate_simple_self_signed(["edge.example".to_owned(), "localhost".to_owned()]).unwrap();
        std::fs::write(path("cert"), made.cert.pem()).unwrap();
        std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
        TlsFiles { cert_file: path("cert"), key_file: path("key"), client_ca_file: None }
    };
    let (own, other) = (files("own"), files("other"));
    let admin = Admin { listen: local(), token: None, tls: Some(own.clone()) };
    let server = AdminServer::start(&admin, Registry::new("")).unwrap();
    let health = |tls| ask(&forwarder(server.address(), None, tls), "/healthz");
    assert_eq!(health(Some(own)).unwrap(), "up\n");
    let error = health(Some(other)).unwrap_err();
    assert!(error.contains("the configuration's certificate is not the one that it shows"), "{error}");
    // By name, whoever an authority vouches for.
    let port = server.address().port();
    let by_name = |name: &str| {
        let url = format!("https://{name}:{port}");
        let ca_file = directory.path().join("own.cert").display().to_string();
        let found = crate::commands::forwarder::tests::find(&["--url", &url, "--ca-file", &ca_file]).unwrap();
        ask(&found, "/healthz")
    };
    assert_eq!(by_name("localhost").unwrap(), "up\n");
    let error = by_name("127.0.0.1").unwrap_err();
    assert!(error.contains("--ca-file"), "{error}");
    // It does not answer who speaks in clear text.
    assert!(health(None).unwrap_err().contains("gives no answer that can be read"));
    server.stop();
}
