//! Events in the bodies of HTTP requests.
//!
//! A request is answered with 200 only once every event of its body is delivered or durable. What it is answered with
//! otherwise says whether anything of it was taken: a 4xx leaves nothing behind, and a 503 says whether its events may
//! arrive twice if they are sent again.
//!
//! All requests share one [budget](budget::Budget) of memory for their bodies and a number of connections. Slow and
//! idle clients are left in peace until others wait for what they hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use super::tls::ServerTls;
use super::{InputContext, InputError, listen};
use crate::config::checked::HttpInput;
use crate::ways::Fanout;
use budget::{Budget, Pressure};
use log::RefusalLog;
use request::Shared;

mod body;
mod budget;
mod connection;
mod content;
mod events;
mod log;
mod outcome;
mod refusal;
mod request;
mod response;

pub use outcome::{Outcome, RequestCounters};

/// Before an accept that failed is tried again: mostly, descriptors have run out, and nobody says when there are more.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// An address that is taken, with what is served there.
#[derive(Debug)]
pub struct HttpListener {
    listener: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    config: HttpInput,
}

impl HttpListener {
    /// Takes the address. Clients can connect from now on, and are served as soon as the input [runs](run_http).
    ///
    /// # Errors
    /// [`InputError::Listen`] when the address cannot be had, [`InputError::Tls`] when the certificate cannot be used.
    pub fn open(input: &Arc<str>, config: HttpInput) -> Result<Self, InputError> {
        let tls = config
            .tls
            .clone()
            .map(|files| ServerTls::new(Arc::clone(input), files, &["http/1.1"]))
            .transpose();
        let tls = tls.map_err(|source| InputError::Tls { input: Arc::clone(input), source })?.map(Arc::new);
        let listener = listen::tcp(input, config.listen)?;
        let address = listener.local_addr().map_err(|source| failed(input, source))?;
        Ok(Self { listener, address, tls, config })
    }
}

/// Serves requests until told to stop; those that were handed on are answered before it ends.
///
/// # Errors
/// When the outputs take no events any more, or the system gives no way to wait for connections.
pub async fn run_http(opened: HttpListener, ctx: InputContext) -> Result<(), InputError> {
    let listener = TcpListener::from_std(opened.listener).map_err(|source| failed(&ctx.input, source))?;
    let pressure = Arc::new(Pressure::new());
    let config = opened.config;
    let buffered_bytes_max = config.buffered_bytes_max.max(config.body_bytes_max);
    let places = Arc::new(Semaphore::new(config.connections_max));
    let mut stop = ctx.stop.clone();
    let shared = Arc::new(Shared {
        source: format!("http://{}", opened.address).into(),
        input: ctx.input,
        codec: ctx.codec,
        max_line: ctx.max_line,
        counters: ctx.counters,
        budget: Budget::new(buffered_bytes_max, config.busy_timeout, Arc::clone(&pressure)),
        pressure,
        stop: ctx.stop,
        out: tokio::sync::Mutex::new(ctx.out),
        closed: Notify::new(),
        log: RefusalLog::new(),
        config,
    });
    ctx.started.tell();
    tracing::info!(input = &*shared.input, address = %opened.address, tls = opened.tls.is_some(), "listening");
    ctx.started.tell();
    let mut connections = JoinSet::new();
    let ended = loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break Ok(()),
            () = shared.closed.notified() => {
                break Err(InputError::OutputsClosed { input: Arc::clone(&shared.input) });
            }
            Some(ended) = connections.join_next() => note_panic(ended),
            (stream, peer, place) = accept(&shared, &listener, &places) => {
                connections.spawn(serve(Arc::clone(&shared), opened.tls.clone(), stream, peer, place));
            }
        }
    };
    // The port is free from here on.
    drop(listener);
    if ended.is_ok() {
        // Whoever is handing events on comes to an end first.
        *shared.out.lock().await = Fanout::none();
        while let Some(ended) = connections.join_next().await {
            note_panic(ended);
        }
    }
    ended
}

/// Returns when the input shall stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // If nobody is left to say so, that means the same.
    stop.wait_for(|stop| *stop).await.ok();
}

fn failed(input: &Arc<str>, source: std::io::Error) -> InputError {
    InputError::Thread { input: Arc::clone(input), source }
}

/// Waits for a place before accepting, so that connections beyond the limit wait in the kernel.
async fn accept(
    shared: &Shared,
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = match Arc::clone(places).try_acquire_owned() {
        Ok(place) => place,
        Err(_) => {
            let _waiting = shared.pressure.wait();
            Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed")
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                let what = "a connection cannot be accepted, trying again (ulimit -n?)";
                shared.log.note_connection(&shared.input, "", what, &error);
                let _waiting = shared.pressure.wait();
                tokio::time::sleep(RETRY_WAIT).await;
            }
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    tls: Option<Arc<ServerTls>>,
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
) {
    let counters = Arc::clone(&shared.counters);
    counters.connections.add(1);
    // An IPv4 address that came over an IPv6 socket is one all the same.
    let peer = peer.ip().to_canonical().to_string().into();
    connection::serve(shared, tls, stream, peer).await;
    counters.connections.sub(1);
    drop(place);
}

/// A panic ends its own connection only, but it is a bug.
fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "serving a connection panicked; this is a bug, please report it with the log");
    }
}
