//! Why a request gets no 200, and what its client is told.

use super::outcome::Outcome;

/// Why a request gets no 200: in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the token is missing or wrong: send it as `Authorization: Bearer TOKEN`")]
    Unauthorized,
    #[error("events are taken at another path: ask whoever configured this input for it")]
    NotFound,
    #[error("events are taken by POST only")]
    Method,
    #[error(
        "the content type {0:?} is not known: send `Content-Type: application/x-ndjson` (an object a line), \
         `application/json` (objects, or arrays of objects), or `text/plain` (lines)"
    )]
    MediaType(String),
    #[error("the content encoding {0:?} is not known: send the body as gzip or zstd, or not compressed")]
    Encoding(String),
    #[error("the body has more than {0} bytes ({1}): send fewer events at once, or raise `max_body`")]
    BodyTooLarge(usize, &'static str),
    #[error(
        "event {index} has {bytes} bytes, and the longest allowed has {max}: make it smaller, or raise `max_line`"
    )]
    EventTooLarge { index: u64, bytes: usize, max: usize },
    #[error("{0}; nothing of the body was taken")]
    Malformed(String),
    #[error("the body breaks off: {0}")]
    Broken(String),
    #[error("the body came too slowly: send it again, in smaller parts if the line is slow")]
    Slow,
    #[error("there is no memory for more bodies now; nothing was taken: send it again later")]
    NoMemory,
    #[error("the outputs take no more events now; nothing was taken: send it again later")]
    NoRoom,
    #[error(
        "the events were handed on, and are neither delivered nor on disk yet: send them again; they may arrive twice"
    )]
    Unacknowledged,
    #[error("this input is stopping: send it again later")]
    Stopping,
}

impl Refusal {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Unauthorized => Outcome::Unauthorized,
            Self::NotFound => Outcome::NotFound,
            Self::Method => Outcome::Method,
            Self::MediaType(_) | Self::Encoding(_) => Outcome::MediaType,
            Self::BodyTooLarge(..) | Self::EventTooLarge { .. } => Outcome::TooLarge,
            Self::Malformed(_) => Outcome::Malformed,
            Self::Broken(_) => Outcome::Broken,
            Self::Slow => Outcome::Slow,
            Self::NoMemory | Self::NoRoom => Outcome::Busy,
            Self::Unacknowledged => Outcome::Unacknowledged,
            Self::Stopping => Outcome::Stopping,
        }
    }
}
