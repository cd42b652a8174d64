//! An index over the segments, in sled: summaries by sequence, and which segments reach into
//! which time.
//!
//! Losing it loses nothing: every row is in a segment as well, and is put back when the queue is
//! opened. So nothing waits for it, its errors are warnings, and a queue without it works the
//! same. It is kept at arm's length because sled 0.34 panics on files that it does not
//! understand, cannot open on a full disk, and calls data flushed that is not durable.
//!
//! Trees: `segments` (base → summary) and `times` (newest event, base → nothing). Further ones
//! (dead letters, replays, losses) fit beside them; each value begins with its version.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use bincode::Options as _;
use serde::{Deserialize, Serialize};

use crate::{recovery::Finding, storage::Storage, view::Segment};

/// The directory.
pub(crate) const DIRECTORY: &str = "catalog";

/// Where a catalog is moved that could not be used.
const SET_ASIDE: &str = "catalog.bad";

const ROW_VERSION: u8 = 1;
const ROW_BYTES_MAX: u64 = 4096;
const CACHE_BYTES: u64 = 2 << 20;
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// Checkpoints come about every second.
const CHECKPOINTS_PER_FLUSH: u32 = 5;

/// What is known of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    end: u64,
    batches: u64,
    events: u64,
    records: u64,
    payload_bytes: u64,
    raw_bytes: u64,
    disk_bytes: u64,
    first_time_ms: i64,
    last_time_ms: i64,
    sealed: bool,
}

impl From<&Segment> for Row {
    fn from(segment: &Segment) -> Row {
        let summary = &segment.summary;
        Row {
            end: segment.end,
            batches: summary.batches,
            events: summary.events,
            records: summary.records,
            payload_bytes: summary.payload_bytes,
            raw_bytes: summary.raw_bytes,
            disk_bytes: segment.disk_bytes,
            first_time_ms: summary.first_time_ms,
            last_time_ms: summary.last_time_ms,
            sealed: segment.sealed,
        }
    }
}

impl Row {
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

/// What the catalog occupies, the one that was set aside included.
pub(crate) fn disk_bytes<S: Storage>(storage: &S) -> io::Result<u64> {
    Ok(storage.directory_bytes(DIRECTORY)? + storage.directory_bytes(SET_ASIDE)?)
}

/// The catalog, if there is one.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// `None`: not wanted, or given up.
    open: Option<Open>,
    /// Checkpoints since the oldest change that is not flushed.
    waiting: Option<u32>,
}

#[derive(Debug)]
struct Open {
    db: sled::Db,
    segments: sled::Tree,
    times: sled::Tree,
    path: PathBuf,
}

/// Why the catalog could not be used.
#[derive(Debug)]
enum Unusable {
    /// Its content makes no sense: another one can take its place.
    Damaged(String),
    /// The disk does not let it: another one would do no better.
    Disk(String),
}

impl Catalog {
    /// A queue without a catalog.
    pub(crate) fn none() -> Catalog {
        Catalog { open: None, waiting: None }
    }

    /// Opens the catalog in `path` and makes it agree with the segments. If it cannot be used, it
    /// is set aside and another one is made; if that cannot be used either, there is none.
    pub(crate) fn open(path: &Path, segments: &VecDeque<Segment>) -> (Catalog, Option<Finding>) {
        let rows: Vec<(u64, Row)> = segments.iter().map(|segment| (segment.base, segment.into())).collect();
        let (reason, finding) = match open_limited(path, rows.clone()) {
            Ok(open) => return (Catalog { open: Some(open), waiting: Some(0) }, None),
            Err(Unusable::Disk(reason)) => (reason, None),
            Err(Unusable::Damaged(reason)) => {
                let finding = Finding::CatalogRebuilt { reason: reason.clone() };
                (reason, set_aside(path).is_ok().then_some(finding))
            }
        };
        match finding.map(|finding| (finding, open_limited(path, rows))) {
            Some((finding, Ok(open))) => (Catalog { open: Some(open), waiting: Some(0) }, Some(finding)),
            Some((_, Err(_))) | None => (Catalog::none(), Some(Finding::CatalogUnusable { reason })),
        }
    }

    /// Puts in what is known of a segment now.
    pub(crate) fn put(&mut self, segment: &Segment) {
        let (base, row) = (segment.base, Row::from(segment));
        self.change(|open| open.put(base, &row));
    }

    /// Takes out a segment that is gone.
    pub(crate) fn remove(&mut self, base: u64) {
        self.change(|open| open.remove(base));
    }

    /// The first sequence of the oldest segment with events at or after `time_ms`; `None` if
    /// there is none, or no catalog to ask.
    pub(crate) fn first_since(&mut self, time_ms: i64) -> Option<u64> {
        let mut first = None;
        self.guarded(|open| {
            for key in open.times.range(time_key(time_ms, 0)..).keys() {
                let base = key?.get(8..).and_then(|base| base.try_into().ok()).map(u64::from_be_bytes_of);
                first = first.into_iter().chain(base).min();
            }
            Ok(())
        });
        first
    }

    /// To be called at every checkpoint; flushes now and then. Whether it did.
    pub(crate) fn flush_when_due(&mut self) -> bool {
        match &mut self.waiting {
            Some(checkpoints) if *checkpoints + 1 < CHECKPOINTS_PER_FLUSH => {
                *checkpoints += 1;
                false
            }
            Some(_) => {
                self.flush();
                true
            }
            None => false,
        }
    }

