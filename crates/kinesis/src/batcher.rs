//! Fills a buffer with events and says when it is full or due. Pure: time is an argument.
//!
//! The caller writes each event straight into the open buffer; nothing is allocated per event
//! (with [`Format::Event`] the partition keys go to one string for all of them).

use std::sync::Arc;
use std::time::Duration;

use crate::batch::{BatchMeta, Format, TableBuilder};
use crate::encode::{Sealed, Spares};
use crate::limits;
use crate::record::{self, HEADER_BYTES_MAX};

/// Where a record's partition key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionKey {
    /// A fresh random key per record: spreads evenly over the shards.
    Random,
    /// The same key for all: one shard, in order. 1 to 256 UTF-16 units.
    Fixed(String),
    /// The value of a top-level field of the event (of the first event, where a record holds many).
    /// Random where the field is missing, empty or not a scalar. Longer values are cut to 256
    /// UTF-16 units.
    Field(String),
}

/// When a batch is full.
#[derive(Clone, Debug)]
pub struct BatcherOptions {
    /// What the records look like. Not [`Format::Opaque`].
    pub format: Format,
    /// Bytes of one record before compression, header line included, and the partition key too
    /// unless the format is gzip. 1 KiB to 10 MiB.
    pub record_bytes_max: usize,
    /// With [`Format::Event`]: records in a batch, 1 to 500. Otherwise not used.
    pub records_max: usize,
    /// With [`Format::Event`]: bytes of all records with their keys; an event that is larger by
    /// itself has a batch of its own. 1 KiB to 10 MiB. Otherwise not used.
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
            record_bytes_max: limits::RECORD_BYTES_DEFAULT_MAX,
            records_max: limits::REQUEST_RECORDS_MAX,
            request_bytes_max: limits::REQUEST_BYTES_TARGET,
            flush_period: Duration::from_secs(1),
            partition_key: PartitionKey::Random,
        }
    }
}

/// What came of an event that was pushed, besides its being in the open batch.
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
    open: Open,
    spares: Arc<Spares>,
    random: fastrand::Rng,
}

/// The batch being filled. `events` is 0 when it is empty; then the rest means nothing.
#[derive(Debug, Default)]
struct Open {
    buffer: Vec<u8>,
    events: u32,
    table: TableBuilder,
    opened_at: Duration,
    first_time_ms: i64,
    last_time_ms: i64,
}

/// `{}` and a line feed: with less room than that, a record is full.
const EVENT_BYTES_MIN: usize = 3;

/// A buffer starts with this, and has this to spare beyond its limit, so that the event which turns
/// out not to fit seldom makes it grow.
const BUFFER_SLACK: usize = 64 * 1024;

/// What a full batch needs.
fn buffer_target(options: &BatcherOptions) -> usize {
    let batch_bytes_max = match options.format {
        Format::Event => options.request_bytes_max,
        Format::Gzip | Format::Ndjson | Format::Opaque => options.record_bytes_max,
    };
    batch_bytes_max + BUFFER_SLACK
}

impl Batcher {
    /// An empty batcher. Panics on options out of range.
    pub fn new(options: BatcherOptions) -> Batcher {
        Batcher::with_random(options, fastrand::Rng::new())
    }

    /// An empty batcher whose random keys follow from a seed: for tests.
    pub fn with_seed(options: BatcherOptions, seed: u64) -> Batcher {
        Batcher::with_random(options, fastrand::Rng::with_seed(seed))
    }

    fn with_random(options: BatcherOptions, random: fastrand::Rng) -> Batcher {
        assert!(options.format != Format::Opaque, "events are not opaque records");
        assert!((1024..=limits::RECORD_BYTES_MAX).contains(&options.record_bytes_max));
        assert!((1..=limits::REQUEST_RECORDS_MAX).contains(&options.records_max));
        assert!((1024..=limits::REQUEST_BYTES_MAX).contains(&options.request_bytes_max));
        if let PartitionKey::Fixed(key) = &options.partition_key {
            assert!(record::is_legal_key(key), "a partition key has 1 to 256 UTF-16 units");
        }
        let spares = Arc::new(Spares::new(2 * buffer_target(&options)));
        Batcher { options, open: Open::default(), spares, random }
    }

