//! Fills a buffer with events and says when it is full or due. Pure: time is an argument.
//!
//! The caller writes each event straight into the open buffer; nothing is allocated per event
//! (with [`Format::Event`] the partition keys go to one string for all of them).

use std::time::Duration;

use crate::batch::Format;
use crate::encode::Sealed;

/// Where a record's partition key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionKey {
    /// A fresh random key per record: spreads evenly over the shards.
    Random,
    /// The same key for all: one shard, in order. 1 to 256 UTF-16 units.
    Fixed(String),
    /// The value of a top-level field of the event (of the first event, where a record holds many).
    /// Random where the field is missing or empty. Longer values are cut to 256 UTF-16 units.
    Field(String),
}

/// When a batch is full.
#[derive(Clone, Debug)]
pub struct BatcherOptions {
    /// What the records look like. Not [`Format::Opaque`].
    pub format: Format,
    /// Bytes of one record before compression, header line included, and the partition key too
    /// unless the format is gzip.
    pub record_bytes_max: usize,
    /// With [`Format::Event`]: records in a batch, 1 to 500. Otherwise not used.
    pub records_max: usize,
    /// With [`Format::Event`]: bytes of all records with their keys. Otherwise not used.
    pub request_bytes_max: usize,
    /// How long the first event of a batch waits for company.
    pub flush_period: Duration,
    /// Where the partition keys come from.
    pub partition_key: PartitionKey,
}

impl Default for BatcherOptions {
    fn default() -> Self {
        BatcherOptions {
            format: Format::Gzip,
            record_bytes_max: crate::limits::RECORD_BYTES_DEFAULT_MAX,
            records_max: crate::limits::REQUEST_RECORDS_MAX,
            request_bytes_max: crate::limits::REQUEST_BYTES_TARGET,
            flush_period: Duration::from_secs(1),
            partition_key: PartitionKey::Random,
        }
    }
}

/// What became of one event that was pushed.
#[derive(Debug, Default)]
#[must_use = "a sealed batch that is dropped is lost"]
pub struct Push {
    /// The event did not fit beside the earlier ones: here they are. The event is in a new batch.
    pub sealed_before: Option<Sealed>,
    /// The batch is full with this event: here it is, the event included.
    pub full: Option<Sealed>,
    /// The event can never fit into a record: its bytes, handed back, in no batch.
    pub oversize: Option<Vec<u8>>,
}

/// Collects events into batches.
#[derive(Debug)]
pub struct Batcher {
    options: BatcherOptions,
}

impl Batcher {
    /// An empty batcher. Panics on options that make no sense (no room for an event, opaque).
    pub fn new(options: BatcherOptions) -> Batcher {
        Batcher { options }
    }

    /// Adds one event: `write` appends one JSON object (no newline after it) to the buffer that it
    /// is given, and must not touch what is there. `now` is monotonic, `time_ms` the event's own
    /// time in milliseconds since the Unix epoch. Line feeds inside the object, which JSON allows
    /// only between tokens, become spaces.
    pub fn push(&mut self, now: Duration, time_ms: i64, write: impl FnOnce(&mut Vec<u8>)) -> Push {
        todo!(
            "{now:?} {time_ms} {:?} {}",
            self.options,
            write(&mut Vec::new()) == ()
        )
    }

    /// When the open batch has to be sealed, by the clock of `push`. `None` when it is empty.
    pub fn deadline(&self) -> Option<Duration> {
        todo!()
    }

    /// Events in the open batch.
    pub fn events(&self) -> u32 {
        todo!()
    }

    /// Bytes in the open buffer.
    pub fn bytes(&self) -> usize {
        todo!()
    }

    /// Closes the open batch and hands it out. `None` when it is empty.
    pub fn seal(&mut self) -> Option<Sealed> {
        todo!()
    }

    /// Gives a buffer back for the next batch. One is kept.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        todo!("{buffer:?}")
    }
}
