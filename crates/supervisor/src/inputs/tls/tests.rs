use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::*;

/// A directory with certificates, and what a server is told of it.
struct Files {
    directory: TempDir,
    tls: TlsFiles,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let tls = TlsFiles { cert_file: path("cert.pem"), key_file: path("key.pem"), client_ca_file: None };
        Self { tls, directory }
    }

    /// Puts a new certificate with its key in place, and gives it.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&self.tls.cert_file, cert.pem()).unwrap();
        std::fs::write(&self.tls.key_file, signing_key.serialize_pem()).unwrap();
        cert.der().clone()
    }

    fn server(&self) -> ServerTls {
        ServerTls::new("web".into(), self.tls.clone(), &["http/1.1"]).unwrap()
    }

    fn problem(&self) -> String {
        let error = check(&self.tls).unwrap_err();
        error.to_string().replace(self.directory.path().to_str().unwrap(), "DIR")
    }
}

fn client(
    trusted: &CertificateDer<'static>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots)
}

/// Whether both sides agree, and a byte goes each way.
async fn connects(server: &ServerTls, client: ClientConfig) -> io::Result<()> {
    let (near, far) = tokio::io::duplex(64 << 10);
    let name = ServerName::try_from("localhost").unwrap();
    let serve = async {
        let mut stream = server.accept(far).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.shutdown().await
    };
    let ask = async {
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, near).await?;
        stream.write_u8(7).await?;
        stream.read_u8().await
    };
    let (served, answer) = tokio::join!(serve, ask);
    served?;
    assert_eq!(answer?, 7);
    Ok(())
}

/// As if the last look at the files was long ago.
fn forget_the_last_look(server: &ServerTls) {
    server.state.lock().unwrap().looked_at -= LOOK_EVERY;
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_connects() {
    let files = Files::new();
    let certificate = files.renew();
    let server = files.server();
    connects(&server, client(&certificate).with_no_client_auth()).await.unwrap();
    let stranger = Files::new().renew();
    assert!(connects(&server, client(&stranger).with_no_client_auth()).await.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_and_a_bad_one_is_not() {
    let files = Files::new();
    let first = files.renew();
    let server = files.server();
    let second = files.renew();
    let connects =
        async |certificate| connects(&server, client(certificate).with_no_client_auth()).await.is_ok();
    assert!(connects(&first).await, "the files are not looked at for each client");
    forget_the_last_look(&server);
    assert!(connects(&second).await);
    assert!(!connects(&first).await);
    for bad in ["", "no certificate at all"] {
        std::fs::write(&files.tls.cert_file, bad).unwrap();
        forget_the_last_look(&server);
        assert!(connects(&second).await, "the one read before stays in force");
    }
    std::fs::remove_file(&files.tls.key_file).unwrap();
    forget_the_last_look(&server);
    assert!(connects(&second).await);
    let third = files.renew();
    forget_the_last_look(&server);
    assert!(connects(&third).await);
}

#[tokio::test]
async fn with_an_authority_clients_must_show_a_certificate_of_it() {
    let mut files = Files::new();
    let certificate = files.renew();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let ca_file = files.directory.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    files.tls.client_ca_file = Some(ca_file);
    let server = files.server();
    assert!(connects(&server, client(&certificate).with_no_client_auth()).await.is_err());

    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let shown = params.signed_by(&key, &authority).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = client(&certificate).with_client_auth_cert(vec![shown], key).unwrap();
    connects(&server, config).await.unwrap();

    let stranger = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(stranger.signing_key.serialize_der()).unwrap();
    let config = client(&certificate).with_client_auth_cert(vec![stranger.cert.der().clone()], key).unwrap();
    assert!(connects(&server, config).await.is_err());
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let mut files = Files::new();
    assert_eq!(
        files.problem(),
        "cert_file DIR/cert.pem: cannot be read: No such file or directory (os error 2); \
         correct the path, or put the file there"
    );
    files.renew();
    std::fs::write(&files.tls.key_file, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert_eq!(
        files.problem(),
        "key_file DIR/key.pem: is not the key of the certificate in DIR/cert.pem; \
         name the key that the certificate was made for"
    );
    std::fs::copy(&files.tls.cert_file, &files.tls.key_file).unwrap();
    assert_eq!(
        files.problem(),
        "key_file DIR/key.pem: holds no private key in PEM form; name the file that holds the key"
    );
    std::fs::write(&files.tls.cert_file, "x").unwrap();
    assert_eq!(
        files.problem(),
        "cert_file DIR/cert.pem: holds no certificate in PEM form; \
         a certificate begins with `-----BEGIN CERTIFICATE-----`"
    );
    files.renew();
    files.tls.client_ca_file = Some(files.tls.key_file.clone());
    assert!(
        files.problem().starts_with("client_ca_file DIR/key.pem: holds no certificate"),
        "{}",
        files.problem()
    );
    std::fs::write(&files.tls.cert_file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    files.tls.client_ca_file = None;
    assert!(
        files.problem().starts_with("cert_file DIR/cert.pem: its first certificate is not valid"),
        "{}",
        files.problem()
    );
}
