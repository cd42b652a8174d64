//! Events that can never be accepted, kept on disk with the reason.
//!
//! Dead letters are a queue of their own, `<data_dir>/dead-letters/<output id>`, that nothing drains. It is made when the
//! first one arrives. A payload is a line of JSON, the [`Reason`], and behind it the refused bytes as they are.
//!
//! A queue belongs to one process at a time. The forwarder has this one open only while it stores, so that the commands of
//! `millpond dead-letters` can take letters out beside it; who comes second waits. Looking needs no lock.

mod count;
pub mod letters;
pub mod remedy;
pub mod settle;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use millpond_queue::{BatchInfo, Fs, OpenError, Options, Queue};
use serde::Serialize;
use tokio::sync::{Mutex, oneshot};
use tokio::time::Instant;

use crate::config::checked::Output;
use crate::queue_thread::{Append, CloseFailed, Lease, Policy, QueueGone, QueueThread, Report};

pub use count::DeadLetterView;

/// The kind of a dead letter's frame.
pub const KIND_DEAD_LETTER: u8 = 16;

const SEGMENT_BYTES_MAX: u64 = 4 << 20;

/// How long the forwarder keeps them open.
const LEASE: Lease = Lease { idle: Duration::from_secs(1), longest: Duration::from_secs(5) };
/// How long it leaves them to others after the longest time.
const REST: Duration = Duration::from_millis(200);
/// A lock cannot be awaited with a limit: it is tried this often …
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// … it is said after so long that somebody else has it …
const LOCK_SAID_AFTER: Duration = Duration::from_secs(2);
/// … and then it counts as lost. Commands have it for milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Why an event is a dead letter.
#[derive(Debug, Clone, Serialize)]
pub struct Reason<'a> {
    /// A short stable word: the service's error code, or one of ours.
    pub code: &'a str,
    /// In words.
    pub message: &'a str,
    /// The stream it was meant for.
    pub stream: &'a str,
    /// Its partition key, if it had become a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<&'a str>,
    /// What the bytes are: `gzip`, `ndjson`, `event`, `opaque` or `frame`.
    pub format: &'a str,
}

/// Where the dead letters of an output are, and how much room they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory.
    pub directory: PathBuf,
    /// Real bytes that they may occupy. When they are full, what would be the next one is kept back and tried again: the
    /// output stands still, loudly, instead of losing it.
    pub size_bytes_max: u64,
    /// Free space of the file system that they leave alone.
    pub free_bytes_min: u64,
}

impl Place {
    /// Those of this output.
    #[must_use]
    pub fn of(output: &Output, data_dir: &Path) -> Self {
        Self {
            directory: data_dir.join("dead-letters").join(&output.id),
            size_bytes_max: output.dead_letters_bytes_max,
            free_bytes_min: output.queue.free_bytes_min,
        }
    }

    /// Opens them. The directory must be there.
    fn open(&self, storage: Fs) -> Result<Queue<Fs>, OpenError> {
        let options = Options {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            size_bytes_max: self.size_bytes_max,
            free_bytes_min: self.free_bytes_min,
            catalog: false,
            ..Options::default()
        };
        Queue::open(storage, options).map(|(queue, _)| queue)
    }
}

/// The dead letters of one output.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    output: String,
    place: Place,
    lease: Lease,
    open: Mutex<Option<Open>>,
    /// The last one that was to be kept could not be.
    is_full: Arc<AtomicBool>,
    view: DeadLetterView,
}

/// They are open, or were until a short time ago.
#[derive(Debug)]
struct Open {
    queue: QueueThread,
    /// When others may have them at the latest.
    until: Instant,
}

/// Why a dead letter could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// Their queue could not be opened.
    #[error("opening the dead letters in {}: {reason}", directory.display())]
    Open {
        /// Where.
        directory: PathBuf,
        /// Why.
        reason: String,
    },
    /// Their queue closed meanwhile.
    #[error(transparent)]
    Gone(#[from] QueueGone),
}

impl DeadLetters {
    /// The dead letters of `output`; those that are there are counted, and nothing is touched before the next one arrives.
    #[must_use]
    pub fn new(output: String, place: Place) -> Self {
        Self::with_lease(output, place, LEASE)
    }

    fn with_lease(output: String, place: Place, lease: Lease) -> Self {
        let view = DeadLetterView::new(&output, &place.directory);
        let shared = Shared { output, place, lease, open: Mutex::new(None), is_full: Arc::default(), view };
        Self { shared: Arc::new(shared) }
    }

    /// Looks at them from anywhere.
    #[must_use]
    pub fn view(&self) -> DeadLetterView {
        self.shared.view.clone()
    }

