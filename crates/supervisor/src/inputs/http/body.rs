//! Reading a body within its bounds: bytes, memory, patience.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::sync::watch;
use tokio::time::Instant;

use super::budget::{Budget, Pressure, Share};
use super::refusal::Refusal;
use super::stopped;

/// Memory for a body grows from this on.
const FIRST_BYTES: usize = 16 << 10;
/// While others wait, a client has to send at least so many bytes …
const PACE_BYTES_MIN: usize = 16 << 10;
/// … within this time, again and again.
const PACE_PERIOD: Duration = Duration::from_secs(2);

/// A whole body, and its share of the memory.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) share: Share,
}

/// What reading a body needs beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) bytes_max: usize,
    /// How long it may stall.
    pub(super) idle_timeout: Duration,
    pub(super) budget: &'a Budget,
    pub(super) pressure: &'a Pressure,
}

/// Reads a whole body. One that is known to be too large is refused before it is sent: a client that asks first
/// (`Expect: 100-continue`) then keeps it.
pub(super) async fn read(
    mut incoming: Incoming,
    limits: Limits<'_>,
    stop: &mut watch::Receiver<bool>,
) -> Result<Body, Refusal> {
    let announced = usize::try_from(incoming.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.bytes_max {
        return Err(Refusal::BodyTooLarge(limits.bytes_max, "as it was sent"));
    }
    let mut body = Body { bytes: Vec::new(), share: limits.budget.share() };
    let mut pace = Pace { since: Instant::now(), bytes: 0 };
    loop {
        let frame = tokio::select! {
            biased;
            () = stopped(stop) => return Err(Refusal::Stopping),
            frame = tokio::time::timeout(limits.idle_timeout, incoming.frame()) => frame,
            () = pace.fall_behind(limits.pressure) => return Err(Refusal::Slow),
        };
        let data = match frame.map_err(|_| Refusal::Slow)? {
            None => break,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => return Err(Refusal::Broken(error.to_string())),
        };
        pace.has_sent(data.len());
        let waiting = Instant::now();
        body.push(&data, announced, limits).await?;
        pace.has_waited(waiting.elapsed());
    }
    body.bytes.shrink_to_fit();
    body.fit(limits.budget).await?;
    Ok(body)
}

impl Body {
    async fn push(&mut self, data: &Bytes, announced: usize, limits: Limits<'_>) -> Result<(), Refusal> {
        let len = self.bytes.len() + data.len();
        if len > limits.bytes_max {
            return Err(Refusal::BodyTooLarge(limits.bytes_max, "as it was sent"));
        }
        if len > self.bytes.capacity() {
            // What a client announces may be more than it ever sends.
            let first = announced.clamp(1, FIRST_BYTES);
            let capacity = len.max(first).max(self.bytes.capacity() * 2).min(limits.bytes_max);
            limits.budget.resize(&mut self.share, capacity).await.map_err(|_| Refusal::NoMemory)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Makes the share what the bytes take.
    pub(super) async fn fit(&mut self, budget: &Budget) -> Result<(), Refusal> {
        budget.resize(&mut self.share, self.bytes.capacity()).await.map_err(|_| Refusal::NoMemory)
    }
}

/// How fast a client sends, lately: what it has sent before is no credit.
struct Pace {
    since: Instant,
    /// Sent since then.
    bytes: usize,
}

impl Pace {
    fn has_sent(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= PACE_BYTES_MIN {
            *self = Self { since: Instant::now(), bytes: 0 };
        }
    }

    /// It could not send, since we were waiting.
    fn has_waited(&mut self, period: Duration) {
        self.since += period;
    }

    /// Returns when the client is too slow and others wait for what it holds.
    async fn fall_behind(&self, pressure: &Pressure) {
        tokio::time::sleep_until(self.since + PACE_PERIOD).await;
        pressure.felt().await;
    }
}
