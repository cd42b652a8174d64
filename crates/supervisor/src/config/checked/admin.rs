//! The admin address.

use std::net::SocketAddr;

use millpond_kinesis::aws::Secret;

use super::TlsFiles;

/// Where metrics, health, status and control are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What clients have to show; `None`: nothing, and only this machine reaches it.
    pub token: Option<Secret>,
    /// `None`: not encrypted.
    pub tls: Option<TlsFiles>,
}
