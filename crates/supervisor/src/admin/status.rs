//! The status: what `GET /api/v1/status` answers and `millpond status` prints. Fields are added, never renamed.

use std::collections::BTreeMap;

use millpond_queue::{DropReason, Stats};
use serde::{Deserialize, Serialize};

use crate::driver::policy_name;
use crate::moment::{InputMoment, Moment, OutputMoment, oldest_age};
use crate::output_state::{Condition, OutputState};
use crate::registry::{InputStage, Registry, RunningOutput, Stage};

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
    /// When the process started, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// How long it has run, in seconds.
    pub uptime_secs: f64,
    /// The configuration.
    pub config: ConfigStatus,
    /// The inputs, by id.
    pub inputs: Vec<InputStatus>,
    /// The outputs, by id.
    pub outputs: Vec<OutputStatus>,
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

/// Why the forwarder is not ready: one sentence for each reason, none when it is.
pub(super) fn not_ready(registry: &Registry) -> Vec<String> {
    match registry.stage() {
        Stage::Starting => return vec!["it is starting".to_owned()],
        Stage::Stopping => return vec!["it is stopping".to_owned()],
        Stage::Running => {}
    }
    let reason = |input: &crate::registry::InputEntry| match input.stage() {
        InputStage::Starting => Some(format!("the input {} is starting", input.id)),
        InputStage::Failing(why) => Some(format!("the input {} takes no events: {why}", input.id)),
        InputStage::Accepting | InputStage::Ended => None,
    };
    registry.listed().inputs.iter().filter_map(|input| reason(input)).collect()
}

impl Status {
    /// What was at this moment. `drained` gives the events a second by which the queue of an output, that now holds so
    /// many events, becomes shorter.
    pub(super) fn new(moment: &Moment, mut drained: impl FnMut(&str, u64) -> Option<f64>) -> Self {
        let (registry, reloads) = (&moment.registry, moment.registry.reloads());
        let not_ready = not_ready(registry);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            environment: registry.environment().to_owned(),
            stage: moment.stage.as_str().to_owned(),
            ready: not_ready.is_empty(),
            not_ready,
            started_at_ms: registry.started_ms(),
            uptime_secs: moment.at.saturating_duration_since(registry.started()).as_secs_f64(),
            config: ConfigStatus {
                taken_at_ms: reloads.taken_ms(),
                reloads: reloads.succeeded.get(),
                refused: reloads.refused.get(),
                last_refused: reloads.is_refused(),
            },
            inputs: moment.inputs.iter().map(InputStatus::new).collect(),
            outputs: moment
                .outputs
                .iter()
                .map(|output| OutputStatus::new(output, moment, &mut drained))
                .collect(),
        }
    }
}

impl InputStatus {
    fn new(input: &InputMoment) -> Self {
        let (entry, counters) = (&input.entry, &input.entry.counters);
        Self {
            id: entry.id.to_string(),
            r#type: entry.kind.to_owned(),
            state: input.stage.as_str().to_owned(),
            why: match &input.stage {
                InputStage::Failing(why) => Some(why.clone()),
                InputStage::Starting | InputStage::Accepting | InputStage::Ended => None,
            },
            events: counters.events.get(),
            bytes: counters.bytes.get(),
            chunks_in_flight: counters.chunks_in_flight.get(),
            cut_events: counters.lines_cut.get(),
            read_errors: counters.read_errors.get(),
            lost_bytes: counters.bytes_lost.get(),
            files: (entry.kind == "file").then(|| counters.files.get()),
        }
    }
}

