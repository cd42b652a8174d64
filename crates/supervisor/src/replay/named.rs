//! Named cursors: how far each replay is, beside the queue and not in it, so that nothing is written into what is replayed.
//!
//! Each has a directory, `NAME/`, with a `LOCK`, a checkpoint `replay`, and the dead letters of the replay in
//! `dead-letters/` if there are any.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millpond_queue::checkpoint::{self, Checkpoint};
use millpond_queue::storage::LockError;
use millpond_queue::{Fs, Storage as _};
use serde::{Deserialize, Serialize};

use super::course::{Course, Shared};
use super::range::Which;
use crate::counters::OutputCounters;
use crate::ledger::{Book, Settled};

const CHECKPOINT: &str = "replay";
const VERSION: u32 = 1;

/// What a replay is about: a cursor of another one does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The id of the queue, in hexadecimal digits; copies of a queue have the same.
    pub queue_id: String,
    /// What is sent: `batches`, `dead_letters` or `quarantine`.
    pub source: String,
    /// Which of it.
    pub which: Which,
    /// The first sequence, if one was named.
    pub from_seq: Option<u64>,
    /// The last one.
    pub to_seq: Option<u64>,
    /// Since when, as it was written.
    pub since: Option<String>,
    /// Until when, as it was written.
    pub until: Option<String>,
    /// One segment.
    pub segment: Option<String>,
    /// The stream it goes to.
    pub stream: String,
    /// Where that is.
    pub region: String,
    /// And at which endpoint.
    pub endpoint: Option<String>,
}

impl Subject {
    /// A name that belongs to it alone.
    #[must_use]
    pub fn name(&self) -> String {
        let all = serde_json::to_vec(self).expect("a struct of strings has a JSON form");
        let stream: String = self.stream.chars().take(32).collect();
        let queue: String = self.queue_id.chars().take(8).collect();
        format!("{queue}-{stream}-{:08x}", crc32fast::hash(&all))
    }
}

/// What a cursor's checkpoint holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    version: u32,
    /// What it is about.
    pub subject: Subject,
    /// What `since` meant when the replay began, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// What `until` meant.
    pub until_ms: Option<i64>,
    /// How far it is.
    pub course: Course,
}

impl Kept {
    /// A replay that begins.
    #[must_use]
    pub fn new(subject: Subject, since_ms: Option<i64>, until_ms: Option<i64>) -> Self {
        Self { version: VERSION, subject, since_ms, until_ms, course: Course::default() }
    }
}

/// Why a cursor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// Another process uses it.
    #[error(
        "the replay {name} is running already{}; wait for it, or give this one another --name",
        pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    Running {
        /// Its name.
        name: String,
        /// The process.
        pid: Option<u32>,
    },
    /// It belongs to another replay.
    #[error("the cursor {name} in {} is that of another replay ({was}); give this one another --name, or --again to begin anew with it", directory.display())]
    Other {
        /// Its name.
        name: String,
        /// Where it is.
        directory: PathBuf,
        /// What it is about, in JSON.
        was: String,
    },
    /// It cannot be understood.
    #[error("the cursor in {} cannot be read: {reason}; use a newer millpond, give another --name, or --again to begin anew", directory.display())]
    Unreadable {
        /// Where it is.
        directory: PathBuf,
        /// Why.
        reason: String,
    },
    /// The disk does not take it.
    #[error("the cursor in {}: {source}; --state names another directory", directory.display())]
    Io {
        /// Where it is.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A named cursor that is in use.
#[derive(Debug)]
pub struct Cursor {
    /// Where it is.
    pub directory: PathBuf,
    checkpoint: Checkpoint<Fs>,
    /// What it holds.
    pub kept: Kept,
    /// Keeps its lock.
    _storage: Fs,
}

/// What the cursor `name` holds, if there is one. Writes nothing.
///
/// # Errors
/// See [`CursorError`].
pub fn look(state: &Path, name: &str, subject: &Subject) -> Result<Option<Kept>, CursorError> {
    let directory = state.join(name);
    let storage = match Fs::existing(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        storage => storage.map_err(|source| CursorError::Io { directory: directory.clone(), source })?,
    };
    let body = checkpoint::read_newest(&storage, CHECKPOINT).map_err(|error| CursorError::Unreadable {
        directory: directory.clone(),
        reason: error.to_string(),
    })?;
    body.map(|body| understand(&body, name, &directory, subject)).transpose()
}

fn understand(body: &[u8], name: &str, directory: &Path, subject: &Subject) -> Result<Kept, CursorError> {
    let unreadable = |reason| CursorError::Unreadable { directory: directory.to_owned(), reason };
    let kept: Kept = serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
    if kept.version != VERSION {
        return Err(unreadable(format!("it has version {}, this program knows {VERSION}", kept.version)));
    }
    if kept.subject != *subject {
        let was = serde_json::to_string(&kept.subject).unwrap_or_default();
        return Err(CursorError::Other { name: name.to_owned(), directory: directory.to_owned(), was });
    }
    Ok(kept)
}

impl Cursor {
    /// Takes the cursor `name` for this process, and makes it if it is not there. `fresh` is what a new one holds; `again`
    /// makes a new one of an old one.
    ///
    /// # Errors
    /// See [`CursorError`].
    pub fn open(state: &Path, name: &str, fresh: Kept, again: bool) -> Result<Self, CursorError> {
        let directory = state.join(name);
        let io = |source| CursorError::Io { directory: directory.clone(), source };
        let storage = Fs::create(&directory).map_err(io)?;
        storage.lock().map_err(|error| match error {
            LockError::Held { pid } => CursorError::Running { name: name.to_owned(), pid },
            LockError::Io(source) => io(source),
        })?;
        let (mut checkpoint, body) = Checkpoint::open(storage.clone(), CHECKPOINT).map_err(|error| {
            CursorError::Unreadable { directory: directory.clone(), reason: error.to_string() }
        })?;
        let kept = match body.filter(|_| !again) {
            Some(body) => understand(&body, name, &directory, &fresh.subject)?,
            None => {
                // Durable before anything is sent: what `--since 2h` meant does not move with the clock.
                checkpoint.save(&encode(&fresh)).map_err(io)?;
                fresh
            }
        };
        Ok(Self { directory, checkpoint, kept, _storage: storage })
    }

    /// Where events that are refused for good are kept.
    #[must_use]
    pub fn dead_letters(&self) -> PathBuf {
        self.directory.join("dead-letters")
    }

    /// The book that is kept in it.
    #[must_use]
    pub fn book(self, shared: Shared, counters: Arc<OutputCounters>) -> Box<dyn Book> {
        let rejected_before = self.kept.course.rejected_events;
        Box::new(NamedBook { cursor: self, shared, counters, rejected_before })
    }
}

fn encode(kept: &Kept) -> Vec<u8> {
    serde_json::to_vec(kept).expect("numbers and strings have a JSON form")
}

struct NamedBook {
    cursor: Cursor,
    shared: Shared,
    counters: Arc<OutputCounters>,
    rejected_before: u64,
}

impl Book for NamedBook {
    fn note(&mut self, settled: &Settled) {
        self.shared.lock().settle(settled);
    }

    fn save(&mut self) -> io::Result<()> {
        let mut progress = self.shared.lock();
        // A record is counted as refused before its batch is settled.
        progress.course.rejected_events = self.rejected_before + self.counters.dead_letters.get();
        self.cursor.kept.course = progress.course.clone();
        drop(progress);
        self.cursor.checkpoint.save(&encode(&self.cursor.kept))
    }

    fn close(mut self: Box<Self>) -> io::Result<()> {
        self.save()
    }
}
