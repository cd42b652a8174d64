//! Events that can never be accepted, kept on disk with the reason.
//!
//! Dead letters are a queue of their own, `<data_dir>/dead-letters/<output id>`, that nothing drains. It is made when the
//! first one arrives. A payload is a line of JSON, the [`Reason`], and behind it the refused bytes as they are.

pub mod letters;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use millpond_queue::{BatchInfo, Fs, Options, Queue, inspect};
use serde::Serialize;
use tokio::sync::{OnceCell, oneshot};

use crate::queue_thread::{Append, Policy, QueueGone, QueueThread, Report, StatsRequest};

/// The kind of a dead letter's frame.
pub const KIND_DEAD_LETTER: u8 = 16;

/// Real bytes that the dead letters of one output may occupy. When they are full, what would be the next one is kept
/// back and tried again: the output stands still, loudly, instead of losing it.
const SIZE_BYTES_MAX: u64 = 256 << 20;
const SEGMENT_BYTES_MAX: u64 = 4 << 20;

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
    /// What the bytes are: `gzip`, `ndjson` or `event`.
    pub format: &'a str,
}

/// The dead letters of one output.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    output: String,
    directory: PathBuf,
    free_bytes_min: u64,
    queue: OnceCell<QueueThread>,
    view: DeadLetterView,
}

/// Looks at the dead letters of one output, and does not keep them open.
#[derive(Debug, Clone)]
pub struct DeadLetterView {
    directory: Arc<Path>,
    /// Events that were there at the start; unknown if they could not be read.
    found: Option<u64>,
    /// Asks their queue, once it is open.
    queue: Arc<OnceLock<StatsRequest>>,
}

impl DeadLetterView {
    /// Where they are kept; it does not exist before the first one.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Events that are kept now; nothing if that is not known, or is not answered within `patience`.
    pub async fn events(&self, patience: Duration) -> Option<u64> {
        match self.queue.get() {
            None => self.found,
            Some(queue) => {
                let stats = tokio::time::timeout(patience, queue.ask()).await.ok()?.ok()?;
                Some(stats.events)
            }
        }
    }
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
    /// The dead letters of `output` in `directory`; those that are there are counted, and nothing is touched before the
    /// next one arrives.
    #[must_use]
    pub fn new(output: String, directory: PathBuf, free_bytes_min: u64) -> Self {
        let found = match count(&directory) {
            Ok(events) => Some(events),
            Err(error) => {
                let directory = directory.display();
                tracing::warn!(output, %directory, %error, "the dead letters cannot be counted: can this user read them?");
                None
            }
        };
        let view = DeadLetterView { directory: directory.as_path().into(), found, queue: Arc::default() };
        Self { shared: Arc::new(Shared { output, directory, free_bytes_min, queue: OnceCell::new(), view }) }
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
        let queue = self.shared.queue.get_or_try_init(|| self.open()).await?;
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
        let (durable, is_durable) = oneshot::channel();
        let on_kept = Box::new(move |_| {
            // Whoever stops waiting for it finds it on disk all the same.
            durable.send(()).ok();
        });
        queue.append(Append { info, payload: [Bytes::from(head), body], on_kept })?;
        Ok(is_durable.await.map_err(|_| QueueGone)?)
    }

    async fn open(&self) -> Result<QueueThread, DeadLetterError> {
        let shared = Arc::clone(&self.shared);
        let opening = tokio::task::spawn_blocking(move || shared.open());
        let failed = |reason| DeadLetterError::Open { directory: self.shared.directory.clone(), reason };
        opening.await.map_err(|error| failed(error.to_string()))?.map_err(failed)
    }

    /// Closes them, if there are any.
    ///
    /// # Errors
    /// When what was stored last may not be closed cleanly; it is durable all the same.
    pub fn close(self) -> Result<(), crate::queue_thread::CloseFailed> {
        match Arc::into_inner(self.shared).and_then(|shared| shared.queue.into_inner()) {
            Some(queue) => queue.close(),
            None => Ok(()),
        }
    }
}

impl Shared {
    fn open(&self) -> Result<QueueThread, String> {
        let storage = Fs::create(&self.directory).map_err(|error| error.to_string())?;
        let options = Options {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            size_bytes_max: SIZE_BYTES_MAX,
            free_bytes_min: self.free_bytes_min,
            catalog: false,
            ..Options::default()
        };
        let (queue, _) = Queue::open(storage, options).map_err(|error| error.to_string())?;
        let output = self.output.clone();
        let on_report = Box::new(move |report| match report {
            Report::Room(Ok(())) => tracing::info!(output, "dead letters can be kept again"),
            Report::Room(Err(reason)) => tracing::error!(
                output,
                reason,
                "a dead letter cannot be kept, so the output waits: make room, or save and remove old dead letters"
            ),
            // Nobody reads them while they are written, and none is given up.
            Report::Readable(_) | Report::GivenUp(_) => {}
        });
        let queue = QueueThread::spawn("dead-letters", queue, Policy::default(), on_report)
            .map_err(|error| error.to_string())?;
        // Opened once.
        self.view.queue.get_or_init(|| queue.stats_request());
        Ok(queue)
    }
}

/// Events in the dead letters in `directory`; 0 if it does not exist. Changes nothing.
fn count(directory: &std::path::Path) -> std::io::Result<u64> {
    if !directory.try_exists()? {
        return Ok(0);
    }
    let overview = inspect::overview(&Fs::existing(directory)?)?;
    Ok(overview.segments.iter().map(|segment| segment.events).sum())
}
