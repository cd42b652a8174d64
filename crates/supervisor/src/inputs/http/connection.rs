//! One connection: TLS, requests one after the other, and its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::request::{Shared, answer};
use super::stopped;
use crate::inputs::tls::ServerTls;

/// Largest head of a request, and bytes that are read ahead.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// A connection that serves no request may be closed after this long if others wait for its place.
const SPARE_AFTER: Duration = Duration::from_secs(1);
/// How long a client may take to hear that the rest of its body is not wanted, and after a stop to hear its answer.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Serves one connection until either side ends it.
pub(super) async fn serve(
    shared: Arc<Shared>,
    tls: Option<Arc<ServerTls>>,
    stream: TcpStream,
    peer: Arc<str>,
) {
    // Without it answers may wait for acknowledgements of the other side; it fails only on a connection that is gone.
    stream.set_nodelay(true).ok();
    let (idle, _) = watch::channel(Some(Instant::now()));
    let idle = Arc::new(idle);
    let all = async {
        match tls {
            None => requests(&shared, stream, &peer, &idle).await,
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => requests(&shared, stream, &peer, &idle).await,
                Err(error) => {
                    shared.log.note_connection(&shared.input, &peer, "a TLS handshake failed", &error)
                }
            },
        }
    };
    tokio::select! {
        () = all => {}
        () = spared(&shared, idle.subscribe()) => {}
    }
}

/// When a connection serves a request, nothing; else, since when it serves none.
type Idle = watch::Sender<Option<Instant>>;

/// Returns when the connection serves no request, and its place is needed or the input stops.
async fn spared(shared: &Shared, mut idle: watch::Receiver<Option<Instant>>) {
    loop {
        // The sender goes when the connection ends; then nobody waits for this any more.
        let Ok(since) = idle.wait_for(Option::is_some).await.map(|since| *since) else { return };
        tokio::select! {
            biased;
            _ = idle.changed() => {}
            () = needed(shared, since.unwrap_or_else(Instant::now)) => return,
        }
    }
}

/// Returns when the place of a connection that has been idle for some time is needed, or the input stops.
async fn needed(shared: &Shared, idle_since: Instant) {
    let mut stop = shared.stop.clone();
    let wanted = async {
        tokio::time::sleep_until(idle_since + SPARE_AFTER).await;
        shared.pressure.felt().await;
    };
    let stopped = async {
        stopped(&mut stop).await;
        // What was answered has to get there.
        tokio::time::sleep(FAREWELL_MAX).await;
    };
    tokio::select! {
        () = wanted => {}
        () = stopped => {}
    }
}

async fn requests<S>(shared: &Arc<Shared>, stream: S, peer: &Arc<str>, idle: &Arc<Idle>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (shared, peer, idle) = (Arc::clone(shared), Arc::clone(peer), Arc::clone(idle));
        // It is polled where it lies, so it must not move.
        Box::pin(async move {
            idle.send_replace(None);
            let response = answer(shared, peer, request).await;
            idle.send_replace(Some(Instant::now()));
            Ok::<_, Infallible>(response)
        })
    });
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.idle_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut stop = shared.stop.clone();
    let ended = tokio::select! {
        ended = poll_fn(|context| served.poll_without_shutdown(context)) => ended,
        () = stopped(&mut stop) => {
            Pin::new(&mut served).graceful_shutdown();
            poll_fn(|context| served.poll_without_shutdown(context)).await
        }
    };
    match ended {
        Ok(()) => farewell(served.into_parts().io.into_inner()).await,
        Err(error) => {
            tracing::debug!(input = &*shared.input, peer = &**peer, %error, "a connection ended early")
        }
    }
}

/// Closes a connection so that the client hears the last answer: as long as it sends, closing would take that away.
async fn farewell(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let all = async {
        stream.shutdown().await?;
        let mut unwanted = vec![0; 8 << 10];
        while stream.read(&mut unwanted).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whoever takes longer has heard it, or never will; an error means that it has gone.
    tokio::time::timeout(FAREWELL_MAX, all).await.ok();
}
