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
    #[error("batch payload has version {found}, this program reads version 1: use a newer millpond")]
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

/// Bytes in front of the per-record entries.
const TABLE_HEADER: usize = 8;
/// Bytes of one entry.
const ENTRY: usize = 8;
/// Bytes of one explicit hash key.
const HASH: usize = 16;
/// The version of the payload that this program writes.
const VERSION: u8 = 1;
/// There is a column of explicit hash keys.
const FLAG_HASHES: u8 = 1;
/// In `key_end`: the record has an explicit hash key.
const KEY_END_HAS_HASH: u32 = 1 << 31;

impl Batch {
    /// A batch of records that are there already (their data is copied). At least one record; data
    /// and keys together stay below 2 GiB.
    pub fn from_records(meta: BatchMeta, records: &[RecordRef<'_>]) -> Batch {
        let mut builder = TableBuilder::default();
        let mut data = Vec::with_capacity(records.iter().map(|record| record.data.len()).sum());
        for record in records {
            data.extend_from_slice(&record.data);
            builder.keys.push_str(record.partition_key);
            builder.end_record(data.len(), record.explicit_hash_key);
        }
        builder.build(meta, Bytes::from(data))
    }

    /// Reads what [`Batch::to_payload`] wrote. Copies nothing: the batch shares the memory of
    /// `payload`. Every offset is checked here, so that reading records cannot fail later.
    pub fn from_payload(meta: BatchMeta, payload: Bytes) -> Result<Batch, BatchError> {
        let table_len = check_table(&payload)?;
        let mut table = payload;
        let data = table.split_off(table_len);
        Ok(Batch::assemble(meta, table, data))
    }

    /// What a queue stores: the record table, then the data. Neither is copied.
    pub fn to_payload(&self) -> [Bytes; 2] {
        [self.table.clone(), self.data.clone()]
    }

    fn assemble(meta: BatchMeta, table: Bytes, data: Bytes) -> Batch {
        Batch {
            format: meta.format,
            events: meta.events,
            raw_bytes: meta.raw_bytes,
            first_time_ms: meta.first_time_ms,
            last_time_ms: meta.last_time_ms,
            table,
            data,
        }
    }

    /// Everything but the records.
    pub fn meta(&self) -> BatchMeta {
        BatchMeta {
            format: self.format,
            events: self.events,
            raw_bytes: self.raw_bytes,
            first_time_ms: self.first_time_ms,
            last_time_ms: self.last_time_ms,
        }
    }

    /// Number of records, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        u32_at(&self.table, 4) as usize
    }

    /// The record with this index. Panics when there is none.
    pub fn record(&self, index: usize) -> RecordRef<'_> {
        let count = self.len();
        assert!(index < count, "record {index} of a batch of {count}");
        let begin = index.checked_sub(1).map_or(Entry::default(), |before| self.entry(before));
        let end = self.entry(index);
        let hashes = TABLE_HEADER + count * ENTRY;
        let keys = hashes + if self.has_hashes() { count * HASH } else { 0 };
        let key = &self.table[keys + begin.key_end as usize..keys + end.key_end as usize];
        RecordRef {
            partition_key: std::str::from_utf8(key).expect("keys were checked when the batch was made"),
            explicit_hash_key: end.has_hash.then(|| u128_at(&self.table, hashes + index * HASH)),
            data: self.data.slice(begin.data_end as usize..end.data_end as usize),
        }
    }

    fn entry(&self, index: usize) -> Entry {
        Entry::read(&self.table, index)
    }

    fn has_hashes(&self) -> bool {
        self.table[1] & FLAG_HASHES != 0
    }

    /// All records, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = RecordRef<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }

    /// What the service counts for all records together: data before base64, and partition keys.
    pub fn wire_bytes(&self) -> u64 {
        let last = self.entry(self.len() - 1);
        u64::from(last.data_end) + u64::from(last.key_end)
    }

    /// A batch of some of the records, in the order given (a copy; at least one). `events` and
    /// `raw_bytes` are those of the chosen records where that is known ([`Format::Event`]: a record
    /// is an event), else those of the whole batch.
    pub fn subset(&self, indexes: &[u32]) -> Batch {
        let records: Vec<_> = indexes.iter().map(|index| self.record(*index as usize)).collect();
        let mut meta = self.meta();
        if self.format == Format::Event {
            meta.events = records.len() as u32;
            meta.raw_bytes = records.iter().map(|record| record.data.len() as u64).sum();
        }
        Batch::from_records(meta, &records)
    }
}

/// Collects the table of a batch record by record.
#[derive(Debug, Default)]
pub(crate) struct TableBuilder {
    /// The keys so far; the caller appends that of a record before it ends the record.
    pub(crate) keys: String,
    entries: Vec<(u32, u32)>,
    hashes: Vec<u128>,
}

