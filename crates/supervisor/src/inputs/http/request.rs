//! From a request to its answer.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Notify, oneshot, watch};

use super::body::{self, Body, Limits};
use super::budget::{Budget, Pressure, Share};
use super::content::{Encoding, Format};
use super::events::{Events, chunk_end};
use super::log::RefusalLog;
use super::outcome::Outcome;
use super::refusal::Refusal;
use super::response;
use super::stopped;
use crate::chunk::{Chunk, Codec, Form, Framing, Receipt};
use crate::config::checked::HttpInput;
use crate::inputs::InputCounters;
use crate::ways::{Closed, Fanout};

/// What all requests of an input share.
pub(super) struct Shared {
    pub(super) input: Arc<str>,
    pub(super) source: Arc<str>,
    pub(super) codec: Codec,
    pub(super) max_line: usize,
    pub(super) config: HttpInput,
    pub(super) counters: Arc<InputCounters>,
    pub(super) budget: Budget,
    pub(super) pressure: Arc<Pressure>,
    pub(super) stop: watch::Receiver<bool>,
    /// The way to the outputs, given away at a stop. Requests go there one after the other, so that one that finds no
    /// room has handed on nothing.
    pub(super) out: tokio::sync::Mutex<Fanout>,
    /// The outputs take nothing any more.
    pub(super) closed: Notify,
    pub(super) log: RefusalLog,
}

