//! What runs in this process, for whoever looks at it from outside: the admin address.
//!
//! Whoever starts an input or an output enters it here, and takes it out when it has ended; they come and go while the
//! process runs. Looking takes a copy of the list and holds up nobody: what an entry leads to are counters and views that
//! are made to be read from anywhere. Nothing here keeps an output alive: it sees the end of its inputs, and can close its
//! dead letters, whatever is entered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use crate::chunk::Chunk;
use crate::clock;
use crate::config::checked::{Config, Input, Output};
use crate::counters::{Counter, OutputCounters};
use crate::dead_letters::DeadLetterView;
use crate::driver::Control;
use crate::inputs::InputCounters;
use crate::output::Assembled;
use crate::output_state::OutputView;
use crate::processing::PipelineCounters;

/// What runs in this process. A clone is the same registry.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    environment: String,
    started: Instant,
    started_ms: i64,
    stage: watch::Sender<Stage>,
    listed: RwLock<Arc<Listed>>,
    reloads: Reloads,
    pipelines: Mutex<BTreeMap<Arc<str>, Arc<PipelineCounters>>>,
    lines_held_back: OnceLock<Arc<Counter>>,
}

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Inputs and outputs are being started.
    Starting,
    /// Everything was started.
    Running,
    /// It was told to stop.
    Stopping,
}

impl Stage {
    /// The word in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
        }
    }
}

/// All inputs and outputs at one moment, in the order in which they were entered.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// The inputs.
    pub inputs: Vec<Arc<InputEntry>>,
    /// The outputs, those that are not active among them.
    pub outputs: Vec<Arc<OutputEntry>>,
}

/// An input.
#[derive(Debug)]
pub struct InputEntry {
    /// Its name in the configuration.
    pub id: Arc<str>,
    /// Its type in the configuration, such as `file`.
    pub kind: &'static str,
    /// What it counts.
    pub counters: Arc<InputCounters>,
    stage: watch::Sender<InputStage>,
}

/// How far an input is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputStage {
    /// It does not take events yet.
    Starting,
    /// It takes events.
    Accepting,
    /// It cannot take events, for this reason, and tries again.
    Failing(String),
    /// It has ended: stopped, or there will be nothing more to read.
    Ended,
}

/// An output.
#[derive(Debug)]
pub struct OutputEntry {
    /// Its name in the configuration.
    pub id: Arc<str>,
    /// What the configuration says of it.
    pub settings: Arc<Output>,
    /// What runs of it; `Err` says in words why it is not active.
    pub running: Result<RunningOutput, String>,
}

/// An output that runs.
#[derive(Debug, Clone)]
pub struct RunningOutput {
    /// What it counts.
    pub counters: Arc<OutputCounters>,
    /// What it is doing.
    pub state: OutputView,
    /// Pauses and resumes it.
    pub control: mpsc::Sender<Control>,
    /// What could never be delivered.
    pub dead_letters: DeadLetterView,
    /// The way into it. Weak: it ends when its inputs have, and nobody here is one.
    pub chunks: mpsc::WeakSender<Chunk>,
}

/// How often the configuration was read again while the process ran.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Times that the new one was taken.
    pub succeeded: Counter,
    /// Times that it was refused, and the old one stayed.
    pub refused: Counter,
    /// The last one was refused.
    is_refused: AtomicBool,
    /// When the one that runs was taken: at the start, or at the last reload that succeeded; milliseconds since the Unix
    /// epoch.
    taken_ms: AtomicI64,
}

impl Reloads {
    /// The new configuration runs.
    pub fn succeed(&self) {
        self.succeeded.add(1);
        self.is_refused.store(false, Ordering::Relaxed);
        self.taken_ms.store(clock::unix_ms(), Ordering::Relaxed);
    }

    /// The new configuration is bad, and the old one goes on.
    pub fn refuse(&self) {
        self.refused.add(1);
        self.is_refused.store(true, Ordering::Relaxed);
    }

    /// Was the last one refused, so that what runs is not what the file says?
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// When the configuration that runs was taken, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn taken_ms(&self) -> i64 {
        self.taken_ms.load(Ordering::Relaxed)
    }
}

