//! A connection that can be slowed down, cut in the middle of an answer, and reset.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::endpoint::Endpoint;
use crate::pacer::Pacer;

/// How a request's handler acts on its connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    cut: Mutex<Option<Cut>>,
    /// Closing sends RST instead of FIN.
    reset: AtomicBool,
}

/// Where the next answer ends too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// After so many bytes, wherever that is.
    Bytes(usize),
    /// After so many bytes of its body.
    BodyBytes(usize),
}

impl Link {
    /// The next answer goes out only up to there, then the connection closes.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.state() = Some(cut);
    }

    /// When the connection closes, it closes with RST.
    pub(crate) fn reset_on_close(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// How much of what is to be written next may be.
    fn allowance(&self, next: &[u8]) -> Option<usize> {
        let mut state = self.state();
        if let Some(Cut::BodyBytes(body)) = *state {
            // The head of an answer is always written in one piece, before or with its body.
            let head = memmem::find(next, b"\r\n\r\n").map_or(0, |at| at + 4);
            *state = Some(Cut::Bytes(head + body));
        }
        match *state {
            Some(Cut::Bytes(left)) => Some(left),
            _ => None,
        }
    }

    fn written(&self, bytes: usize) {
        if let Some(Cut::Bytes(left)) = &mut *self.state() {
            *left -= bytes;
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<Cut>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to a client.
pub(crate) struct Socket {
    stream: TcpStream,
    link: Arc<Link>,
    endpoint: Arc<Endpoint>,
    reading: Pacing,
    writing: Pacing,
}

/// Waiting for the fault `rate` to let bytes pass.
#[derive(Default)]
struct Pacing(Option<Pin<Box<Sleep>>>);

impl Pacing {
    /// Ready with the rate, if there is one, when bytes may pass.
    fn poll(&mut self, endpoint: &Endpoint, pacer: &Pacer, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        loop {
            if let Some(sleep) = &mut self.0 {
                ready!(sleep.as_mut().poll(cx));
                self.0 = None;
            }
            let Some(rate) = endpoint.faults.rate() else {
                pacer.reset();
                return Poll::Ready(None);
            };
            match pacer.wait(Instant::now()) {
                Some(wait) => self.0 = Some(Box::pin(tokio::time::sleep(wait))),
                None => return Poll::Ready(Some(rate)),
            }
        }
    }
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, link: Arc<Link>, endpoint: Arc<Endpoint>) -> Self {
        Self { stream, link, endpoint, reading: Pacing::default(), writing: Pacing::default() }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.link.reset.load(Ordering::Acquire) {
            // Fails only on a socket that is gone already, and then there is nothing to reset.
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(rate) = ready!(this.reading.poll(&this.endpoint, &this.endpoint.incoming, cx)) else {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        };
        let mut portion = vec![0; Pacer::portion(rate).min(buf.remaining())];
        let mut part = ReadBuf::new(&mut portion);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
        this.endpoint.incoming.passed(part.filled().len(), rate, Instant::now());
        buf.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let rate = ready!(this.writing.poll(&this.endpoint, &this.endpoint.outgoing, cx));
        let allowance = this.link.allowance(buf);
        if allowance == Some(0) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault")));
        }
        let portion = rate.map_or(usize::MAX, Pacer::portion).min(allowance.unwrap_or(usize::MAX));
        let part = buf.get(..portion).unwrap_or(buf);
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, part))?;
        this.link.written(written);
        if let Some(rate) = rate {
            this.endpoint.outgoing.passed(written, rate, Instant::now());
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.link.reset.load(Ordering::Acquire) {
            // A FIN would come before the RST.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
