//! How the status is made of what was at one moment.

use millpond_queue::{DropReason, Stats};

use super::status::{
    ConfigStatus, Drain, FailureStatus, Held, InputStatus, OutputStatus, PipelineStatus, QueueStatus,
    RunningStatus, Status,
};
use crate::clock;
use crate::driver::policy_name;
use crate::moment::{InputMoment, Moment, OutputMoment, oldest_age};
use crate::output_state::{Condition, OutputState};
use crate::processing::PipelineCounters;
use crate::registry::{InputStage, Registry, RunningOutput, Stage};

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
            now_ms: clock::unix_ms(),
            started_at_ms: registry.started_ms(),
            uptime_secs: moment.at.saturating_duration_since(registry.started()).as_secs_f64(),
            config: ConfigStatus {
                taken_at_ms: reloads.taken_ms(),
                reloads: reloads.succeeded.get(),
                refused: reloads.refused.get(),
                last_refused: reloads.is_refused(),
            },
            inputs: moment.inputs.iter().map(InputStatus::new).collect(),
            pipelines: registry
                .pipelines()
                .iter()
                .map(|(name, counters)| PipelineStatus::new(name, counters))
                .collect(),
            outputs: moment
                .outputs
                .iter()
                .map(|output| OutputStatus::new(output, moment, &mut drained))
                .collect(),
        }
    }
}

impl PipelineStatus {
    fn new(name: &str, counters: &PipelineCounters) -> Self {
        Self {
            name: name.to_owned(),
            received_events: counters.received.get(),
            made_events: counters.made.get(),
            filtered_events: counters.filtered.get(),
            failed_events: counters.failed.get(),
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
            filtered_events: counters.filtered.get(),
            pipeline_failed_events: counters.pipeline_failed.get(),
            unrouted_events: counters.unrouted.get(),
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
            unwell_since_ms: state.unwell_since_ms,
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
            filtered_events: counters.filtered.get(),
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
