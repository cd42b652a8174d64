//! What runs and what it has counted, at one moment: what metrics and status are made of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_queue::Stats;

use crate::clock::Steady;
use crate::output_state::{NoAnswer, OutputState};
use crate::registry::{InputEntry, InputStage, OutputEntry, Registry, RunningOutput, Stage};

/// Longest wait for what a queue holds: one on a disk that hangs must not keep all the others from being seen.
const PATIENCE: Duration = Duration::from_secs(2);

/// All that runs at one moment.
#[derive(Debug)]
pub struct Moment {
    /// Where it comes from.
    pub registry: Registry,
    /// How far the process is.
    pub stage: Stage,
    /// When it was.
    pub at: Instant,
    /// The inputs, by id.
    pub inputs: Vec<InputMoment>,
    /// The outputs, by id.
    pub outputs: Vec<OutputMoment>,
}

/// An input at one moment.
#[derive(Debug)]
pub struct InputMoment {
    /// The input, and its counters.
    pub entry: Arc<InputEntry>,
    /// How far it is.
    pub stage: InputStage,
}

/// An output at one moment.
#[derive(Debug)]
pub struct OutputMoment {
    /// The output, and its counters.
    pub entry: Arc<OutputEntry>,
    /// What it was doing; nothing if it is not active.
    pub doing: Option<Doing>,
}

/// What an output was doing.
#[derive(Debug)]
pub struct Doing {
    /// Its state.
    pub state: OutputState,
    /// What its queue held; `Ok(None)`: it has none.
    pub queue: Result<Option<Stats>, NoAnswer>,
    /// Events in its dead letters, if that is known.
    pub dead_letters: Option<u64>,
}

impl Moment {
    /// Looks at everything, at outputs only if they have this tag, if one is given. Queues are asked all at once, and
    /// are waited for for 2 s at most.
    pub async fn take(registry: &Registry, tag: Option<&str>) -> Self {
        let listed = registry.listed();
        let inputs =
            listed.inputs.iter().map(|entry| InputMoment { entry: Arc::clone(entry), stage: entry.stage() });
        let has_tag = |output: &&Arc<OutputEntry>| {
            tag.is_none_or(|tag| output.settings.tags.iter().any(|other| other == tag))
        };
        let asked: Vec<_> = listed
            .outputs
            .iter()
            .filter(has_tag)
            .map(|entry| tokio::spawn(OutputMoment::take(Arc::clone(entry))))
            .collect();
        let mut outputs = Vec::with_capacity(asked.len());
        for output in asked {
            match output.await {
                Ok(output) => outputs.push(output),
                // Nothing in it panics; whoever cancels it has cancelled this too.
                Err(error) => tracing::error!(%error, "an output could not be looked at"),
            }
        }
        let mut inputs: Vec<_> = inputs.collect();
        // Reloads change the order in which they were entered.
        inputs.sort_by(|one, other| one.entry.id.cmp(&other.entry.id));
        outputs.sort_by(|one, other| one.entry.id.cmp(&other.entry.id));
        Self { registry: registry.clone(), stage: registry.stage(), at: Instant::now(), inputs, outputs }
    }
}

impl OutputMoment {
    async fn take(entry: Arc<OutputEntry>) -> Self {
        let doing = match &entry.running {
            Ok(running) => Some(Doing::take(running).await),
            Err(_) => None,
        };
        Self { entry, doing }
    }

    /// What runs of it, and what that was doing.
    #[must_use]
    pub fn running(&self) -> Option<(&RunningOutput, &Doing)> {
        Some((self.entry.running.as_ref().ok()?, self.doing.as_ref()?))
    }

    /// What its queue held, if it has one and that has answered.
    #[must_use]
    pub fn queue(&self) -> Option<&Stats> {
        self.doing.as_ref()?.queue.as_ref().ok()?.as_ref()
    }
}

impl Doing {
    async fn take(running: &RunningOutput) -> Self {
        let (queue, dead_letters) =
            tokio::join!(running.state.queue(PATIENCE), running.dead_letters.events(PATIENCE));
        Self { state: running.state.now(), queue, dead_letters }
    }
}

/// How long the oldest batch has been queued at `at`; nothing if none is, or if it was queued by a clock that nobody had
/// set.
#[must_use]
pub fn oldest_age(queue: &Stats, at: Instant) -> Option<Duration> {
    let clock = Steady::of_process();
    let appended_ms = queue.oldest_appended_ms.filter(|ms| *ms > 0 && clock.is_set())?;
    Some(Duration::from_millis(u64::try_from(clock.ms(at) - appended_ms).unwrap_or(0)))
}
