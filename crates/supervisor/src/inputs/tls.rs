//! TLS of the inputs that listen.
//!
//! The certificate, its key and the authorities of clients are read when the input starts, and again when one of the
//! files has changed: whoever renews a certificate has to tell nobody. The files are looked at when a client connects, at
//! most once a second, so an input that is idle looks at nothing. Files that cannot be used leave those in force that
//! were read before.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::checked::TlsFiles;

/// The files are looked at no more often than this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A client that has not shown who it is after this long never will.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Why files cannot serve for TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {}: {message}; {remedy}", path.display())]
pub struct TlsError {
    /// The setting that names the file.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// The server's side of TLS, from files that may change.
#[derive(Debug)]
pub struct ServerTls {
    input: Arc<str>,
    files: TlsFiles,
    protocols: Vec<Vec<u8>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// The files as they were when they were last read, well or not.
    seen: Seen,
    looked_at: Instant,
}

/// By what a change of the files is noticed: one of each.
type Seen = Vec<Option<Stamp>>;

/// By what a change of a file is noticed. The times of its contents and of its attributes, since a file may have been
/// there before somebody let us read it; the inode, since a renewed one mostly takes the place of the old.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl ServerTls {
    /// Reads the files. `protocols` are the names that are agreed on in the handshake (ALPN), such as `http/1.1`, the best
    /// first; none for a protocol that has no name.
    ///
    /// # Errors
    /// When one of them is missing, holds something else, or does not belong to the others.
    pub fn new(input: Arc<str>, files: TlsFiles, protocols: &[&str]) -> Result<Self, TlsError> {
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        // What changes while it is read is read again later.
        let seen = look(&files);
        let config = server_config(&files, protocols.clone())?;
        let state = Mutex::new(State { config, seen, looked_at: Instant::now() });
        Ok(Self { input, files, protocols, state })
    }

    /// Does the handshake with a client, with the files as they are now.
    ///
    /// # Errors
    /// When the client breaks off, is not trusted, does not speak TLS, or takes too long.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let handshake = TlsAcceptor::from(self.current(Instant::now())).accept(stream);
        match tokio::time::timeout(HANDSHAKE_MAX, handshake).await {
            Ok(done) => done,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the TLS handshake was not done within {} s", HANDSHAKE_MAX.as_secs()),
            )),
        }
    }

    /// What is in force, after a look at the files if the last one is a while ago.
    fn current(&self, now: Instant) -> Arc<ServerConfig> {
        // Nothing that panics happens while it is held, and what it guards is whole at any time.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.looked_at) >= LOOK_EVERY {
            state.looked_at = now;
            let seen = look(&self.files);
            if seen != state.seen {
                state.seen = seen;
                self.read_again(&mut state);
            }
        }
        Arc::clone(&state.config)
    }

    fn read_again(&self, state: &mut State) {
        match server_config(&self.files, self.protocols.clone()) {
            Ok(config) => {
                state.config = config;
                tracing::info!(
                    input = &*self.input,
                    "the certificate files have changed and were read again"
                );
            }
            // Each change is said once: when the certificate is there and its key is not yet, this is one of two.
            Err(error) => tracing::warn!(
                input = &*self.input,
                %error,
                "the certificate files have changed and cannot be used: those read before stay in force"
            ),
        }
    }
}

fn look(files: &TlsFiles) -> Seen {
    let paths = [Some(&files.cert_file), Some(&files.key_file), files.client_ca_file.as_ref()];
    paths
        .into_iter()
        .flatten()
        .map(|path| path.metadata().ok().map(|metadata| Stamp::of(&metadata)))
        .collect()
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Whether these files can serve. Looking changes nothing.
///
/// # Errors
/// As [`ServerTls::new`].
pub fn check(files: &TlsFiles) -> Result<(), TlsError> {
    server_config(files, Vec::new()).map(|_| ())
}

fn server_config(files: &TlsFiles, protocols: Vec<Vec<u8>>) -> Result<Arc<ServerConfig>, TlsError> {
    let cert_error = |message: String, remedy: &str| error_in("cert_file", &files.cert_file, message, remedy);
    let key_error = |message: String, remedy: &str| error_in("key_file", &files.key_file, message, remedy);
    let chain = read_certificates("cert_file", &files.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            key_error("holds no private key in PEM form".to_owned(), "name the file that holds the key")
        }
        error => unreadable("key_file", &files.key_file, &error),
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(
            |error| cert_error(format!("TLS cannot be set up: {error}"), "this is a bug: please report it"),
        )?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(client_verifier(path)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => key_error(
            format!("is not the key of the certificate in {}", files.cert_file.display()),
            "name the key that the certificate was made for",
        ),
        rustls::Error::InvalidCertificate(error) => cert_error(
            format!("its first certificate is not valid: {error}"),
            "put the server's own certificate first, in PEM form",
        ),
        error => key_error(
            format!("cannot be used: {error}"),
            "use a key of type RSA (2048 bits or more), ECDSA (P-256, P-384 or P-521) or Ed25519",
        ),
    })?;
    config.alpn_protocols = protocols;
    Ok(Arc::new(config))
}

fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    const KEY: &str = "client_ca_file";
    const REMEDY: &str =
        "name the certificates of the authorities that your clients' certificates were made by";
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(KEY, path)? {
        roots.add(certificate).map_err(|error| {
            error_in(KEY, path, format!("holds a certificate that is no authority: {error}"), REMEDY)
        })?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| error_in(KEY, path, format!("cannot be used: {error}"), REMEDY))
}

fn read_certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(key, path, &error))?;
    if certificates.is_empty() {
        let message = "holds no certificate in PEM form".to_owned();
        return Err(error_in(key, path, message, "a certificate begins with `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(certificates)
}

fn unreadable(key: &'static str, path: &Path, error: &pem::Error) -> TlsError {
    match error {
        pem::Error::Io(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => "correct the path, or put the file there",
                _ => "let this user (the one that millpond runs as) read it",
            };
            error_in(key, path, format!("cannot be read: {error}"), remedy)
        }
        error => error_in(key, path, format!("is no PEM file: {error}"), "write it in PEM form"),
    }
}

fn error_in(key: &'static str, path: &Path, message: String, remedy: &str) -> TlsError {
    TlsError { key, path: path.to_owned(), message, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests;
