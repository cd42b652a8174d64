//! The rows and trees of the catalog.
//!
//! Trees: `segments` (base → summary) and `times` (newest event, base → nothing). Further ones
//! (dead letters, replays, losses) fit beside them; each value begins with its version.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use bincode::Options as _;
use serde::{Deserialize, Serialize};

use super::{Describe, Span};
use crate::segment::look::Content;

const ROW_VERSION: u8 = 1;
const ROW_BYTES_MAX: u64 = 4096;
const CACHE_BYTES: u64 = 2 << 20;

/// What is known of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    end: u64,
    batches: u64,
    events: u64,
    records: u64,
    payload_bytes: u64,
    raw_bytes: u64,
    disk_bytes: u64,
    first_time_ms: i64,
    last_time_ms: i64,
}

impl Row {
    pub(crate) fn new(end: u64, content: &Content) -> Row {
        let summary = &content.summary;
        Row {
            end,
            batches: summary.batches,
            events: summary.weight.events,
            records: summary.records,
            payload_bytes: summary.weight.payload_bytes,
            raw_bytes: summary.weight.raw_bytes,
            disk_bytes: content.disk_bytes,
            first_time_ms: summary.first_time_ms,
            last_time_ms: summary.last_time_ms,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![ROW_VERSION];
        let row = limited().serialize(self).expect("a row of numbers is far below the limit");
        bytes.extend(row);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Row> {
        let (&version, row) = bytes.split_first()?;
        (version == ROW_VERSION).then(|| limited().deserialize(row).ok())?
    }
}

fn limited() -> impl bincode::Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(ROW_BYTES_MAX)
}

/// Why the catalog cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// Its content makes no sense: another one can take its place.
    Damaged(String),
    /// The disk does not let it: another one would do no better.
    Disk(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Unusable::Damaged(reason) | Unusable::Disk(reason)) = self;
        f.write_str(reason)
    }
}

impl From<sled::Error> for Unusable {
    fn from(error: sled::Error) -> Unusable {
        match error {
            sled::Error::Io(error) => Unusable::Disk(error.to_string()),
            error => Unusable::Damaged(error.to_string()),
        }
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Unusable {
        Unusable::Disk(error.to_string())
    }
}

/// The open catalog.
#[derive(Debug)]
pub(super) struct Store {
    db: sled::Db,
    segments: sled::Tree,
    times: sled::Tree,
    path: PathBuf,
}

impl Store {
    /// Opens it and gives it a row for each segment that can be described, and for no other.
    pub(super) fn open(path: &Path, spans: &[Span], describe: &Describe) -> Result<Store, Unusable> {
        let config = sled::Config::default().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = config.open()?;
        let segments = db.open_tree("segments")?;
        let times = db.open_tree("times")?;
        let store = Store { db, segments, times, path: path.to_owned() };
        store.agree(spans, describe)?;
        Ok(store)
    }

    /// A row that cannot be read means that the rest cannot be trusted either.
    fn agree(&self, spans: &[Span], describe: &Describe) -> Result<(), Unusable> {
        let mut missing: BTreeMap<u64, u64> = spans.iter().copied().collect();
        for item in &self.segments {
            let (key, value) = item?;
            let (Ok(base), Some(_row)) = (key.as_ref().try_into().map(from_key), Row::decode(&value)) else {
                return Err(Unusable::Damaged("a row cannot be read".to_owned()));
            };
            if missing.remove(&base).is_none() {
                self.remove(base)?;
            }
        }
        for span in missing {
            if let Some(row) = describe(span) {
                self.put(span.0, &row)?;
            }
        }
        Ok(())
    }

    pub(super) fn put(&self, base: u64, row: &Row) -> Result<(), Unusable> {
        let old = self.segments.insert(to_key(base), row.encode())?;
        if let Some(old) = old.as_deref().and_then(Row::decode)
            && old.last_time_ms != row.last_time_ms
        {
            self.times.remove(time_key(old.last_time_ms, base))?;
        }
        if row.batches > 0 {
            self.times.insert(time_key(row.last_time_ms, base), &[])?;
        }
        Ok(())
    }

    pub(super) fn remove(&self, base: u64) -> Result<(), Unusable> {
        let old = self.segments.remove(to_key(base))?;
        if let Some(row) = old.as_deref().and_then(Row::decode) {
            self.times.remove(time_key(row.last_time_ms, base))?;
        }
        Ok(())
    }

    /// The lowest base of a segment with events at or after `time_ms`.
    pub(super) fn first_since(&self, time_ms: i64) -> Result<Option<u64>, Unusable> {
        let mut first = None;
        for key in self.times.range(time_key(time_ms, 0)..).keys() {
            let key = key?;
            let base = key.get(8..).and_then(|base| base.try_into().ok()).map(from_key);
            first = first.into_iter().chain(base).min();
        }
        Ok(first)
    }

    pub(super) fn flush(&self) -> Result<(), Unusable> {
        self.db.flush()?;
        // What `flush` calls durable is not, on Linux: it starts the writing and does not wait
        // for the device.
        File::open(self.path.join("db"))?.sync_data()?;
        Ok(())
    }
}

/// Keys have to sort like the numbers that they stand for.
#[expect(clippy::big_endian_bytes, reason = "keys have to sort like numbers")]
fn to_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

#[expect(clippy::big_endian_bytes, reason = "keys have to sort like numbers")]
fn from_key(key: [u8; 8]) -> u64 {
    u64::from_be_bytes(key)
}

fn time_key(time_ms: i64, base: u64) -> [u8; 16] {
    let mut key = [0; 16];
    // With the sign turned round, times before 1970 sort before the others.
    key[..8].copy_from_slice(&to_key(time_ms.cast_unsigned() ^ (1 << 63)));
    key[8..].copy_from_slice(&to_key(base));
    key
}

/// Moves a catalog out of the way; the one that is there goes.
pub(super) fn set_aside(path: &Path, aside: &Path) -> io::Result<()> {
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(path, aside)
}
