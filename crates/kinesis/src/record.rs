//! The header line in front of NDJSON, and partition keys: what a record looks like besides its
//! events.

/// `{"format":"ndjson","count":N,"size":S}` and `\n`, at its longest.
pub const HEADER_BYTES_MAX: usize = 60;

/// What the header line of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Events in the record.
    pub count: u32,
    /// Bytes after the header line, before compression, with one `\n` after each event.
    pub size: u64,
}