impl Registry {
    /// An empty one. `environment` is the name of the environment that runs here; it may be empty.
    #[must_use]
    pub fn new(environment: &str) -> Self {
        let reloads = Reloads { taken_ms: clock::unix_ms().into(), ..Reloads::default() };
        let shared = Shared {
            environment: environment.to_owned(),
            started: Instant::now(),
            started_ms: clock::unix_ms(),
            stage: watch::Sender::new(Stage::Starting),
            listed: RwLock::default(),
            reloads,
            pipelines: Mutex::default(),
            lines_held_back: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The name of the environment that runs here; it may be empty.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.shared.environment
    }

    /// When the process started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.shared.started
    }

    /// When the process started, in milliseconds since the Unix epoch, by the system's clock at that time.
    #[must_use]
    pub fn started_ms(&self) -> i64 {
        self.shared.started_ms
    }

    /// How far the process is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.shared.stage.borrow()
    }

    /// Waits until the process was told to stop.
    pub async fn stopping(&self) {
        // The sender lives as long as this.
        self.shared.stage.subscribe().wait_for(|stage| *stage == Stage::Stopping).await.ok();
    }

    /// The process is so far.
    pub fn set_stage(&self, stage: Stage) {
        self.shared.stage.send_replace(stage);
    }

    /// Lines of the log that were held back are counted here; it is told once.
    pub fn enter_log(&self, held_back: Arc<Counter>) {
        self.shared.lines_held_back.get_or_init(|| held_back);
    }

    /// Lines of the log that were held back, if the log tells of them.
    #[must_use]
    pub fn lines_held_back(&self) -> Option<u64> {
        self.shared.lines_held_back.get().map(|lines| lines.get())
    }

    /// How often the configuration was read again.
    #[must_use]
    pub fn reloads(&self) -> &Reloads {
        &self.shared.reloads
    }

    /// What the pipeline of this name counts. It goes on counting whatever it is changed to.
    #[must_use]
    pub fn pipeline(&self, name: &Arc<str>) -> Arc<PipelineCounters> {
        let mut all = self.shared.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(Arc::clone(name)).or_default())
    }

    /// What all pipelines count that are or were in use, by name.
    #[must_use]
    pub fn pipelines(&self) -> BTreeMap<Arc<str>, Arc<PipelineCounters>> {
        self.shared.pipelines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What runs now.
    #[must_use]
    pub fn listed(&self) -> Arc<Listed> {
        // What it guards is replaced in one step, so a panic of another leaves it whole.
        Arc::clone(&self.shared.listed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Enters an input, which takes the place of one with its id. It is starting until the entry says otherwise.
    pub fn enter_input(&self, input: &Input, counters: Arc<InputCounters>) -> Arc<InputEntry> {
        let stage = watch::Sender::new(InputStage::Starting);
        let entry =
            Arc::new(InputEntry { id: input.id.as_str().into(), kind: input.kind.name(), counters, stage });
        self.change(|listed| put(&mut listed.inputs, Arc::clone(&entry), |input| &input.id));
        entry
    }

    /// Enters an output that is about to run, with the way into it; it takes the place of one with its id.
    pub fn enter_output(&self, settings: &Output, output: &Assembled, chunks: mpsc::WeakSender<Chunk>) {
        let running = RunningOutput {
            counters: Arc::clone(&output.counters),
            state: output.state.clone(),
            control: output.control.clone(),
            dead_letters: output.dead_letters.view(),
            chunks,
        };
        self.enter(settings, Ok(running));
    }

    /// The configuration says something else of an output that goes on running as it is.
    pub fn relabel_output(&self, settings: &Arc<Output>) {
        self.change(|listed| {
            for entry in listed.outputs.iter_mut().filter(|entry| *entry.id == *settings.id) {
                let (id, running) = (Arc::clone(&entry.id), entry.running.clone());
                *entry = Arc::new(OutputEntry { id, settings: Arc::clone(settings), running });
            }
        });
    }

    /// Enters an output that is configured and not active, with the reason in words.
    pub fn enter_inactive(&self, settings: &Output, reason: String) {
        self.enter(settings, Err(reason));
    }

    fn enter(&self, settings: &Output, running: Result<RunningOutput, String>) {
        let entry = Arc::new(OutputEntry {
            id: settings.id.as_str().into(),
            settings: Arc::new(settings.clone()),
            running,
        });
        self.change(|listed| put(&mut listed.outputs, entry, |output| &output.id));
    }

    /// The input has ended, and stays listed until it is taken out.
    pub fn input_ended(&self, id: &str) {
        self.listed()
            .inputs
            .iter()
            .filter(|input| &*input.id == id)
            .for_each(|input| input.set_stage(InputStage::Ended));
    }

    /// Lists everything in the order of the configuration; what is not in it comes last.
    pub fn arrange(&self, config: &Config) {
        let input = |id: &str| config.inputs.iter().position(|input| input.id == id).unwrap_or(usize::MAX);
        let output =
            |id: &str| config.outputs.iter().position(|output| output.id == id).unwrap_or(usize::MAX);
        self.change(|listed| {
            listed.inputs.sort_by_key(|entry| input(&entry.id));
            listed.outputs.sort_by_key(|entry| output(&entry.id));
        });
    }

    /// Takes out an input.
    pub fn remove_input(&self, id: &str) {
        self.change(|listed| listed.inputs.retain(|input| &*input.id != id));
    }

    /// Takes out an output.
    pub fn remove_output(&self, id: &str) {
        self.change(|listed| listed.outputs.retain(|output| &*output.id != id));
    }

    /// The output that ran under this name has ended. One that is configured and not active stays listed.
    pub fn output_ended(&self, id: &str) {
        self.change(|listed| listed.outputs.retain(|output| &*output.id != id || output.running.is_err()));
    }

    fn change(&self, change: impl FnOnce(&mut Listed)) {
        let mut listed = self.shared.listed.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut listed));
    }
}

