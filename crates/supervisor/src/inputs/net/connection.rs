//! Reads one connection to its end.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::framing::{BadLength, Decoder};
use super::gather::Gathered;
use super::handover::Handover;
use super::{CHUNK_BYTES_MAX, FLUSH_PERIOD, sleep_until, stopped};
use crate::ways::Closed;

/// Bytes of one read.
const READ_BYTES_MAX: usize = 32 << 10;

/// Why a connection is over.
#[derive(Debug)]
pub(in crate::inputs) enum End {
    /// The peer has closed it.
    Closed,
    /// The input stops.
    Stopped,
    /// Nothing came for too long.
    Idle,
    /// What comes is not framed as it should be.
    BadLength(BadLength),
    /// It failed.
    Failed(io::Error),
    /// No output takes anything any more.
    OutputsClosed,
}

/// One connection.
pub(in crate::inputs) struct Connection {
    handover: Handover,
    peer: Option<Arc<str>>,
    decoder: Decoder,
    gathered: Gathered,
    /// What was counted as waiting, see [`Shared::waits`](super::handover::Shared::waits).
    waiting: usize,
    is_enough: bool,
    idle_timeout: Option<Duration>,
}

impl Connection {
    /// One from `peer`, which is not read yet.
    pub(in crate::inputs) fn new(
        handover: Handover,
        peer: Option<Arc<str>>,
        decoder: Decoder,
        idle_timeout: Option<Duration>,
    ) -> Self {
        let gathered = Gathered::default();
        Self { handover, peer, decoder, gathered, waiting: 0, is_enough: false, idle_timeout }
    }

    /// Reads until the connection or the input ends. Whatever was read is handed on before this returns.
    pub(in crate::inputs) async fn run(
        mut self,
        mut stream: impl AsyncRead + Unpin,
        mut stop: watch::Receiver<bool>,
    ) -> End {
        let end = self.read(&mut stream, &mut stop).await;
        if matches!(end, End::OutputsClosed) {
            self.count_waiting();
            return end;
        }
        // IMPORTANT: closed before what is left waits for room, so that the peer learns of the end at once.
        drop(stream);
        let Self { handover, peer, decoder, gathered, .. } = &mut self;
        let peer = peer.as_deref();
        decoder.finish(&mut |message| handover.shared.add(message, peer, gathered));
        match self.hand_on().await {
            Ok(()) => end,
            Err(Closed) => End::OutputsClosed,
        }
    }

    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin), stop: &mut watch::Receiver<bool>) -> End {
        let mut flush_at: Option<Instant> = None;
        let mut idle_at = self.idle_timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let read = tokio::select! {
                biased;
                () = stopped(stop) => return End::Stopped,
                () = sleep_until(flush_at), if flush_at.is_some() => None,
                read = self.read_some(stream) => Some(read),
                () = sleep_until(idle_at), if idle_at.is_some() => return End::Idle,
            };
            let is_due = match read {
                Some(Ok(Ok(0))) => return End::Closed,
                Some(Ok(Ok(_))) => {
                    idle_at = self.idle_timeout.map(|timeout| Instant::now() + timeout);
                    self.count_waiting();
                    self.is_enough || self.gathered.bytes() >= CHUNK_BYTES_MAX
                }
                Some(Ok(Err(bad))) => return End::BadLength(bad),
                Some(Err(error)) => return End::Failed(error),
                None => true,
            };
            if is_due {
                flush_at = None;
                if self.hand_on().await.is_err() {
                    return End::OutputsClosed;
                }
            } else if !self.gathered.is_empty() {
                flush_at = flush_at.or_else(|| Some(Instant::now() + FLUSH_PERIOD));
            }
        }
    }

    /// Reads what is there, or waits until something is. The buffer exists only while there is something: thousands of
    /// connections that are idle hold nothing.
    async fn read_some(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Result<usize, BadLength>> {
        let Self { handover, peer, decoder, gathered, .. } = self;
        let peer = peer.as_deref();
        let read = poll_fn(|cx| {
            let mut room = [const { MaybeUninit::uninit() }; READ_BYTES_MAX];
            let mut buffer = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            let fed = decoder.feed(read, &mut |message| handover.shared.add(message, peer, gathered));
            Poll::Ready(Ok(fed.map(|()| read.len())))
        })
        .await;
        handover.shared.note_flaws(decoder.take_flaws(), peer);
        read
    }

    async fn hand_on(&mut self) -> Result<(), Closed> {
        let flaws = self.decoder.take_flaws();
        self.handover.shared.note_flaws(flaws, self.peer.as_deref());
        let sent = self.handover.send(&mut self.gathered, self.peer.as_ref()).await;
        self.count_waiting();
        sent
    }

    fn count_waiting(&mut self) {
        let now = self.gathered.bytes();
        self.is_enough = self.handover.shared.waits(self.waiting, now);
        self.waiting = now;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.handover.shared.waits(self.waiting, 0);
    }
}