/// The answer to one request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    peer: Arc<str>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let mut tally = Tally { shared: &shared, outcome: Outcome::Gone };
    let mut is_read = false;
    let taken = shared.take(&peer, request, &mut is_read).await;
    tally.outcome = taken.as_ref().map_or_else(Refusal::outcome, |_| Outcome::Accepted);
    match taken {
        Ok(events) => response::accept(events),
        Err(refusal) => {
            shared.log.note(&shared.input, &peer, &refusal);
            let mut response = response::refuse(&refusal);
            if !is_read {
                // What is left of the body is not read: the connection cannot serve another request.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

/// Counts a request when it is answered, or when its client has gone.
struct Tally<'a> {
    shared: &'a Shared,
    outcome: Outcome,
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.shared.counters.requests.add(self.outcome);
    }
}

impl Shared {
    /// Takes the events of a request, and waits until all of them are delivered or durable; gives their number.
    /// `is_read` becomes true when nothing of the body is left.
    async fn take(
        &self,
        peer: &Arc<str>,
        request: Request<Incoming>,
        is_read: &mut bool,
    ) -> Result<u64, Refusal> {
        let (head, incoming) = request.into_parts();
        let (format, encoding) = self.check_head(&head)?;
        let mut stop = self.stop.clone();
        let limits = Limits {
            bytes_max: self.config.body_bytes_max,
            idle_timeout: self.config.idle_timeout,
            budget: &self.budget,
            pressure: &self.pressure,
        };
        let body = body::read(incoming, limits, &mut stop).await?;
        *is_read = true;
        let (events, share) = self.unpack(body, format, encoding).await?;
        if events.count == 0 {
            return Ok(0);
        }
        let count = events.count;
        let until = tokio::time::Instant::now() + self.config.ack_timeout;
        let settled = async {
            self.hand_on(peer, events, share, &mut stop).await?.await.map_err(|_| Refusal::Unacknowledged)
        };
        match tokio::time::timeout_at(until, settled).await {
            Ok(Ok(true)) => Ok(count),
            Ok(Err(refusal)) => Err(refusal),
            Ok(Ok(false)) | Err(_) => Err(Refusal::Unacknowledged),
        }
    }

    /// What can be said before the body is there.
    fn check_head(&self, head: &Parts) -> Result<(Format, Encoding), Refusal> {
        if *self.stop.borrow() {
            return Err(Refusal::Stopping);
        }
        if let Some(token) = &self.config.token
            && !shows(head, token.expose())
        {
            return Err(Refusal::Unauthorized);
        }
        if self.config.path.as_deref().is_some_and(|path| path != head.uri.path()) {
            return Err(Refusal::NotFound);
        }
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        let format = Format::of(head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes))?;
        let encoding =
            Encoding::of(head.headers.get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes))?;
        Ok((format, encoding))
    }

    /// From a body as it came to its events.
    async fn unpack(
        &self,
        mut body: Body,
        format: Format,
        encoding: Encoding,
    ) -> Result<(Events, Share), Refusal> {
        let bytes_max = self.config.body_bytes_max;
        if encoding != Encoding::Identity {
            // For the moment there are both; what it will be is not known yet.
            let most = body.bytes.len() + bytes_max;
            self.budget.resize(&mut body.share, most).await.map_err(|_| Refusal::NoMemory)?;
            body.bytes = encoding.decode(body.bytes, bytes_max)?;
            body.fit(&self.budget).await?;
        }
        let mut events = Events::of(format, &body.bytes, self.codec, self.max_line)?;
        events.data.shrink_to_fit();
        body.bytes = std::mem::take(&mut events.data);
        body.fit(&self.budget).await?;
        events.data = body.bytes;
        Ok((events, body.share))
    }

    /// Hands events on, all or none unless the outputs block half way; the result tells whether they were settled.
    async fn hand_on(
        &self,
        peer: &Arc<str>,
        events: Events,
        share: Share,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<oneshot::Receiver<bool>, Refusal> {
        let room = async {
            let out = self.out.lock().await;
            out.room().await.map(|()| out)
        };
        let out = tokio::select! {
            biased;
            () = stopped(stop) => return Err(Refusal::Stopping),
            room = tokio::time::timeout(self.config.busy_timeout, room) => match room {
                Ok(Ok(out)) => out,
                Ok(Err(Closed)) => return Err(self.closed()),
                Err(_) => return Err(Refusal::NoRoom),
            },
        };
        let counters = &self.counters;
        counters.events.add(events.count);
        counters.bytes.add(events.data.len() as u64);
        counters.lines_cut.add(events.cut);
        counters.bytes_cut.add(events.cut_bytes);
        self.log.note_cut(&self.input, peer, events.cut);
        let (receipt, settled) = self.receipt();
        let codec = events.codec;
        let mut data = Bytes::from_owner(Held { data: events.data, _share: share });
        while !data.is_empty() {
            let data = data.split_to(chunk_end(&data));
            let chunk = Chunk {
                input: Arc::clone(&self.input),
                source: Arc::clone(&self.source),
                host: Some(Arc::clone(peer)),
                codec,
                read_at_ms: now_ms(),
                data,
                framing: Framing::Lines,
                form: Form::default(),
                receipt: receipt.clone(),
            };
            out.send(chunk).await.map_err(|Closed| self.closed())?;
        }
        receipt.settle();
        Ok(settled)
    }

    fn receipt(&self) -> (Receipt, oneshot::Receiver<bool>) {
        let (tell, settled) = oneshot::channel();
        let counters = Arc::clone(&self.counters);
        counters.chunks_in_flight.add(1);
        let receipt = Receipt::new(move |ok| {
            counters.chunks_in_flight.sub(1);
            if tell.send(ok).is_err() {
                tracing::debug!(ok, "a receipt came back after its client had gone or was answered");
            }
        });
        (receipt, settled)
    }

    fn closed(&self) -> Refusal {
        self.closed.notify_one();
        Refusal::Stopping
    }
}

/// A body's events, and their share of the memory, which goes back when nobody needs them any more.
struct Held {
    data: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// Does a request show this token? How long the comparison takes says nothing of the token but its length.
fn shows(head: &Parts, token: &str) -> bool {
    let shown = head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some((scheme, rest)) = shown.split_at_checked(b"Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(rest.trim_ascii().ct_eq(token.as_bytes()))
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
