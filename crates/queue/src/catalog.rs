//! An index over the segments, in sled: summaries by sequence, and which segments reach into
//! which time.
//!
//! Losing it loses nothing: every row is in a segment as well, and is put back when the queue is
//! opened. So nothing waits for it, its errors are warnings, and a queue without it works the
//! same. It lives on a thread of its own, because sled 0.34 panics on files that it does not
//! understand, cannot open on a full disk, takes its time, and calls data flushed that is not
//! durable.

mod store;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use crate::{segment::look::Content, storage::Storage};
pub(crate) use store::Row;
use store::{Store, Unusable};

/// The directory.
pub(crate) const DIRECTORY: &str = "catalog";
/// Where a catalog is moved that could not be used.
const SET_ASIDE: &str = "catalog.bad";

/// Commands that may wait; more means that it does not keep up, and is given up.
const COMMANDS_MAX: usize = 1024;
/// How long an answer may take. Without one, the queue looks for itself.
const ANSWER_LIMIT: Duration = Duration::from_millis(200);
/// How long closing it may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// Checkpoints come about every second.
const CHECKPOINTS_PER_FLUSH: u32 = 5;

/// A segment: its base, and the sequence after its last batch.
pub(crate) type Span = (u64, u64);

/// Tells what is in a segment; `None` if nothing can be told.
pub(crate) type Describe = Box<dyn Fn(Span) -> Option<Row> + Send>;

/// What the catalog occupies, the one that was set aside included.
pub(crate) fn disk_bytes<S: Storage>(storage: &S) -> io::Result<u64> {
    Ok(storage.directory_bytes(DIRECTORY)? + storage.directory_bytes(SET_ASIDE)?)
}

/// There is no catalog, or it is busy.
#[derive(Debug)]
pub(crate) struct NoAnswer;

enum Command {
    Put(u64, Row),
    Remove(u64),
    FirstSince(i64, SyncSender<Option<u64>>),
    Flush,
}

/// The way to the catalog, if there is one.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// `None`: not wanted, or given up.
    worker: Option<Worker>,
    /// Checkpoints since the oldest change that is not flushed.
    waiting: Option<u32>,
}

