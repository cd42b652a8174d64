//! Reads records back into events, for people and for proofs. Reads what anyone wrote: every size
//! is checked before memory is given to it.

use crate::batch::Format;
use crate::record::Header;
use bytes::Bytes;

/// A record, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The header line, if the record has one.
    pub header: Option<Header>,
    /// The events: NDJSON, or one JSON object; for an opaque record its bytes.
    pub body: Bytes,
}

/// Why a record cannot be read as its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not gzip, or damaged.
    #[error("the record is not valid gzip: {0}")]
    Gzip(String),
    /// More than the caller allows.
    #[error("the record is larger than {bytes_max} bytes when unpacked")]
    TooLarge {
        /// The limit given.
        bytes_max: usize,
    },
    /// The first line is not a header.
    #[error("the record does not begin with a header line: {0}")]
    Header(String),
    /// The header promises something else than the body holds.
    #[error(
        "the header says {header_count} events in {header_size} bytes, the body has {count} in {size}"
    )]
    Mismatch {
        /// Events by the header.
        header_count: u32,
        /// Bytes by the header.
        header_size: u64,
        /// Events found.
        count: u64,
        /// Bytes found.
        size: u64,
    },
}

impl Decoded {
    /// The events, in order, without their newline. An opaque record is one event.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        [].into_iter()
    }
}

/// Decodes one record and compares the header with what is there. `bytes_max` bounds the unpacked
/// bytes.
pub fn decode(format: Format, data: &Bytes, bytes_max: usize) -> Result<Decoded, DecodeError> {
    todo!("{format:?} {data:?} {bytes_max}")
}

/// Finds out what a record of unknown origin is (by its first bytes) and decodes it: for records
/// that were read back from a stream.
pub fn sniff(data: &[u8]) -> Format {
    todo!("{data:?}")
}
