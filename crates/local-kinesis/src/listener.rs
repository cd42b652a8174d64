//! Accepting connections, being unreachable, and coming back on the same port.
//!
//! While the endpoint is `down`, its listening socket is closed and its connections are reset, so clients find what they
//! would find at a dead host: *connection refused*. A second socket, bound but not listening, holds the port meanwhile, so
//! that nobody else can take it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use crate::endpoint::Endpoint;
use crate::http::{Link, Socket, serve, serve_control};

/// Connections that the kernel accepts ahead.
const BACKLOG: u32 = 1024;
/// A connection is closed when no request comes for so long, or its head does not end.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(60);
/// Requests in progress may take so long when the endpoint stops.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);
/// Before an operation of the system that failed is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// A socket that holds the port, listening or not.
pub(crate) struct Port {
    addr: SocketAddr,
    listener: Option<TcpListener>,
}

impl Port {
    /// Listens on an address.
    pub(crate) fn open(addr: SocketAddr) -> io::Result<Self> {
        if addr.port() != 0 {
            // The sockets below share the port with each other, and would with those of another endpoint too.
            let probe = new_socket(addr)?;
            probe.set_reuseaddr(true)?;
            probe.bind(addr)?;
            drop(probe.listen(BACKLOG)?);
        }
        let socket = new_socket(addr)?;
        // Connections of an earlier run may linger.
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        Ok(Self { addr, listener: Some(listener) })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection; waits forever while closed.
    async fn accept(&self) -> io::Result<TcpStream> {
        match &self.listener {
            Some(listener) => listener.accept().await.map(|(stream, _)| stream),
            None => std::future::pending().await,
        }
    }

    /// Refuses connections from now on. The result holds the port.
    fn close(&mut self) -> io::Result<TcpSocket> {
        let holder = self.holder()?;
        self.listener = None;
        Ok(holder)
    }

    /// A socket that shares the port with the listener. Not with `SO_REUSEADDR`: anyone who sets that as well may take a
    /// port on which nobody listens.
    fn holder(&self) -> io::Result<TcpSocket> {
        let socket = new_socket(self.addr)?;
        socket.set_reuseport(true)?;
        socket.bind(self.addr)?;
        Ok(socket)
    }

    /// Accepts connections again.
    fn reopen(&mut self, holder: TcpSocket) -> io::Result<()> {
        // For the next run, as connections inherit it.
        holder.set_reuseaddr(true)?;
        self.listener = Some(holder.listen(BACKLOG)?);
        Ok(())
    }
}

fn new_socket(addr: SocketAddr) -> io::Result<TcpSocket> {
    if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// Serves the endpoint's address until it stops.
pub(crate) async fn run(endpoint: Arc<Endpoint>, mut port: Port) {
    let room = Arc::new(Semaphore::new(endpoint.limits.connections_max));
    let mut connections = Connections::default();
    let mut changes = endpoint.faults.subscribe();
    loop {
        if let Some(down) = endpoint.faults.down() {
            down.hit();
            connections.reset().await;
            if !be_down(&endpoint, &mut port).await {
                return;
            }
            continue;
        }
        tokio::select! {
            () = endpoint.stopped() => break,
            () = changes.next() => {}
            Some(ended) = connections.tasks.join_next() => note_panic(ended),
            (stream, place) = accept(&port, &room) => connections.start(&endpoint, stream, place),
        }
    }
    drop(port);
    connections.finish().await;
}

/// Waits for a place before accepting, so that connections beyond the limit wait in the kernel.
async fn accept(port: &Port, room: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = room.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match port.accept().await {
            Ok(stream) => return (stream, place),
            Err(error) => {
                // No descriptors left, mostly; others may give some back.
                tracing::warn!(%error, "cannot accept a connection, trying again");
                tokio::time::sleep(RETRY_WAIT).await;
            }
        }
    }
}

/// A panic ends its own connection only, but it is a bug.
fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "serving a connection panicked");
    }
}

/// Stays unreachable while the fault is on; false if the endpoint stops.
async fn be_down(endpoint: &Endpoint, port: &mut Port) -> bool {
    let mut holder = match port.close() {
        Ok(holder) => holder,
        Err(error) => {
            tracing::warn!(%error, addr = %port.addr, "cannot go down, trying again");
            tokio::time::sleep(RETRY_WAIT).await;
            return true;
        }
    };
    loop {
        while let Some(down) = endpoint.faults.down() {
            tokio::select! {
                () = endpoint.faults.cleared(down.id) => {}
                () = endpoint.stopped() => return false,
            }
        }
        let Err(error) = port.reopen(holder) else { return true };
        tracing::error!(%error, addr = %port.addr, "cannot listen again, trying again");
        tokio::time::sleep(RETRY_WAIT).await;
        holder = match port.holder() {
            Ok(holder) => holder,
            Err(error) => {
                tracing::error!(%error, addr = %port.addr, "the port is lost; the endpoint stays down");
                endpoint.stopped().await;
                return false;
            }
        };
    }
}

/// The connections that are open.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    links: Vec<std::sync::Weak<Link>>,
}

impl Connections {
    fn start(&mut self, endpoint: &Arc<Endpoint>, stream: TcpStream, place: OwnedSemaphorePermit) {
        endpoint.tally.connection();
        let link = Arc::new(Link::default());
        self.links.retain(|link| link.strong_count() > 0);
        self.links.push(Arc::downgrade(&link));
        let endpoint = endpoint.clone();
        self.tasks.spawn(async move {
            connection(endpoint, stream, link).await;
            drop(place);
        });
    }

    /// Ends all with RST.
    async fn reset(&mut self) {
        for link in self.links.drain(..).filter_map(|link| link.upgrade()) {
            link.reset_on_close();
        }
        self.tasks.shutdown().await;
    }

    /// Lets requests in progress finish, for a while.
    async fn finish(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WAIT_MAX, all).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "requests still in progress are cut");
            self.tasks.shutdown().await;
        }
    }
}

/// Serves one connection until either side ends it.
async fn connection(endpoint: Arc<Endpoint>, stream: TcpStream, link: Arc<Link>) {
    // Without it, answers may wait for acknowledgements; it fails only on a connection that is gone.
    stream.set_nodelay(true).ok();
    let socket = Socket::new(stream, link.clone(), endpoint.clone());
    let service = service_fn({
        let endpoint = endpoint.clone();
        move |request| serve(endpoint.clone(), link.clone(), request)
    });
    let served = http().serve_connection(TokioIo::new(socket), service);
    let mut served = std::pin::pin!(served);
    let result = tokio::select! {
        result = &mut served => result,
        () = endpoint.stopped() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Serves the address for control until the endpoint stops.
pub(crate) async fn run_control(endpoint: Arc<Endpoint>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(endpoint.limits.connections_max));
    let port = Port { addr: SocketAddr::from(([127, 0, 0, 1], 0)), listener: Some(listener) };
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = endpoint.stopped() => return,
            Some(ended) = tasks.join_next() => note_panic(ended),
            (stream, place) = accept(&port, &room) => {
                let endpoint = endpoint.clone();
                tasks.spawn(async move {
                    let service = service_fn(|request| serve_control(endpoint.clone(), request));
                    if let Err(error) = http().serve_connection(TokioIo::new(stream), service).await {
                        tracing::debug!(%error, "a control connection ended early");
                    }
                    drop(place);
                });
            }
        }
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT_MAX);
    http
}
