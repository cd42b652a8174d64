//! The unit of everything: events sealed together and encoded once.
//!
//! A batch holds one or more Kinesis records, byte for byte as they go to the service, with a small
//! table in front: where each record ends, and its partition key. What a queue stores is
//! [`Batch::to_payload`]; [`Batch::from_payload`] reads it back without copying and without
//! trusting it.
//!
//! Nothing here assumes that this program encoded the records: a batch of [`Format::Opaque`] holds
//! whatever bytes and keys somebody else chose.
//!
//! # The payload, version 1
//!
//! All integers are little-endian. `n` is the number of records.
//!
//! ```text
//!  offset          size    field
//!  0               1       version = 1
//!  1               1       flags: bit 0 = there is a column of explicit hash keys; others zero
//!  2               2       reserved = 0
//!  4               4       n, at least 1
//!  8               8·n     per record: data_end u32, key_end u32 (bit 31: has an explicit hash key)
//!  8+8n            16·n    only with flag bit 0: explicit hash key u128 (0 where bit 31 is clear)
//!  …               k       partition keys, UTF-8, one after the other; k = key_end of the last
//!  …               d       data of the records, one after the other; d = data_end of the last
//! ```
//!
//! Ends are exclusive and relative to the begin of their area; the first record starts at 0. They
//! never go backwards. The payload ends with the data: a byte more or less is an error.

use bytes::Bytes;

/// What the records of a batch look like. The codes go to disk and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Format {
    /// One record: gzip of a header line and NDJSON.
    Gzip = 1,
    /// One record: a header line and NDJSON, not compressed.
    Ndjson = 2,
    /// One record per event: a JSON object, no header, no newline, not compressed.
    Event = 3,
    /// Records that somebody else encoded, passed on unchanged.
    Opaque = 4,
}

impl Format {
    /// The code that goes to disk.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The format with this code; `None` for a code that this version does not know.
    pub fn from_code(code: u8) -> Option<Format> {
        match code {
            1 => Some(Format::Gzip),
            2 => Some(Format::Ndjson),
            3 => Some(Format::Event),
            4 => Some(Format::Opaque),
            _ => None,
        }
    }
}

/// What is known of a batch besides its records. The queue stores these beside the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMeta {
    /// What the records look like.
    pub format: Format,
    /// Events in all records together.
    pub events: u32,
    /// Bytes of the events before compression: the NDJSON body, or the sum of the events.
    pub raw_bytes: u64,
    /// Event time of the earliest event, milliseconds since the Unix epoch.
    pub first_time_ms: i64,
    /// Event time of the latest event, milliseconds since the Unix epoch.
    pub last_time_ms: i64,
}

/// Records that are sent, retried, stored and acknowledged together. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the records look like.
    pub format: Format,
    /// Events in all records together.
    pub events: u32,
    /// Bytes of the events before compression: the NDJSON body, or the sum of the events.
    pub raw_bytes: u64,
    /// Event time of the earliest event, milliseconds since the Unix epoch.
    pub first_time_ms: i64,
    /// Event time of the latest event, milliseconds since the Unix epoch.
    pub last_time_ms: i64,
    /// Everything of the payload in front of the data.
    table: Bytes,
    data: Bytes,
}

/// One Kinesis record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The partition key, 1 to 256 UTF-16 units if it is to be accepted.
    pub partition_key: &'a str,
    /// The hash that places the record, instead of the MD5 of the partition key.
    pub explicit_hash_key: Option<u128>,
    /// The bytes of the record before base64. Shares the memory of the batch.
    pub data: Bytes,
}

impl RecordRef<'_> {
    /// What the service counts: data before base64, and the partition key.
    pub fn wire_bytes(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// Why bytes are not a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The payload was written by a later version of this program.
    #[error(
        "batch payload has version {found}, this program reads version 1: use a newer millpond"
    )]
    Version {
        /// The version that it says it has.
        found: u8,
    },
    /// The payload contradicts itself.
    #[error("batch payload is not valid: {what} at byte {offset}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// Where in the payload.
        offset: usize,
    },
}

impl Batch {
    /// A batch of records that are there already. At least one record; data and keys together stay
    /// below 2 GiB.
    pub fn from_records(meta: BatchMeta, records: &[RecordRef<'_>]) -> Batch {
        todo!("{meta:?} {records:?}")
    }

    /// Reads what [`Batch::to_payload`] wrote. Copies nothing: the batch shares the memory of
    /// `payload`. Every offset is checked before it is used.
    pub fn from_payload(meta: BatchMeta, payload: Bytes) -> Result<Batch, BatchError> {
        todo!("{meta:?} {payload:?}")
    }

    /// What a queue stores: the record table, then the data. Neither is copied.
    pub fn to_payload(&self) -> [Bytes; 2] {
        [self.table.clone(), self.data.clone()]
    }

    /// Everything but the records.
    pub fn meta(&self) -> BatchMeta {
        todo!()
    }

    /// Number of records, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// The record with this index. Panics when there is none.
    pub fn record(&self, index: usize) -> RecordRef<'_> {
        todo!("{index}")
    }

    /// All records, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = RecordRef<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }

    /// What the service counts for all records together: data before base64, and partition keys.
    pub fn wire_bytes(&self) -> u64 {
        todo!()
    }

    /// A batch of some of the records, in the order given (a copy). `events` and `raw_bytes` are
    /// those of the chosen records where that is known ([`Format::Event`]: one each), else those of
    /// the whole batch.
    pub fn subset(&self, indexes: &[u32]) -> Batch {
        todo!("{indexes:?}")
    }
}