#[derive(Debug)]
struct Worker {
    commands: SyncSender<Command>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Catalog {
    /// A queue without a catalog.
    pub(crate) fn none() -> Catalog {
        Catalog { worker: None, waiting: None }
    }

    /// Starts the catalog in `path`. It is opened, and brought into agreement with the segments
    /// that there are, while the queue works already.
    pub(crate) fn start(path: PathBuf, segments: Vec<Span>, describe: Describe) -> Catalog {
        let (commands, inbox) = sync_channel(COMMANDS_MAX);
        let (ending, ended) = sync_channel(1);
        let run = move || {
            if let Err(reason) = run(path, &segments, &describe, &inbox) {
                tracing::warn!(
                    reason,
                    "the queue works without its catalog; at the next start, it is built again"
                );
            }
            drop(ending);
        };
        match thread::Builder::new().name("queue-catalog".to_owned()).spawn(run) {
            Ok(_detached) => Catalog { worker: Some(Worker { commands, ended }), waiting: Some(0) },
            Err(error) => {
                tracing::warn!(%error, "the queue works without its catalog: no thread for it");
                Catalog::none()
            }
        }
    }

    /// Puts in what is known of a segment now.
    pub(crate) fn put(&mut self, base: u64, end: u64, content: &Content) {
        self.change(Command::Put(base, Row::new(end, content)));
    }

    /// Takes out a segment that is gone.
    pub(crate) fn remove(&mut self, base: u64) {
        self.change(Command::Remove(base));
    }

    /// The base of the oldest segment with events at or after `time_ms`; `Err` if the catalog
    /// cannot say.
    pub(crate) fn first_since(&mut self, time_ms: i64) -> Result<Option<u64>, NoAnswer> {
        let (reply, answer) = sync_channel(1);
        self.send(Command::FirstSince(time_ms, reply));
        answer.recv_timeout(ANSWER_LIMIT).map_err(|_| NoAnswer)
    }

    /// To be called at every checkpoint; flushes now and then. Whether the size may have changed.
    pub(crate) fn flush_when_due(&mut self) -> bool {
        let due = match &mut self.waiting {
            None => return false,
            Some(checkpoints) => {
                *checkpoints += 1;
                *checkpoints >= CHECKPOINTS_PER_FLUSH
            }
        };
        if due {
            self.waiting = None;
            self.send(Command::Flush);
        }
        due
    }

    fn change(&mut self, command: Command) {
        if self.worker.is_some() {
            self.waiting.get_or_insert(0);
            self.send(command);
        }
    }

    fn send(&mut self, command: Command) {
        let Some(worker) = &self.worker else { return };
        if worker.commands.try_send(command).is_err() {
            tracing::warn!("the catalog has ended, or does not keep up: the queue goes on without it");
            self.worker = None;
            self.waiting = None;
        }
    }
}

impl Drop for Catalog {
    /// Waits until the catalog is flushed and closed, so that the next owner can open it.
    fn drop(&mut self) {
        let Some(Worker { commands, ended }) = self.worker.take() else { return };
        drop(commands);
        if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(CLOSE_LIMIT) {
            tracing::warn!("the catalog took too long to close and was left alone");
        }
    }
}

/// The catalog's thread: opens it, carries out commands, closes it.
fn run(
    path: PathBuf,
    segments: &[Span],
    describe: &Describe,
    inbox: &Receiver<Command>,
) -> Result<(), String> {
    let store = open(path, segments, describe)?;
    guarded(|| {
        let mut dirty = true;
        for command in inbox {
            match command {
                Command::Put(base, row) => store.put(base, &row)?,
                Command::Remove(base) => store.remove(base)?,
                // Nobody waits for the answer any more if this fails.
                Command::FirstSince(time_ms, reply) => drop(reply.try_send(store.first_since(time_ms)?)),
                Command::Flush => {
                    store.flush()?;
                    dirty = false;
                    continue;
                }
            }
            dirty = true;
        }
        if dirty { store.flush() } else { Ok(()) }
    })
    .map_err(|unusable| unusable.to_string())?;
    guarded(|| {
        drop(store);
        Ok(())
    })
    .map_err(|unusable| unusable.to_string())
}

/// Whether the catalog can be used, with rows for all of the segments.
pub(crate) fn check(path: &Path, segments: &[Span], describe: &Describe) -> Result<(), String> {
    guarded(|| Store::open(path, segments, describe).map(drop)).map_err(|unusable| unusable.to_string())
}

/// Sets the catalog aside and makes another one.
pub(crate) fn rebuild(path: &Path, segments: &[Span], describe: &Describe) -> io::Result<()> {
    store::set_aside(path, &path.with_file_name(SET_ASIDE))?;
    let store = guarded(|| Store::open(path, segments, describe)?.flush());
    store.map_err(|unusable| io::Error::other(unusable.to_string()))
}

/// Opens the catalog and makes it agree with the segments. One that makes no sense is set aside,
/// and another one is made.
fn open(path: PathBuf, segments: &[Span], describe: &Describe) -> Result<Store, String> {
    match guarded(|| Store::open(&path, segments, describe)) {
        Ok(store) => Ok(store),
        Err(Unusable::Disk(reason)) => Err(reason),
        Err(Unusable::Damaged(reason)) => {
            tracing::warn!(reason, "the catalog of the queue is set aside and built again");
            store::set_aside(&path, &path.with_file_name(SET_ASIDE)).map_err(|error| error.to_string())?;
            guarded(|| Store::open(&path, segments, describe)).map_err(|unusable| unusable.to_string())
        }
    }
}

/// Runs something in sled; a panic is one more way to say that its files make no sense.
fn guarded<T>(run: impl FnOnce() -> Result<T, Unusable>) -> Result<T, Unusable> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_panic| Err(Unusable::Damaged("it panicked".to_owned())))
}
