//! Lets connections in, up to a limit.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::{Connection, End};
use super::framing::Decoder;
use super::handover::Handover;
use super::{is_stopped, stopped};
use crate::config::checked::StreamSettings;
use crate::inputs::InputError;
use crate::inputs::tls::ServerTls;

/// A connection is probed after it was silent for so long.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// So many probes without an answer end the connection.
const KEEPALIVE_PROBES: u32 = 3;
/// Where the operating system gives no more connections, it is asked again after this long, or when one has ended.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);

/// Where connections come from.
#[derive(Debug)]
pub(in crate::inputs) enum Listener {
    /// TCP, encrypted or not.
    Tcp(TcpListener, Option<Arc<ServerTls>>),
    /// A Unix socket.
    Unix(UnixListener),
}

/// One that came.
enum Accepted {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

/// Serves connections until told to stop, and until each of them has handed on what it read.
///
/// # Errors
/// When no output takes events any more.
pub(in crate::inputs) async fn serve(
    listener: Listener,
    settings: &StreamSettings,
    max_message: usize,
    handover: Handover,
    mut stop: watch::Receiver<bool>,
) -> Result<(), InputError> {
    let (halt, halted) = watch::channel(false);
    let mut door =
        Door { settings, max_message, handover, halted, connections: JoinSet::new(), is_short: false };
    let mut result = door.serve(&listener, &mut stop).await;
    drop(listener);
    halt.send_replace(true);
    while let Some(ended) = door.connections.join_next().await {
        result = result.and(door.has_ended(ended));
    }
    let is_stopped = is_stopped(&stop);
    door.handover.finish().await;
    if is_stopped { Ok(()) } else { result }
}

struct Door<'a> {
    settings: &'a StreamSettings,
    max_message: usize,
    handover: Handover,
    /// Tells the connections to end.
    halted: watch::Receiver<bool>,
    connections: JoinSet<(End, Option<Arc<str>>)>,
    /// The operating system gave no more connections.
    is_short: bool,
}

type Ended = Result<(End, Option<Arc<str>>), tokio::task::JoinError>;

impl Door<'_> {
    async fn serve(
        &mut self,
        listener: &Listener,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), InputError> {
        loop {
            tokio::select! {
                biased;
                () = stopped(stop) => return Ok(()),
                Some(ended) = self.connections.join_next() => {
                    self.is_short = false;
                    self.has_ended(ended)?;
                }
                accepted = listener.accept(), if !self.is_short => self.let_in(accepted, listener),
                () = tokio::time::sleep(SHORTAGE_PAUSE), if self.is_short => self.is_short = false,
            }
        }
    }

    fn let_in(&mut self, accepted: io::Result<Accepted>, listener: &Listener) {
        let shared = &self.handover.shared;
        let accepted = match accepted {
            Ok(accepted) => accepted,
            // Whoever came is gone again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return,
            Err(error) => {
                self.is_short = true;
                shared.counters.connection_errors.add(1);
                if let Some(held_back) = shared.complaints.may_say("accept") {
                    tracing::error!(
                        input = &*shared.input,
                        held_back,
                        "cannot take a connection: {error}; raise the limit on open files (ulimit -n, LimitNOFILE=)"
                    );
                }
                return;
            }
        };
        let peer = accepted.peer();
        if self.connections.len() >= self.settings.connections_max {
            shared.counters.connections_refused.add(1);
            if let Some(held_back) = shared.complaints.may_say("refused") {
                tracing::warn!(
                    input = &*shared.input,
                    peer = peer.as_deref(),
                    held_back,
                    "a connection was refused: {} are open (max_connections)",
                    self.connections.len()
                );
            }
            return;
        }
        shared.counters.connections_total.add(1);
        let decoder = Decoder::new(self.settings.framing, self.max_message);
        let connection =
            Connection::new(self.handover.clone(), peer.clone(), decoder, self.settings.idle_timeout);
        let (tls, stop) = (listener.tls().cloned(), self.halted.clone());
        self.connections.spawn(async move { (accepted.serve(connection, tls, stop).await, peer) });
        shared.counters.connections.set(self.connections.len() as u64);
    }

    fn has_ended(&self, ended: Ended) -> Result<(), InputError> {
        let shared = &self.handover.shared;
        shared.counters.connections.set(self.connections.len() as u64);
        let Ok((end, peer)) = ended else {
            return Err(InputError::Panicked { input: Arc::clone(&shared.input) });
        };
        let peer = peer.as_deref();
        match end {
            End::Closed | End::Stopped => {}
            End::Idle => tracing::debug!(input = &*shared.input, peer, "a connection was idle and is closed"),
            End::BadLength(bad) => {
                shared.counters.framing_errors.add(1);
                if let Some(held_back) = shared.complaints.may_say("framing") {
                    tracing::warn!(
                        input = &*shared.input,
                        peer,
                        held_back,
                        "a connection was closed: {bad}; let the sender count octets, or set `framing: lines`"
                    );
                }
            }
            End::Failed(error) => {
                shared.counters.connection_errors.add(1);
                if let Some(held_back) = shared.complaints.may_say("failed") {
                    tracing::warn!(input = &*shared.input, peer, held_back, "a connection failed: {error}");
                }
            }
            End::OutputsClosed => {
                return Err(InputError::OutputsClosed { input: Arc::clone(&shared.input) });
            }
        }
        Ok(())
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, address) = listener.accept().await?;
                keep_alive(&stream)?;
                Ok(Accepted::Tcp(stream, address.ip().to_canonical()))
            }
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }

    fn tls(&self) -> Option<&Arc<ServerTls>> {
        match self {
            Self::Tcp(_, tls) => tls.as_ref(),
            Self::Unix(_) => None,
        }
    }
}

impl Accepted {
    fn peer(&self) -> Option<Arc<str>> {
        match self {
            Self::Tcp(_, ip) => Some(ip.to_string().into()),
            Self::Unix(_) => None,
        }
    }

    async fn serve(
        self,
        connection: Connection,
        tls: Option<Arc<ServerTls>>,
        mut stop: watch::Receiver<bool>,
    ) -> End {
        match (self, tls) {
            (Self::Unix(stream), _) => connection.run(stream, stop).await,
            (Self::Tcp(stream, _), None) => connection.run(stream, stop).await,
            (Self::Tcp(stream, _), Some(tls)) => {
                let secured = tokio::select! {
                    biased;
                    () = stopped(&mut stop) => return End::Stopped,
                    secured = tls.accept(stream) => secured,
                };
                match secured {
                    Ok(stream) => connection.run(stream, stop).await,
                    Err(error) => End::Failed(io::Error::new(error.kind(), format!("no TLS: {error}"))),
                }
            }
        }
    }
}

/// Lets the operating system find out that a peer is gone without a word.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    Ok(())
}
