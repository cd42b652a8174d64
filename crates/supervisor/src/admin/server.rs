//! Connections: how many there may be, and for how long. One request each.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::gate::Gate;
use super::look::Looks;
use super::rates::Rates;
use super::respond::respond;
use crate::inputs::tls::ServerTls;
use crate::registry::Registry;

/// Connections at once. When all of them are taken, the oldest that has not sent its request yet makes room.
pub(super) const CONNECTIONS_MAX: usize = 32;
/// Longest time from a connection's begin to the end of its request's head, TLS included.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// Longest time for everything: request, work, and the answer to its last byte.
const CONNECTION_MAX: Duration = Duration::from_secs(90);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Before an accept that failed is tried again: mostly, descriptors have run out, and nobody says when there are more.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) registry: Registry,
    pub(super) gate: Gate,
    /// How fast queues were drained between the last looks at the status.
    pub(super) rates: Mutex<Rates>,
    pub(super) looks: Looks,
    tls: Option<ServerTls>,
}

impl Shared {
    pub(super) fn new(registry: Registry, gate: Gate, tls: Option<ServerTls>) -> Self {
        Self { registry, gate, rates: Mutex::default(), looks: Looks::default(), tls }
    }
}

/// Serves the address until told to stop, or until nobody is left to tell.
pub(super) async fn run(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin address cannot be served: nothing else is affected");
            return;
        }
    };
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            Some(ended) = connections.tasks.join_next() => note_panic(ended),
            accepted = listener.accept(), if connections.has_room() => match accepted {
                Ok((stream, _)) => connections.start(&shared, stream),
                Err(error) => {
                    tracing::warn!(%error, "the admin address cannot accept a connection, trying again (ulimit -n?)");
                    tokio::time::sleep(RETRY_WAIT).await;
                }
            },
        }
    }
}

/// Those that are open, oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    open: VecDeque<(AbortHandle, Arc<AtomicBool>)>,
}

impl Connections {
    /// Is there room for one more, or one that has not sent its request and would make room?
    fn has_room(&mut self) -> bool {
        self.open.retain(|(task, _)| !task.is_finished());
        self.open.len() < CONNECTIONS_MAX || self.open.iter().any(is_waiting)
    }

    fn start(&mut self, shared: &Arc<Shared>, stream: TcpStream) {
        if self.open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = self.open.iter().position(is_waiting)
            && let Some((task, _)) = self.open.remove(oldest)
        {
            task.abort();
        }
        let asked = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(serve(Arc::clone(shared), stream, Arc::clone(&asked)));
        self.open.push_back((task, asked));
    }
}

/// Has the connection not sent its request yet?
fn is_waiting((_, asked): &(AbortHandle, Arc<AtomicBool>)) -> bool {
    !asked.load(Ordering::Relaxed)
}

fn note_panic(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a request to the admin address panicked; its message is in the log above");
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, asked: Arc<AtomicBool>) {
    let all = async {
        match &shared.tls {
            None => request(&shared, stream, &asked).await,
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => request(&shared, stream, &asked).await,
                Err(error) => tracing::debug!(%error, "admin: a TLS handshake failed"),
            },
        }
    };
    if tokio::time::timeout(CONNECTION_MAX, all).await.is_err() {
        tracing::debug!("admin: a client took too long");
    }
}

/// Serves the one request of a connection.
async fn request(shared: &Shared, stream: impl AsyncRead + AsyncWrite + Unpin, asked: &AtomicBool) {
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        async { Ok::<_, Infallible>(respond(shared, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "admin: a connection ended early");
    }
}
