//! The admin address: health, metrics, status and control over HTTP.
//!
//! It has a thread and an event loop of its own, few connections, and a time limit for each of them, so that a slow or
//! hostile client costs nobody but other clients of this address. What it answers is read from counters and views that are
//! made to be read from anywhere; nothing that forwards waits for it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::checked::Admin;
use crate::inputs::tls::{ServerTls, TlsError};
use crate::registry::Registry;

mod answer;
mod control;
mod gate;
pub mod look;
mod page;
mod rates;
mod report;
mod respond;
mod server;
pub mod status;
#[cfg(test)]
mod tests;
mod trial;

pub use status::Status;

/// Why there is no admin address although one is configured.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be had.
    #[error("admin: cannot listen on {address}: {source}; {remedy}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The certificate cannot be used.
    #[error("admin: {0}")]
    Tls(#[from] TlsError),
    /// The operating system gave no thread or no event loop.
    #[error(
        "admin: cannot start its thread: {0}; check the limits on threads and open files (ulimit -u, ulimit -n)"
    )]
    Thread(std::io::Error),
}

/// An address that is served. Dropping it ends that, without waiting.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl AdminServer {
    /// Takes the address and serves it from now on.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub fn start(admin: &Admin, registry: Registry) -> Result<Self, AdminError> {
        let tls = admin
            .tls
            .clone()
            .map(|files| ServerTls::new("admin".into(), files, &["http/1.1"]))
            .transpose()?;
        let (listener, address) = listen(admin.listen)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AdminError::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let shared = server::Shared::new(registry, gate::Gate::new(admin.token.clone()), tls);
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                runtime.block_on(server::run(listener, Arc::new(shared), stopped));
                // A look at a disk that hangs must not hold up the end.
                runtime.shutdown_background();
            })
            .map_err(AdminError::Thread)?;
        let scheme = if admin.tls.is_some() { "https" } else { "http" };
        tracing::info!(url = format!("{scheme}://{address}"), token = admin.token.is_some(), "admin address");
        Ok(Self { address, stop, thread })
    }

    /// Where it listens; the port is the one that the system chose if the configuration says 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and every connection. The address is free when this returns; it blocks for a moment.
    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the admin address had panicked; its message is in the log above");
        }
    }
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), AdminError> {
    // The standard library sets SO_REUSEADDR.
    let taken = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    taken.map_err(|source| {
        let remedy = crate::inputs::remedy_of_listen(address, &source);
        AdminError::Listen { address, source, remedy }
    })
}