    /// Flushes what is not flushed, and closes.
    pub(crate) fn close(&mut self) {
        if self.waiting.is_some() {
            self.flush();
        }
        self.give_up();
    }

    fn flush(&mut self) {
        self.waiting = None;
        self.guarded(Open::flush);
    }

    fn change(&mut self, change: impl FnOnce(&Open) -> sled::Result<()>) {
        if self.open.is_some() {
            self.waiting.get_or_insert(0);
            self.guarded(change);
        }
    }

    /// Runs something on the catalog; whatever goes wrong ends it.
    fn guarded(&mut self, run: impl FnOnce(&Open) -> sled::Result<()>) {
        let Some(open) = &self.open else { return };
        let reason = match catch_unwind(AssertUnwindSafe(|| run(open))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        tracing::warn!(reason, "the queue goes on without its catalog; it is built again at the next start");
        self.give_up();
    }

    fn give_up(&mut self) {
        self.waiting = None;
        if let Some(open) = self.open.take()
            && catch_unwind(AssertUnwindSafe(|| drop(open))).is_err()
        {
            tracing::debug!("the catalog panicked while it was closed");
        }
    }
}

impl Open {
    fn put(&self, base: u64, row: &Row) -> sled::Result<()> {
        let old = self.segments.insert(base.to_be_bytes_of(), row.encode())?;
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

    fn remove(&self, base: u64) -> sled::Result<()> {
        let old = self.segments.remove(base.to_be_bytes_of())?;
        if let Some(row) = old.as_deref().and_then(Row::decode) {
            self.times.remove(time_key(row.last_time_ms, base))?;
        }
        Ok(())
    }

    fn flush(&self) -> sled::Result<()> {
        self.db.flush()?;
        // What `flush` calls durable is not, on Linux: it starts the writing and does not wait
        // for the device.
        File::open(self.path.join("db"))?.sync_data()?;
        Ok(())
    }

    /// Makes the rows those of the segments. An undecodable row means that the rest cannot be
    /// trusted either.
    fn agree(&self, rows: &[(u64, Row)]) -> Result<(), Unusable> {
        let mut known = VecDeque::from(rows.to_vec());
        for item in &self.segments {
            let (key, value) = item.map_err(classify)?;
            let base = key.as_ref().try_into().map(u64::from_be_bytes_of);
            let (Ok(base), Some(row)) = (base, Row::decode(&value)) else {
                return Err(Unusable::Damaged("a row cannot be read".to_owned()));
            };
            match known.binary_search_by_key(&base, |&(base, _)| base) {
                Ok(index) if known[index].1 == row => drop(known.remove(index)),
                Ok(_) => {} // Put in below.
                Err(_) => self.remove(base).map_err(classify)?,
            }
        }
        for (base, row) in known {
            self.put(base, &row).map_err(classify)?;
        }
        Ok(())
    }
}

/// Keys sort like the numbers they stand for, so they are the one place for the big end first.
trait KeyBytes {
    fn to_be_bytes_of(self) -> [u8; 8];
    fn from_be_bytes_of(bytes: [u8; 8]) -> Self;
}

impl KeyBytes for u64 {
    #[expect(clippy::big_endian_bytes, reason = "keys have to sort like numbers")]
    fn to_be_bytes_of(self) -> [u8; 8] {
        self.to_be_bytes()
    }

    #[expect(clippy::big_endian_bytes, reason = "keys have to sort like numbers")]
    fn from_be_bytes_of(bytes: [u8; 8]) -> u64 {
        u64::from_be_bytes(bytes)
    }
}

fn time_key(time_ms: i64, base: u64) -> [u8; 16] {
    let mut key = [0; 16];
    // With the sign turned round, times before 1970 sort before the others.
    key[..8].copy_from_slice(&(time_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes_of());
    key[8..].copy_from_slice(&base.to_be_bytes_of());
    key
}

/// Opens and checks on a thread of its own: a panic ends the thread, and waiting has an end.
fn open_limited(path: &Path, rows: Vec<(u64, Row)>) -> Result<Open, Unusable> {
    let (give, take) = mpsc::sync_channel(1);
    let path = path.to_owned();
    let thread = thread::Builder::new().name("queue-catalog".to_owned()).spawn(move || {
        let opened = open_checked(path, &rows);
        // If nobody waits any more, the catalog is closed again by being dropped.
        if give.send(opened).is_err() {
            tracing::debug!("the catalog was opened after nobody waited for it any more");
        }
    });
    if let Err(error) = thread {
        return Err(Unusable::Disk(error.to_string()));
    }
    match take.recv_timeout(OPEN_LIMIT) {
        Ok(opened) => opened,
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(Unusable::Damaged("opening it panicked".to_owned())),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(Unusable::Disk(format!("opening it took more than {} s", OPEN_LIMIT.as_secs())))
        }
    }
}

fn open_checked(path: PathBuf, rows: &[(u64, Row)]) -> Result<Open, Unusable> {
    let config = sled::Config::default().path(&path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let db = config.open().map_err(classify)?;
    let segments = db.open_tree("segments").map_err(classify)?;
    let times = db.open_tree("times").map_err(classify)?;
    let open = Open { db, segments, times, path };
    open.agree(rows)?;
    Ok(open)
}

fn classify(error: sled::Error) -> Unusable {
    match error {
        sled::Error::Io(error) => Unusable::Disk(error.to_string()),
        error => Unusable::Damaged(error.to_string()),
    }
}

/// Moves a catalog out of the way; the one before it goes.
fn set_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_file_name(SET_ASIDE);
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(path, aside)
}