    /// Keeps one, and returns when it is durable.
    ///
    /// # Errors
    /// See [`DeadLetterError`]; then it is not kept, and must not be acknowledged.
    pub async fn store(
        &self,
        reason: &Reason<'_>,
        events: u32,
        body: Bytes,
        now_ms: i64,
    ) -> Result<(), DeadLetterError> {
        let mut head = serde_json::to_vec(reason).expect("a struct of strings has a JSON form");
        head.push(b'\n');
        let info = BatchInfo {
            kind: KIND_DEAD_LETTER,
            events,
            records: 1,
            raw_bytes: body.len() as u64,
            first_time_ms: now_ms,
            last_time_ms: now_ms,
            appended_ms: now_ms,
        };
        let payload = [Bytes::from(head), body];
        loop {
            let (durable, is_durable) = oneshot::channel();
            let on_kept = Box::new(move |_| {
                // Whoever stops waiting for it finds it on disk all the same.
                durable.send(()).ok();
            });
            self.hand_over(Append { info, payload: payload.clone(), on_kept }).await?;
            if is_durable.await.is_ok() {
                break;
            }
            // It was let go of, for others to have their turn: the next round finds the thread gone, and why.
        }
        if self.shared.is_full.swap(false, Ordering::Relaxed) {
            tracing::info!(output = self.shared.output, "dead letters can be kept again");
        }
        Ok(())
    }

    /// Opens them if they are not, and hands a letter over. Where they are being closed, it is let go of.
    async fn hand_over(&self, letter: Append) -> Result<(), DeadLetterError> {
        let mut slot = self.shared.open.lock().await;
        let open = match &mut *slot {
            Some(open) => open,
            None => slot.insert(self.open().await?),
        };
        if open.queue.append(letter).is_err()
            && let Some(open) = slot.take()
        {
            self.has_closed(open).await?;
        }
        Ok(())
    }

    /// They have been closed, or are about to be.
    async fn has_closed(&self, Open { queue, until }: Open) -> Result<(), DeadLetterError> {
        let closed = tokio::task::spawn_blocking(move || queue.close()).await;
        match closed.map_err(|_| QueueGone)? {
            Ok(()) => {}
            Err(CloseFailed::Gone(gone)) => return Err(gone.into()),
            Err(CloseFailed::Queue(error)) => {
                let output = &self.shared.output;
                tracing::error!(output, %error, "the dead letters were not closed cleanly; they are opened again");
            }
        }
        if Instant::now() >= until {
            tokio::time::sleep_until(until + REST).await;
        }
        Ok(())
    }

    async fn open(&self) -> Result<Open, DeadLetterError> {
        let begin = Instant::now();
        let mut is_said = false;
        loop {
            let shared = Arc::clone(&self.shared);
            let opening = tokio::task::spawn_blocking(move || shared.open());
            let failed =
                |reason| DeadLetterError::Open { directory: self.shared.place.directory.clone(), reason };
            match opening.await.map_err(|error| failed(error.to_string()))? {
                Ok(queue) => return Ok(Open { queue, until: Instant::now() + self.shared.lease.longest }),
                Err(NotOpened::Locked { pid }) if begin.elapsed() < LOCK_PATIENCE => {
                    if !is_said && begin.elapsed() >= LOCK_SAID_AFTER {
                        is_said = true;
                        let output = &self.shared.output;
                        tracing::warn!(
                            output,
                            pid,
                            "a dead letter waits: another process has the dead letters"
                        );
                    }
                    tokio::time::sleep(LOCK_RETRY).await;
                }
                Err(error) => return Err(failed(error.to_string())),
            }
        }
    }

    /// Closes them, if they are open.
    ///
    /// # Errors
    /// When what was stored last may not be closed cleanly; it is durable all the same.
    pub fn close(self) -> Result<(), CloseFailed> {
        match Arc::into_inner(self.shared).and_then(|shared| shared.open.into_inner()) {
            Some(open) => open.queue.close(),
            None => Ok(()),
        }
    }
}

/// Why they are not open.
#[derive(Debug, thiserror::Error)]
enum NotOpened {
    /// Somebody else has them.
    #[error("another process has had them for too long ({}): end it", by(*pid))]
    Locked { pid: Option<u32> },
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Who has a lock.
fn by(pid: Option<u32>) -> String {
    pid.map_or_else(|| "it does not say which".to_owned(), |pid| format!("process {pid}"))
}

impl Shared {
    fn open(&self) -> Result<QueueThread, NotOpened> {
        let failed = |error: std::io::Error| NotOpened::Failed(error.to_string());
        let storage = Fs::create(&self.place.directory).map_err(failed)?;
        let queue = self.place.open(storage).map_err(|error| match error {
            OpenError::Locked { pid } => NotOpened::Locked { pid },
            error => NotOpened::Failed(error.to_string()),
        })?;
        let (output, is_full) = (self.output.clone(), Arc::clone(&self.is_full));
        let on_report = Box::new(move |report| match report {
            Report::Room(Err(reason)) => {
                is_full.store(true, Ordering::Relaxed);
                tracing::error!(
                    output,
                    reason,
                    "a dead letter cannot be kept, so the output waits: make room on the disk, or take letters out with \
                     `millpond dead-letters retry` or `purge`"
                );
            }
            // That there is room again shows when the letter is kept. Nobody reads them here, and none is given up.
            Report::Room(Ok(())) | Report::Readable(_) | Report::GivenUp(_) => {}
        });
        let policy = Policy { lease: Some(self.lease), ..Policy::default() };
        QueueThread::spawn("dead-letters", queue, policy, on_report).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