    /// Adds one event: `write` appends one JSON object on one line (no line feed in it, nor after
    /// it) to the buffer that it is given, and must not touch what is there. `now` is monotonic,
    /// `time_ms` the event's own time in milliseconds since the Unix epoch. Writing nothing adds
    /// nothing. `None`: the event is in the open batch, as nearly all are, and that is all.
    pub fn push(
        &mut self,
        now: Duration,
        time_ms: i64,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Box<Push>> {
        self.make_room();
        let begin = self.open.buffer.len();
        write(&mut self.open.buffer);
        assert!(self.open.buffer.len() >= begin, "an event is appended, nothing is taken away");
        if self.open.buffer.len() == begin {
            return None;
        }
        debug_assert!(!self.open.buffer[begin..].contains(&b'\n'), "an event is one line");
        if self.has_ample_room() {
            self.add(now, time_ms);
            return None;
        }
        self.push_exactly(now, time_ms, begin)
    }

    /// Whether the event at the end of the buffer and another one fit beside the earlier ones, whatever the header line
    /// says in the end: so that not every event has to be measured to the byte.
    fn has_ample_room(&self) -> bool {
        self.options.format != Format::Event
            && self.open.events > 0
            && self.open.buffer.len() + self.open.table.keys.len() + 1 + EVENT_BYTES_MIN
                <= self.options.record_bytes_max
    }

    /// Decides about the event at `begin` to the byte.
    fn push_exactly(&mut self, now: Duration, time_ms: i64, begin: usize) -> Option<Box<Push>> {
        let key_begin = self.open.table.keys.len();
        let mut begins_record = self.open.events == 0 || self.options.format == Format::Event;
        if begins_record {
            self.choose_key(begin);
        }
        let fits_beside = self.open.events == 0 || self.fits_beside();
        if !fits_beside && !begins_record {
            begins_record = true;
            self.choose_key(begin);
        }
        if begins_record && self.never_fits(begin, key_begin) {
            self.open.table.keys.truncate(key_begin);
            let event = self.open.buffer.split_off(begin);
            return Some(Box::new(Push { oversize: Some(event), ..Push::default() }));
        }
        let sealed_before = (!fits_beside).then(|| self.seal_before(begin, key_begin));
        self.add(now, time_ms);
        let full = if self.is_full() { self.seal() } else { None };
        let is_news = sealed_before.is_some() || full.is_some();
        is_news.then(|| Box::new(Push { sealed_before, full, oversize: None }))
    }

    /// An event of at most this many bytes always fits, whatever its key and its neighbours: what an
    /// oversize event has to be cut to.
    pub fn event_bytes_max(&self) -> usize {
        let max = self.options.record_bytes_max;
        let key = match &self.options.partition_key {
            PartitionKey::Random => record::RANDOM_KEY_BYTES,
            PartitionKey::Fixed(key) => key.len(),
            PartitionKey::Field(_) => limits::PARTITION_KEY_BYTES_MAX,
        };
        max - (self.record_bytes(1, max, key) - max) - 1
    }

    /// When the open batch has to be sealed, by the clock of `push`. `None` when it is empty.
    pub fn deadline(&self) -> Option<Duration> {
        (self.open.events > 0).then(|| self.open.opened_at.saturating_add(self.options.flush_period))
    }

    /// Events in the open batch.
    pub fn events(&self) -> u32 {
        self.open.events
    }

    /// Bytes of the events in the open batch.
    pub fn bytes(&self) -> usize {
        self.open.buffer.len().saturating_sub(self.room())
    }

    /// Closes the open batch and hands it out. `None` when it is empty.
    pub fn seal(&mut self) -> Option<Sealed> {
        if self.open.events == 0 {
            return None;
        }
        let raw_bytes = self.bytes() as u64;
        let open = std::mem::take(&mut self.open);
        Some(Sealed {
            meta: BatchMeta {
                format: self.options.format,
                events: open.events,
                raw_bytes,
                first_time_ms: open.first_time_ms,
                last_time_ms: open.last_time_ms,
            },
            buffer: open.buffer,
            table: open.table,
            spares: Arc::clone(&self.spares),
        })
    }

    /// Lets go of buffers that have come back from encoding: there is not enough to do for them.
    pub fn release_spares(&self) {
        self.spares.clear();
    }

    /// Bytes kept free in front of the events for the header line.
    fn room(&self) -> usize {
        match self.options.format {
            Format::Event | Format::Opaque => 0,
            Format::Gzip | Format::Ndjson => HEADER_BYTES_MAX,
        }
    }

    /// Prepares the buffer for one more event. Grows it by doubling, but never beyond what a full
    /// batch needs: plain doubling would hold twice the limit.
    fn make_room(&mut self) {
        if self.open.buffer.is_empty() {
            let mut buffer = self.spares.take();
            buffer.resize(self.room(), 0);
            self.open.buffer = buffer;
        }
        let target = buffer_target(&self.options);
        let buffer = &mut self.open.buffer;
        if buffer.capacity() < target && buffer.capacity() - buffer.len() < BUFFER_SLACK / 4 {
            let capacity = (2 * buffer.capacity()).max(BUFFER_SLACK).min(target);
            buffer.reserve_exact(capacity - buffer.len());
        }
    }

    /// Appends the key of the record that the event at `begin` starts.
    fn choose_key(&mut self, begin: usize) {
        let keys = &mut self.open.table.keys;
        match &self.options.partition_key {
            PartitionKey::Random => record::push_random_key(&mut self.random, keys),
            PartitionKey::Fixed(key) => keys.push_str(key),
            PartitionKey::Field(name) => {
                let key_begin = keys.len();
                if record::push_field_value(&self.open.buffer[begin..], name, keys) {
                    let key = record::cut_to_key(&keys[key_begin..]).len();
                    keys.truncate(key_begin + key);
                } else {
                    record::push_random_key(&mut self.random, keys);
                }
            }
        }
    }

    /// Bytes of one record that holds only a body of `body` bytes with `events` events.
    fn record_bytes(&self, events: u32, body: usize, key: usize) -> usize {
        let size = u32::try_from(body).unwrap_or(u32::MAX);
        match self.options.format {
            Format::Gzip => record::header_len(events, size) + body,
            Format::Ndjson => record::header_len(events, size) + body + key,
            Format::Event | Format::Opaque => body + key,
        }
    }

    /// Whether the event at `begin`, with the key that was chosen for it, is too large for a record
    /// of its own.
    fn never_fits(&self, begin: usize, key_begin: usize) -> bool {
        let size = self.open.buffer.len() - begin;
        let key = self.open.table.keys.len() - key_begin;
        let body = match self.options.format {
            Format::Event => size,
            Format::Gzip | Format::Ndjson | Format::Opaque => size + 1,
        };
        self.record_bytes(1, body, key) > self.options.record_bytes_max
    }

    /// Whether the event at the end of the buffer fits into the batch that earlier events opened.
    /// With [`Format::Event`] its key is chosen already and counts.
    fn fits_beside(&self) -> bool {
        let body = self.open.buffer.len() - self.room();
        let keys = self.open.table.keys.len();
        match self.options.format {
            Format::Event => body + keys <= self.options.request_bytes_max,
            Format::Gzip | Format::Ndjson | Format::Opaque => {
                self.record_bytes(self.open.events + 1, body + 1, keys) <= self.options.record_bytes_max
            }
        }
    }

    /// Seals what came before the event at `begin` and moves that event to a new batch.
    fn seal_before(&mut self, begin: usize, key_begin: usize) -> Sealed {
        let mut buffer = self.spares.take();
        buffer.reserve(self.room() + self.open.buffer.len() - begin + 1);
        buffer.resize(self.room(), 0);
        buffer.extend_from_slice(&self.open.buffer[begin..]);
        self.open.buffer.truncate(begin);
        let key = self.open.table.keys.split_off(key_begin);
        let sealed = self.seal().expect("there are events before this one");
        self.open.buffer = buffer;
        self.open.table.keys = key;
        sealed
    }

    /// Counts the event at the end of the buffer in.
    fn add(&mut self, now: Duration, time_ms: i64) {
        let open = &mut self.open;
        match self.options.format {
            Format::Event => open.table.end_record(open.buffer.len(), None),
            Format::Gzip | Format::Ndjson | Format::Opaque => open.buffer.push(b'\n'),
        }
        if open.events == 0 {
            open.opened_at = now;
            open.first_time_ms = time_ms;
            open.last_time_ms = time_ms;
        }
        open.first_time_ms = open.first_time_ms.min(time_ms);
        open.last_time_ms = open.last_time_ms.max(time_ms);
        open.events += 1;
    }

    /// Not even the smallest event would fit any more.
    fn is_full(&self) -> bool {
        let body = self.open.buffer.len() - self.room();
        let keys = self.open.table.keys.len();
        match self.options.format {
            Format::Event => {
                self.open.table.len() >= self.options.records_max
                    || body + keys + EVENT_BYTES_MIN > self.options.request_bytes_max
            }
            Format::Gzip | Format::Ndjson | Format::Opaque => {
                let next = self.record_bytes(self.open.events + 1, body + EVENT_BYTES_MIN, keys);
                next > self.options.record_bytes_max
            }
        }
    }
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