impl TableBuilder {
    /// The data of one more record ends at `data_end`, and its key at the end of `keys`.
    pub(crate) fn end_record(&mut self, data_end: usize, explicit_hash_key: Option<u128>) {
        let data_end = u32::try_from(data_end).expect("a batch holds less than 4 GiB");
        let mut key_end = u32::try_from(self.keys.len()).expect("keys take less than 2 GiB");
        assert!(key_end < KEY_END_HAS_HASH, "keys take less than 2 GiB");
        if let Some(hash) = explicit_hash_key {
            self.hashes.resize(self.entries.len(), 0);
            self.hashes.push(hash);
            key_end |= KEY_END_HAS_HASH;
        }
        self.entries.push((data_end, key_end));
    }

    /// Records so far.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The batch of these records and their data.
    pub(crate) fn build(mut self, meta: BatchMeta, data: Bytes) -> Batch {
        let count = self.entries.len();
        assert!(count > 0, "a batch has at least one record");
        let data_end = self.entries[count - 1].0 as usize;
        assert_eq!(data_end, data.len(), "the last record ends with the data");
        let has_hashes = !self.hashes.is_empty();
        if has_hashes {
            self.hashes.resize(count, 0);
        }
        let size = TABLE_HEADER + count * ENTRY + self.hashes.len() * HASH + self.keys.len();
        let mut table = Vec::with_capacity(size);
        table.extend_from_slice(&[VERSION, if has_hashes { FLAG_HASHES } else { 0 }, 0, 0]);
        table.extend_from_slice(&(count as u32).to_le_bytes());
        for (data_end, key_end) in &self.entries {
            table.extend_from_slice(&data_end.to_le_bytes());
            table.extend_from_slice(&key_end.to_le_bytes());
        }
        for hash in &self.hashes {
            table.extend_from_slice(&hash.to_le_bytes());
        }
        table.extend_from_slice(self.keys.as_bytes());
        assert_eq!(table.len(), size, "the table is as long as computed");
        Batch::assemble(meta, Bytes::from(table), data)
    }
}

#[derive(Clone, Copy, Default)]
struct Entry {
    data_end: u32,
    key_end: u32,
    has_hash: bool,
}

impl Entry {
    fn read(table: &[u8], index: usize) -> Entry {
        let offset = TABLE_HEADER + index * ENTRY;
        let key_end = u32_at(table, offset + 4);
        Entry {
            data_end: u32_at(table, offset),
            key_end: key_end & !KEY_END_HAS_HASH,
            has_hash: key_end & KEY_END_HAS_HASH != 0,
        }
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

fn u128_at(bytes: &[u8], offset: usize) -> u128 {
    u128::from_le_bytes(bytes[offset..offset + HASH].try_into().expect("sixteen bytes"))
}

/// Checks everything that reading records relies on. Returns where the data begins.
fn check_table(payload: &[u8]) -> Result<usize, BatchError> {
    let invalid = |what, offset| Err(BatchError::Invalid { what, offset });
    let Some(&version) = payload.first() else {
        return invalid("nothing there", 0);
    };
    if version != VERSION {
        return Err(BatchError::Version { found: version });
    }
    if payload.len() < TABLE_HEADER {
        return invalid("shorter than its header", payload.len());
    }
    if payload[1] & !FLAG_HASHES != 0 || payload[2..4] != [0, 0] {
        return invalid("unknown flags", 1);
    }
    let count = u32_at(payload, 4) as usize;
    if count == 0 {
        return invalid("no records", 4);
    }
    let has_hashes = payload[1] & FLAG_HASHES != 0;
    let per_record = ENTRY + if has_hashes { HASH } else { 0 };
    let keys = match count.checked_mul(per_record).and_then(|size| size.checked_add(TABLE_HEADER)) {
        Some(keys) if keys <= payload.len() => keys,
        _ => return invalid("more records than there is room for", 4),
    };
    let last = Entry::read(payload, count - 1);
    let table_len = keys + last.key_end as usize;
    if table_len.checked_add(last.data_end as usize) != Some(payload.len()) {
        return invalid("the records do not end with the payload", TABLE_HEADER);
    }
    let mut before = Entry::default();
    for index in 0..count {
        let entry = Entry::read(payload, index);
        let offset = TABLE_HEADER + index * ENTRY;
        if entry.data_end < before.data_end || entry.key_end < before.key_end {
            return invalid("a record ends before it begins", offset);
        }
        if entry.has_hash && !has_hashes {
            return invalid("a hash key without a column for it", offset);
        }
        if entry.key_end > last.key_end {
            return invalid("a key beyond the last one", offset);
        }
        let key = &payload[keys + before.key_end as usize..keys + entry.key_end as usize];
        if std::str::from_utf8(key).is_err() {
            return invalid("a partition key that is not UTF-8", keys + before.key_end as usize);
        }
        before = entry;
    }
    Ok(table_len)
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
