//! Reading dead letters, beside a forwarder that writes them or not. Changes nothing.

use std::io;

use bytes::Bytes;
use millpond_kinesis::{Batch, BatchMeta, Format, RecordRef};
use millpond_queue::inspect::{self, Entry, Standing};
use millpond_queue::{Fs, Sequence};
use serde::Deserialize;

use super::KIND_DEAD_LETTER;

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its number.
    pub sequence: Sequence,
    /// When it was refused, in milliseconds since the Unix epoch.
    pub refused_ms: i64,
    /// Events in it.
    pub events: u32,
    /// Why.
    pub reason: WhyRefused,
    /// The refused bytes: a record as Kinesis would have got it, or what [`WhyRefused::format`] says.
    pub body: Bytes,
}

impl Letter {
    /// The record that it was; `None` if it never became one, or if its format is not known here.
    #[must_use]
    pub fn record(&self) -> Option<Batch> {
        let format = match self.reason.format.as_str() {
            "gzip" => Format::Gzip,
            "ndjson" => Format::Ndjson,
            "event" => Format::Event,
            "opaque" => Format::Opaque,
            _ => return None,
        };
        let partition_key = self.reason.partition_key.as_deref()?;
        let meta = BatchMeta {
            format,
            events: self.events,
            raw_bytes: self.body.len() as u64,
            first_time_ms: self.refused_ms,
            last_time_ms: self.refused_ms,
        };
        let record = RecordRef { partition_key, explicit_hash_key: None, data: self.body.clone() };
        Some(Batch::from_records(meta, &[record]))
    }
}

/// Why a letter was refused, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WhyRefused {
    /// A short stable word: the service's error code, or one of ours.
    pub code: String,
    /// In words.
    pub message: String,
    /// The stream it was meant for.
    pub stream: String,
    /// Its partition key, if it had become a record.
    #[serde(default)]
    pub partition_key: Option<String>,
    /// What the bytes are: `gzip`, `ndjson`, `event` or `frame`.
    pub format: String,
}

/// What a look at dead letters meets.
#[derive(Debug)]
pub enum Found {
    /// A letter.
    Letter(Letter),
    /// A frame that is no letter, or bytes that are no good frame: why, in words.
    Unreadable {
        /// Its number, or that of the first one that should be there.
        sequence: Sequence,
        /// What is wrong.
        reason: String,
    },
}

/// The dead letters in `storage` from `from` on, oldest first, without those that were sent again or given up.
///
/// # Errors
/// When the disk does not answer; also in the midst of them.
pub fn read(storage: Fs, from: Sequence) -> io::Result<impl Iterator<Item = io::Result<Found>>> {
    let standing: Standing = inspect::standing(&storage)?;
    let entries = inspect::entries(storage, from.max(standing.acked));
    let found = move |entry| match entry {
        Entry::Frame(frame) if standing.is_settled(frame.sequence) => None,
        Entry::Frame(frame) => Some(decode(&frame)),
        Entry::Damaged { first, end, .. } if end <= standing.acked && first < end => None,
        Entry::Damaged { first, reason, .. } => Some(Found::Unreadable { sequence: first, reason }),
        _ => None,
    };
    Ok(entries.filter_map(move |entry| entry.map(&found).transpose()))
}

/// What a frame of a queue of dead letters holds.
#[must_use]
pub fn decode(frame: &millpond_queue::Frame) -> Found {
    let unreadable = |reason: String| Found::Unreadable { sequence: frame.sequence, reason };
    if frame.info.kind != KIND_DEAD_LETTER {
        return unreadable(format!("a frame of the kind {}, which is no dead letter", frame.info.kind));
    }
    let Some(end) = memchr::memchr(b'\n', &frame.payload) else {
        return unreadable("a letter without a reason".to_owned());
    };
    match serde_json::from_slice(&frame.payload[..end]) {
        Ok(reason) => Found::Letter(Letter {
            sequence: frame.sequence,
            refused_ms: frame.info.appended_ms,
            events: frame.info.events,
            reason,
            body: frame.payload.slice(end + 1..),
        }),
        Err(error) => unreadable(format!("its reason cannot be read: {error}")),
    }
}