impl OutputStatus {
    fn new(
        output: &OutputMoment,
        moment: &Moment,
        drained: &mut impl FnMut(&str, u64) -> Option<f64>,
    ) -> Self {
        let (id, settings) = (output.entry.id.to_string(), &output.entry.settings);
        let (state, why, remedy) = match (&output.entry.running, &output.doing) {
            (Ok(_), Some(doing)) => {
                let (why, remedy) = explain(&doing.state, &id);
                (doing.state.condition.as_str(), why, remedy)
            }
            (Err(why), _) => ("inactive", Some(why.clone()), None),
            (Ok(_), None) => ("inactive", None, None),
        };
        let running = output.running().map(|(running, _)| {
            let queue = output.queue().map(|queue| {
                let per_second = drained(&id, queue.events);
                Held::new(queue, output, moment, per_second)
            });
            RunningStatus::new(running, output, queue)
        });
        Self {
            id,
            description: settings.description.clone(),
            tags: settings.tags.clone(),
            stream_name: settings.stream_name.clone(),
            region: settings.region.clone(),
            endpoint: settings.endpoint.clone(),
            backpressure: settings.backpressure.as_str().to_owned(),
            state: state.to_owned(),
            why,
            remedy,
            running: running.flatten(),
        }
    }
}

/// Why an output is not healthy, and what to do about it.
fn explain(state: &OutputState, id: &str) -> (Option<String>, Option<String>) {
    let failed = || state.last_failure.as_ref().map(|failure| failure.reason.to_string());
    match state.condition {
        Condition::Healthy => (None, None),
        Condition::Throttled => {
            let remedy = "nothing, if it passes; else give the stream more shards, or send less";
            (failed(), Some(remedy.to_owned()))
        }
        Condition::Unhealthy | Condition::Verifying | Condition::Recovering => (failed(), None),
        Condition::Paused => {
            (Some("a person has paused it".to_owned()), Some(format!("POST /api/v1/outputs/{id}/resume")))
        }
    }
}

impl RunningStatus {
    fn new(running: &RunningOutput, output: &OutputMoment, queue: Option<Held>) -> Option<Self> {
        let doing = output.doing.as_ref()?;
        let (state, counters) = (&doing.state, &running.counters);
        let dropped = counters.dropped_by_reason();
        Some(Self {
            since_ms: state.since_ms,
            last_failure: state
                .last_failure
                .as_ref()
                .map(|failure| FailureStatus { reason: failure.reason.to_string(), at_ms: failure.at_ms }),
            shards_open: state.open_shards,
            shards_counted_at_ms: state.shards_seen_ms,
            puts_in_flight: state.puts_in_flight,
            puts_in_flight_max: state.puts_max,
            waiting_batches: state.live_waiting,
            spooling: state.spooling,
            received_events: counters.events.get(),
            delivered_events: counters.delivered_events.get(),
            delivered_bytes: counters.delivered_bytes.get(),
            duplicate_events: counters.repeated_events.get(),
            dropped_events: dropped.into_iter().map(|(reason, events)| (reason.to_owned(), events)).collect(),
            dead_letter_events: doing.dead_letters,
            queue: match (&doing.queue, queue) {
                (Ok(_), Some(held)) => Some(QueueStatus::Known(Box::new(held))),
                (Ok(_), None) => None,
                (Err(_), _) => Some(QueueStatus::None),
            },
        })
    }
}

impl Held {
    fn new(queue: &Stats, output: &OutputMoment, moment: &Moment, per_second: Option<f64>) -> Self {
        let why_full = output.doing.as_ref().and_then(|doing| doing.state.queue_full.as_deref());
        let lost = |reason| (policy_name(reason).to_owned(), queue.losses.of(reason).events);
        let drain =
            |events_per_sec| Drain { events_per_sec, secs_left: queue.events as f64 / events_per_sec };
        Self {
            events: queue.events,
            batches: queue.batches,
            payload_bytes: queue.payload_bytes,
            disk_bytes: queue.disk_bytes,
            max_bytes: output.entry.settings.queue.size_bytes_max,
            oldest_secs: oldest_age(queue, moment.at).map(|age| age.as_secs_f64()),
            accepting: why_full.is_none(),
            why_full: why_full.map(str::to_owned),
            lost_events_ever: DropReason::ALL.into_iter().map(lost).collect(),
            damaged_frames: queue.damaged_batches,
            quarantine_bytes: queue.quarantine_bytes,
            drain: per_second.map(drain),
        }
    }
}
