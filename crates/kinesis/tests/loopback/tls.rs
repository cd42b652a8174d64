//! Whom the client trusts, and the way through a proxy to somebody it does.

use std::io::Write;

use super::*;
use millpond_kinesis::client::Client;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority of its own, and a server for `localhost` with a certificate from it.
struct Trusted {
    server: Server,
    ca_file: tempfile::NamedTempFile,
}

async fn trusted(answers: Vec<Answer>) -> Trusted {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();

    let mut ca_file = tempfile::NamedTempFile::new().unwrap();
    ca_file.write_all(authority.pem().as_bytes()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Trusted { server: Server::start_with(answers, Some(acceptor)).await, ca_file }
}

impl Trusted {
    fn settings(&self, host: &str) -> Settings {
        settings(format!("https://{host}:{}", self.server.address.port()))
    }

    fn trusting(&self, host: &str) -> Settings {
        Settings { ca_file: Some(self.ca_file.path().to_owned()), ..self.settings(host) }
    }
}

async fn put_with(settings: Settings) -> Result<PutResult, Failure> {
    AwsClient::connect(settings).await.unwrap().put_record("logs", record(b"data")).await
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_when_it_is_named() {
    let trusted = trusted(vec![stored()]).await;
    put_with(trusted.trusting("localhost")).await.unwrap();
    assert_eq!(
        trusted.server.requests()[0].header("host"),
        format!("localhost:{}", trusted.server.address.port())
    );
}

#[tokio::test]
async fn an_unknown_authority_is_refused_in_words() {
    let trusted = trusted(vec![stored()]).await;
    let failure = put_with(trusted.settings("localhost")).await.unwrap_err();
    assert_eq!((failure.class, failure.cause), (Class::Transient, Cause::Tls), "{failure}");
    // Where the machine has no authorities at all, that is what is said.
    let words = ["UnknownIssuer", "no certificate authorities"];
    assert!(words.iter().any(|words| failure.message.contains(words)), "{failure}");
    assert!(failure.message.contains("captive portal"), "{failure}");
    assert!(!failure.may_have_arrived);
    assert!(trusted.server.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let trusted = trusted(vec![stored()]).await;
    let failure = put_with(trusted.trusting("127.0.0.1")).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Tls, "{failure}");
    assert!(failure.message.contains("not valid for name"), "{failure}");
}

#[tokio::test]
async fn certificates_are_not_checked_when_that_is_asked_for() {
    let trusted = trusted(vec![stored()]).await;
    let settings = Settings { reject_unauthorized: false, ..trusted.settings("127.0.0.1") };
    put_with(settings).await.unwrap();
}

#[tokio::test]
async fn somebody_who_does_not_speak_tls() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let settings = Settings { reject_unauthorized: false, ..settings(format!("https://{address}")) };
    let failure = put_with(settings).await.unwrap_err();
    assert_eq!((failure.class, failure.cause), (Class::Transient, Cause::Tls), "{failure}");
}

/// A proxy that connects whatever host is asked for with `target`.
async fn connect_proxy(
    target: std::net::SocketAddr,
) -> (std::net::SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
        // How the connection ends is of no interest.
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
        String::from_utf8(head).unwrap()
    });
    (address, task)
}

#[tokio::test]
async fn tls_goes_through_the_tunnel_of_a_proxy() {
    let trusted = trusted(vec![stored()]).await;
    let (proxy, task) = connect_proxy(trusted.server.address).await;
    let url = Secret::new(format!("http://user:pass@{proxy}"));
    let settings = Settings { proxy: Proxy::Url { url, no_proxy: None }, ..trusted.trusting("localhost") };
    put_with(settings).await.unwrap();
    let head = task.await.unwrap();
    let port = trusted.server.address.port();
    assert!(head.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz"), "{head}");
    assert_eq!(trusted.server.requests()[0].line, "POST / HTTP/1.1");
}
