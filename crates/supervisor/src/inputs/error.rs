//! Why an input ends without having been asked to.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::tls::TlsError;

/// Why an input ended, or could not begin. Each one needs a person.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The operating system gave no thread or no event loop.
    #[error(
        "input {input}: cannot start its thread: {source}; check the limits on threads and open files (ulimit -u, ulimit -n)"
    )]
    Thread {
        /// Id of the input.
        input: Arc<str>,
        /// What the operating system said.
        source: io::Error,
    },
    /// The input's thread panicked; the panic itself is in the log.
    #[error("input {input}: its thread panicked; this is a bug, please report it with the log")]
    Panicked {
        /// Id of the input.
        input: Arc<str>,
    },
    /// A pattern is not one.
    #[error("input {input}: the pattern {pattern:?} is not valid: {reason}")]
    Pattern {
        /// Id of the input.
        input: Arc<str>,
        /// The pattern as it was written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Positions cannot be opened, read or written.
    #[error("input {input}: cannot keep positions in {}: {reason}", dir.display())]
    Positions {
        /// Id of the input.
        input: Arc<str>,
        /// Directory of the position files.
        dir: PathBuf,
        /// What happened, and what to do.
        reason: String,
    },
    /// Standard input cannot be read.
    #[error("input {input}: cannot read standard input: {source}")]
    Stdin {
        /// Id of the input.
        input: Arc<str>,
        /// What the operating system said.
        source: io::Error,
    },
    /// The journal cannot be read.
    #[error("input {input}: cannot run {program}: {message}; {remedy}")]
    Journal {
        /// Id of the input.
        input: Arc<str>,
        /// What should read it.
        program: String,
        /// What happened.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A Unix socket cannot be had.
    #[error("input {input}: cannot listen on {}: {message}; {remedy}", path.display())]
    Socket {
        /// Id of the input.
        input: Arc<str>,
        /// Path of the socket.
        path: PathBuf,
        /// What is in the way.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An address cannot be listened on.
    #[error("input {input}: cannot listen on {address}: {source}; {remedy}")]
    Listen {
        /// Id of the input.
        input: Arc<str>,
        /// The address as it was configured.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The files of its TLS cannot be used.
    #[error("input {input}: {source}")]
    Tls {
        /// Id of the input.
        input: Arc<str>,
        /// Which file, and why.
        source: TlsError,
    },
    /// Every output has stopped taking events although the input was not told to stop.
    #[error("input {input}: no output takes events any more; the log of the outputs says why")]
    OutputsClosed {
        /// Id of the input.
        input: Arc<str>,
    },
}
