//! Inputs that listen.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use millpond_kinesis::aws::Secret;

/// The files that TLS needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub cert_file: PathBuf,
    /// The certificate's private key.
    pub key_file: PathBuf,
    /// Authorities that a client's certificate must be of; without, clients need none.
    pub client_ca_file: Option<PathBuf>,
}

/// An input of type `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpInput {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The only path that takes events; `None`: any.
    pub path: Option<String>,
    /// What clients have to show; `None`: nothing.
    pub token: Option<Secret>,
    /// `None`: not encrypted.
    pub tls: Option<TlsFiles>,
    /// Largest body in bytes, as it is sent and after it was decompressed.
    pub body_bytes_max: usize,
    /// Bytes of the bodies of all requests at once; at least `body_bytes_max` in any case.
    pub buffered_bytes_max: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// How long a request waits for memory, and for room at the outputs.
    pub busy_timeout: Duration,
    /// How long a request waits until its events are delivered or durable.
    pub ack_timeout: Duration,
    /// How long a connection may be without a request, or a body without a byte.
    pub idle_timeout: Duration,
}
