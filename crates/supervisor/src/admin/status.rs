//! The status: what `GET /api/v1/status` answers and `millpond status` prints. Fields are added, never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a forwarder is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// The name of the environment that it was given; may be empty.
    pub environment: String,
    /// `starting`, `running` or `stopping`.
    pub stage: String,
    /// Does every input take events?
    pub ready: bool,
    /// Why not, one sentence each.
    pub not_ready: Vec<String>,
    /// What the forwarder's clock says, in milliseconds since the Unix epoch: all times here are by it.
    pub now_ms: i64,
    /// When the process started, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// How long it has run, in seconds.
    pub uptime_secs: f64,
    /// The configuration.
    pub config: ConfigStatus,
    /// The inputs, by id.
    pub inputs: Vec<InputStatus>,
    /// The pipelines that are or were in use, by name.
    #[serde(default)]
    pub pipelines: Vec<PipelineStatus>,
    /// The outputs, by id.
    pub outputs: Vec<OutputStatus>,
}

/// A pipeline. Counts are since the start, of all places where it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Events that it was given.
    pub received_events: u64,
    /// Events that have come out of it.
    pub made_events: u64,
    /// Events that it has aborted on.
    pub filtered_events: u64,
    /// Events that it has failed on.
    pub failed_events: u64,
}

/// The configuration that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// When it was taken, in milliseconds since the Unix epoch.
    pub taken_at_ms: i64,
    /// Times that a new one was taken since the start.
    pub reloads: u64,
    /// Times that a new one was refused.
    pub refused: u64,
    /// The last one was refused: the file says something else than what runs.
    pub last_refused: bool,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputStatus {
    /// Its name in the configuration.
    pub id: String,
    /// Its type in the configuration.
    pub r#type: String,
    /// `starting`, `accepting`, `failing` or `ended`.
    pub state: String,
    /// Why it is failing.
    pub why: Option<String>,
    /// Events handed to the outputs since the start.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks that are neither delivered nor durable yet.
    pub chunks_in_flight: u64,
    /// Lines that were too long and were cut.
    pub cut_events: u64,
    /// Failures to read.
    pub read_errors: u64,
    /// Bytes that were gone before they could be read.
    pub lost_bytes: u64,
    /// Files known now; only for files.
    pub files: Option<u64>,
    /// Events that its pipeline has aborted on.
    #[serde(default)]
    pub filtered_events: u64,
    /// Events that its pipeline has failed on and that were dropped.
    #[serde(default)]
    pub pipeline_failed_events: u64,
    /// Events that no output takes.
    #[serde(default)]
    pub unrouted_events: u64,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputStatus {
    /// Its name in the configuration.
    pub id: String,
    /// What the configuration says about it in words.
    pub description: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its stream.
    pub stream_name: String,
    /// The stream's region.
    pub region: String,
    /// The endpoint, if it is not that of the region.
    pub endpoint: Option<String>,
    /// `block`, `drop` or `queue`.
    pub backpressure: String,
    /// `healthy`, `throttled`, `unhealthy`, `verifying`, `recovering`, `paused` or `inactive`.
    pub state: String,
    /// Why it is not healthy.
    pub why: Option<String>,
    /// What to do about it, if there is anything.
    pub remedy: Option<String>,
    /// What runs of it; nothing if it is inactive.
    pub running: Option<RunningStatus>,
}

/// What runs of an output. Counts are since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningStatus {
    /// Since when it is in its state, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Since when it has not been healthy or throttled, whatever it tried meanwhile; nothing while it is.
    pub unwell_since_ms: Option<i64>,
    /// The last put or look at the shards that failed, even if all is well again.
    pub last_failure: Option<FailureStatus>,
    /// Open shards, when they were last counted.
    pub shards_open: Option<u32>,
    /// When that was, in milliseconds since the Unix epoch.
    pub shards_counted_at_ms: Option<i64>,
    /// Batches being sent.
    pub puts_in_flight: u32,
    /// Batches that may be sent at once now.
    pub puts_in_flight_max: u32,
    /// Batches that wait in memory.
    pub waiting_batches: u32,
    /// Does what the inputs give go to the queue?
    pub spooling: bool,
    /// Events taken from the inputs.
    pub received_events: u64,
    /// Events that the service has accepted.
    pub delivered_events: u64,
    /// Bytes of their records.
    pub delivered_bytes: u64,
    /// Events sent again although they may have arrived.
    pub duplicate_events: u64,
    /// Events that its pipeline has aborted on.
    #[serde(default)]
    pub filtered_events: u64,
    /// Events dropped by a policy, by reason.
    pub dropped_events: BTreeMap<String, u64>,
    /// Events in the dead letters now; nothing if that is not known.
    pub dead_letter_events: Option<u64>,
    /// The queue; nothing if the output has none.
    pub queue: Option<QueueStatus>,
}

/// Something that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureStatus {
    /// What, where, and what to do.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum QueueStatus {
    /// It did not say what it holds in time: its disk does not answer, or it is being closed.
    None,
    /// What it holds.
    Known(Box<Held>),
}

/// What a queue holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Events that are not delivered.
    pub events: u64,
    /// Batches that are not delivered.
    pub batches: u64,
    /// Their bytes, as they will be sent.
    pub payload_bytes: u64,
    /// What all its files occupy on disk.
    pub disk_bytes: u64,
    /// What they may occupy.
    pub max_bytes: u64,
    /// How long ago the oldest batch was queued, in seconds; nothing if there is none, or if no clock says.
    pub oldest_secs: Option<f64>,
    /// Does it take batches?
    pub accepting: bool,
    /// Why not.
    pub why_full: Option<String>,
    /// Events given up by policy since the queue began, over all starts, by reason.
    pub lost_events_ever: BTreeMap<String, u64>,
    /// Batches lost in damaged places, found since the start.
    pub damaged_frames: u64,
    /// Bytes set aside in `quarantine/`.
    pub quarantine_bytes: u64,
    /// How it drains; nothing while it does not, or until it was looked at twice.
    pub drain: Option<Drain>,
}

/// How a queue drains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    /// Events a second by which it became shorter since it was last looked at.
    pub events_per_sec: f64,
    /// Seconds until it is empty if that goes on.
    pub secs_left: f64,
}