/// Puts `entry` in the place of the one with its id, or at the end.
fn put<T>(entries: &mut Vec<Arc<T>>, entry: Arc<T>, id: impl Fn(&T) -> &Arc<str>) {
    match entries.iter_mut().find(|other| id(other) == id(&entry)) {
        Some(other) => *other = entry,
        None => entries.push(entry),
    }
}

impl InputStage {
    /// Every word for a stage, in the order in which they are shown.
    pub const WORDS: [&'static str; 4] = ["starting", "accepting", "failing", "ended"];

    /// Does it take events, or has it taken all there are?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Accepting | Self::Ended)
    }

    /// The word in status and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Accepting => "accepting",
            Self::Failing(_) => "failing",
            Self::Ended => "ended",
        }
    }
}

impl InputEntry {
    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> InputStage {
        self.stage.borrow().clone()
    }

    /// It is so far.
    pub fn set_stage(&self, stage: InputStage) {
        self.stage.send_replace(stage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::InputKind;

    fn input(id: &str) -> Input {
        Input {
            id: id.to_owned(),
            codec: crate::chunk::Codec::Text,
            max_line: 1,
            pipeline: None,
            kind: InputKind::Stdin,
        }
    }

    fn ids(registry: &Registry) -> Vec<String> {
        registry.listed().inputs.iter().map(|input| input.id.to_string()).collect()
    }

    #[test]
    fn an_entry_takes_the_place_of_the_one_with_its_id() {
        let registry = Registry::new("");
        let enter = |id| registry.enter_input(&input(id), Arc::default());
        let first = enter("a");
        enter("b");
        let before = registry.listed();
        let second = enter("a");
        second.set_stage(InputStage::Accepting);
        assert_eq!(ids(&registry), ["a", "b"]);
        assert_eq!(registry.listed().inputs[0].stage(), InputStage::Accepting);
        assert_eq!((first.stage(), before.inputs[0].stage()), (InputStage::Starting, InputStage::Starting));
        registry.input_ended("a");
        assert_eq!((second.stage(), first.stage()), (InputStage::Ended, InputStage::Starting));
        registry.remove_input("a");
        assert_eq!((ids(&registry), before.inputs.len()), (vec!["b".to_owned()], 2));
    }
}
