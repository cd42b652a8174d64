//! Looks into queues and dead letters on disk, for whoever asks the admin address.
//!
//! The disk may be slow or hang, so a look is taken on a thread of its own, few at a time, and is waited for only so long.
//! It reads what is there, beside the owner, and changes nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use millpond_queue::{Fs, inspect};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::answer::{self, Answer};
use super::control::find;
use super::server::Shared;

mod letters;

pub use letters::{Code, Letters, NewestLetter};

/// Looks at once.
const LOOKS_MAX: usize = 2;
/// How long one may take, waiting for others included.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// Segments that are listed; there can be many thousands of them.
const SEGMENTS_MAX: usize = 1000;
/// Letters that are listed when nobody says how many, and at most.
const LETTERS: usize = 50;
const LETTERS_MAX: usize = 1000;

/// Bounds the looks at once: one that hangs keeps its place.
#[derive(Debug)]
pub(super) struct Looks(Arc<Semaphore>);

impl Default for Looks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKS_MAX)))
    }
}

/// A queue on disk: what `GET /api/v1/outputs/ID/queue` answers. Fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueLook {
    /// The output.
    pub output: String,
    /// Everything below is delivered or given up, by what was durable last; nothing if no file says.
    pub acked_sequence: Option<u64>,
    /// Batches that are not.
    pub pending_batches: u64,
    /// What all its files occupy.
    pub disk_bytes: u64,
    /// Files that were set aside.
    pub quarantined_files: u64,
    /// How far those are that read it besides the output.
    pub consumers: Vec<ConsumerLook>,
    /// How many segments there are.
    pub segments_total: u64,
    /// The oldest of them, at most 1000.
    pub segments: Vec<SegmentLook>,
    /// Time of the oldest event on disk, in milliseconds since the Unix epoch.
    pub oldest_event_ms: Option<i64>,
    /// Time of the newest one.
    pub newest_event_ms: Option<i64>,
}

/// A named consumer of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerLook {
    /// Its name.
    pub name: String,
    /// It has everything below.
    pub sequence: u64,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentLook {
    /// Its file.
    pub file: String,
    /// Its first sequence.
    pub first_sequence: u64,
    /// The one behind its last.
    pub end_sequence: u64,
    /// Batches in it.
    pub batches: u64,
    /// Their events.
    pub events: u64,
    /// Their bytes.
    pub payload_bytes: u64,
    /// What it occupies on disk.
    pub disk_bytes: u64,
    /// Time of its oldest event, in milliseconds since the Unix epoch.
    pub first_time_ms: Option<i64>,
    /// Time of its newest event.
    pub last_time_ms: Option<i64>,
    /// `active`, `sealed`, `delivered` or `damaged`.
    pub state: String,
}

impl QueueLook {
    fn new(output: &str, seen: &inspect::Overview) -> Self {
        let consumers = seen.consumers.iter();
        Self {
            output: output.to_owned(),
            acked_sequence: seen.acked.map(|sequence| sequence.0),
            pending_batches: seen.pending_batches,
            disk_bytes: seen.disk_bytes,
            quarantined_files: seen.quarantined_files,
            consumers: consumers
                .map(|consumer| ConsumerLook { name: consumer.name.clone(), sequence: consumer.acked.0 })
                .collect(),
            segments_total: seen.segments.len() as u64,
            segments: seen.segments.iter().take(SEGMENTS_MAX).map(SegmentLook::new).collect(),
            oldest_event_ms: seen.segments.iter().filter_map(|segment| segment.first_time_ms).min(),
            newest_event_ms: seen.segments.iter().filter_map(|segment| segment.last_time_ms).max(),
        }
    }
}

impl SegmentLook {
    fn new(segment: &inspect::Segment) -> Self {
        let state = match segment.state {
            inspect::SegmentState::Active => "active",
            inspect::SegmentState::Sealed => "sealed",
            inspect::SegmentState::Delivered => "delivered",
            inspect::SegmentState::Damaged => "damaged",
        };
        Self {
            file: segment.file.clone(),
            first_sequence: segment.first.0,
            end_sequence: segment.end.0,
            batches: segment.batches,
            events: segment.events,
            payload_bytes: segment.payload_bytes,
            disk_bytes: segment.disk_bytes,
            first_time_ms: segment.first_time_ms,
            last_time_ms: segment.last_time_ms,
            state: state.to_owned(),
        }
    }
}

/// What the queue of an output looks like on disk.
pub(super) async fn queue(shared: &Shared, id: &str) -> Answer {
    let output = match find(&shared.registry, id) {
        Ok(output) => output,
        Err(answer) => return answer,
    };
    let (id, directory) = (id.to_owned(), output.settings.queue_directory());
    look(shared, directory, move |storage| match storage {
        Some(storage) => Ok(Some(QueueLook::new(&id, &inspect::overview(&storage)?))),
        None => Ok(None),
    })
    .await
}

/// What was refused for good, counted by reason, and the newest of it.
pub(super) async fn dead_letters(shared: &Shared, id: &str, limit: Option<&str>) -> Answer {
    let limit = match limit.map(str::parse) {
        None => LETTERS,
        Some(Ok(limit)) if limit <= LETTERS_MAX => limit,
        Some(_) => {
            let remedy = format!("ask for 0 to {LETTERS_MAX}");
            return answer::problem(StatusCode::BAD_REQUEST, "`limit` is no number of letters", remedy);
        }
    };
    let output = match find(&shared.registry, id) {
        Ok(output) => output,
        Err(answer) => return answer,
    };
    let Ok(running) = &output.running else { return super::control::gone(id) };
    let (id, directory) = (id.to_owned(), running.dead_letters.directory().to_owned());
    // There are none before the first one.
    look(shared, directory, move |storage| letters::read(id, storage, limit).map(Some)).await
}

/// Reads what is in `directory` off the event loop, and answers with it; with 404 where there is nothing to be read.
async fn look<T: Serialize + Send + 'static>(
    shared: &Shared,
    directory: PathBuf,
    read: impl FnOnce(Option<Fs>) -> io::Result<Option<T>> + Send + 'static,
) -> Answer {
    let shown = directory.display().to_string();
    let look = async {
        let place = Arc::clone(&shared.looks.0).acquire_owned().await.map_err(io::Error::other)?;
        let looked = tokio::task::spawn_blocking(move || {
            let _place = place;
            let storage = match Fs::existing(&directory) {
                Ok(storage) => Some(storage),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            read(storage)
        });
        looked.await.map_err(io::Error::other)?
    };
    match tokio::time::timeout(LOOK_MAX, look).await {
        Ok(Ok(Some(found))) => answer::json(StatusCode::OK, &found),
        Ok(Ok(None)) => answer::problem(
            StatusCode::NOT_FOUND,
            format!("there is no queue in {shown}"),
            "nothing: an output has one from the first time on that it runs with `backpressure: queue`",
        ),
        Ok(Err(error)) => answer::problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{shown} cannot be read: {error}"),
            "look at the disk; `millpond queue verify` says more",
        ),
        Err(_) => answer::problem(
            StatusCode::GATEWAY_TIMEOUT,
            format!("{shown} was not read within {} s", LOOK_MAX.as_secs()),
            "look at the disk: it is very slow, or does not answer",
        ),
    }
}
