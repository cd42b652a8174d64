//! Starting and stopping an endpoint.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{Counts, FaultControl, KeptRecord, Options};

/// Why an endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; free it, or use port 0 for any free one")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Two streams of the same name.
    #[error("stream `{0}` is given twice; leave one out")]
    DuplicateStream(String),
    /// A stream that the service would not have.
    #[error(transparent)]
    Stream(#[from] crate::ParseStreamError),
    /// The file for events cannot be opened.
    #[error("cannot open {path} for events: {source}")]
    EventsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why events could not be written to their file.
#[derive(Debug, Clone, thiserror::Error)]
#[error("events are not all in {path}: {message}")]
pub struct EventsError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub message: String,
}

/// Why an endpoint did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    /// Some accepted events are not in the file.
    #[error(transparent)]
    Events(#[from] EventsError),
}

/// A running endpoint. Dropping it stops it at once; [`Server::shutdown`] lets requests finish first.
#[derive(Debug)]
pub struct Server {}

/// Starts an endpoint on the current tokio runtime.
///
/// # Errors
/// When the address is taken, the streams are not right or the file for events cannot be opened.
pub async fn start(_options: Options) -> Result<Server, StartError> {
    todo!()
}

impl Server {
    /// Where it listens, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        todo!()
    }

    /// Where `/_local/…` is served even while the endpoint is `down`, if asked for.
    #[must_use]
    pub fn control_addr(&self) -> Option<SocketAddr> {
        todo!()
    }

    /// The URL for a client, such as `http://127.0.0.1:4567`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Switches faults.
    #[must_use]
    pub fn faults(&self) -> &FaultControl {
        todo!()
    }

    /// What has come in so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        todo!()
    }

    /// A snapshot of what is kept: stream by stream, shard by shard, in order of arrival. Data is shared, not copied.
    #[must_use]
    pub fn records(&self) -> Vec<KeptRecord> {
        todo!()
    }

    /// Waits until every event accepted so far is in the file of `write_events`.
    ///
    /// # Errors
    /// When the file could not be written.
    pub async fn flush_events(&self) -> Result<(), EventsError> {
        todo!()
    }

    /// Stops listening, lets requests in progress finish (for at most five seconds), writes out events, gives the totals.
    ///
    /// # Errors
    /// When events could not be written.
    pub async fn shutdown(self) -> Result<Counts, ShutdownError> {
        todo!()
    }
}
