//! A record's bytes → its events, with everything checked that the record says of itself.

use std::borrow::Cow;

/// How a record was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// gzip of a header line and NDJSON.
    Gzip,
    /// A header line and NDJSON.
    Ndjson,
    /// One JSON object.
    Event,
}

/// A record's events; produced by [`decode`], which has checked them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// How the record was encoded.
    pub encoding: Encoding,
    /// Events in it.
    pub count: usize,
    body: Cow<'a, [u8]>,
}

/// Why a record's bytes are not what a forwarder may send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("the record is empty")]
    Empty,
    /// The gzip stream is damaged or cut.
    #[error("the gzip stream is damaged: {0}")]
    Gzip(String),
    /// Bytes after the end of the gzip stream.
    #[error("{0} bytes follow the end of the gzip stream")]
    Trailing(usize),
    /// More than the decoder is willing to unpack.
    #[error("the record unpacks to more than {0} bytes")]
    TooLarge(usize),
    /// The first line is no header line.
    #[error("no header line, the record begins with `{0}`")]
    Header(String),
    /// The header's count is wrong.
    #[error("the header says {header} events, there are {found}")]
    Count {
        /// What the header says.
        header: u64,
        /// What is there.
        found: u64,
    },
    /// The header's size is wrong.
    #[error("the header says {header} bytes, there are {found}")]
    Size {
        /// What the header says.
        header: u64,
        /// What is there.
        found: u64,
    },
    /// The last event does not end with a newline.
    #[error("the last event does not end with a newline")]
    Unfinished,
    /// An event is no JSON object.
    #[error("event {index} is no JSON object ({reason}): `{start}`")]
    Event {
        /// Which, from 0.
        index: usize,
        /// What the parser says.
        reason: String,
        /// How the event begins.
        start: String,
    },
}

/// Checks a record and gives its events.
///
/// # Errors
/// When the compression, the header line or an event is not right; each [`DecodeError`] says what was found.
pub fn decode(_data: &[u8]) -> Result<Decoded<'_>, DecodeError> {
    todo!()
}

impl Decoded<'_> {
    /// The events in order, without their newlines.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        self.body.split(|byte| *byte == b'\n').take(self.count)
    }
}
