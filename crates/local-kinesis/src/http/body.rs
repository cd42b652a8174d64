//! Bodies: reading those of requests within bounds, and those of answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::SemaphorePermit;

use crate::endpoint::Endpoint;
use crate::events::lines_of;
use crate::{KeptRecord, Limits};

/// The largest request: 10 MiB in base64, with 500 keys of 256 characters, each written as an escape, and field names.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 << 20;
const _: () = assert!(REQUEST_BYTES_MAX > (10 << 20) / 3 * 4 + 500 * (256 * 6 + 256));
/// The largest request to `/_local/…`.
pub(crate) const CONTROL_BYTES_MAX: usize = 64 << 10;

/// A request's body, and its share of the room for bodies.
pub(crate) struct Request<'a> {
    pub(crate) bytes: Vec<u8>,
    _room: SemaphorePermit<'a>,
}

/// Why a body could not be read.
pub(crate) enum Unread {
    /// More than the limit.
    TooLarge,
    /// The client went away.
    Broken,
}

/// Reads a body of at most `limit` bytes; waits while other requests fill the room for bodies.
pub(crate) async fn read(
    endpoint: &Endpoint,
    mut body: Incoming,
    limit: usize,
) -> Result<Request<'_>, Unread> {
    let hint = body.size_hint();
    if hint.lower() > limit as u64 {
        return Err(Unread::TooLarge);
    }
    // A body of unknown length may become as large as allowed.
    let most = hint.upper().and_then(|upper| usize::try_from(upper).ok()).unwrap_or(limit).min(limit);
    let room = endpoint.body_room.acquire_many(kib(most).min(room_kib(&endpoint.limits))).await;
    let room = room.expect("the semaphore is never closed");
    let mut bytes = Vec::with_capacity(usize::try_from(hint.lower()).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    endpoint.tally.body(bytes.len());
    Ok(Request { bytes, _room: room })
}

/// The room for bodies, in KiB.
pub(crate) fn room_kib(limits: &Limits) -> u32 {
    kib(limits.body_bytes_in_flight_max)
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(1)
}

/// The body of an answer.
pub(crate) enum Payload {
    /// In one piece.
    Whole(Bytes),
    /// The events of these records as lines, unpacked record by record as they are sent.
    Events(std::vec::IntoIter<KeptRecord>),
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            Self::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Self::Events(records) => records.next().map(|record| lines_of(&record.data).0.into()),
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
