//! Sending: the driver of an output, with a replay's batches as its backlog and without inputs.

use std::sync::Arc;
use std::time::Duration;

use millpond_kinesis::Output as KinesisOutput;
use millpond_queue::Sequence;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::course::Shared;
use super::pulse::Pulse;
use super::screen::{Picture, Screen};
use crate::backlog::Source;
use crate::config::checked::{Backpressure, OnFull, QueueMode};
use crate::counters::OutputCounters;
use crate::dead_letters::DeadLetters;
use crate::driver::{Backlog, Driver, Keeper, Leftovers, Notice, Phase, Wires};
use crate::forwarder::{Forwarder, Policy};
use crate::ledger::Ledger;
use crate::output_state::OutputView;
use crate::put::Sender;
use crate::queue_thread::Report;
use crate::rate::DrainLimits;
use crate::service::{Asked, Signals};

/// How often the screen is brought up to date.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where a replay goes, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it is called in the log.
    pub id: Arc<str>,
    /// The way to the stream.
    pub output: KinesisOutput,
    /// Where refused records are kept.
    pub dead_letters: DeadLetters,
    /// What is counted.
    pub counters: Arc<OutputCounters>,
    /// Batches in flight.
    pub concurrency: u32,
    /// How fast.
    pub limits: DrainLimits,
    /// How long a stop waits for what flies.
    pub stop_max: Duration,
}

/// How a run has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All that the source gave is through.
    Through,
    /// It was told to stop.
    Interrupted,
    /// It could not go on.
    Failed(String),
}

/// Sends all that the source gives, for as long as it takes, or until a signal comes: then what flies has its time, and the
/// second signal takes that away.
pub async fn send(
    target: Target,
    source: Box<dyn Source>,
    ledger: Ledger,
    shared: &Shared,
    signals: &mut Signals,
    screen: &mut Screen,
) -> Ended {
    let (phase, phases) = watch::channel(Phase::Run);
    let (stop_max, counters) = (target.stop_max, Arc::clone(&target.counters));
    let driver = driver(target, source, ledger, phases);
    let mut view = driver.view();
    let driving = tokio::spawn(driver.run());
    tokio::pin!(driving);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (began, mut pulse) = (Instant::now(), Pulse::default());
    let mut watched = true;
    let outcome = loop {
        tokio::select! {
            outcome = &mut driving => break outcome,
            asked = signals.next() => {
                if asked == Asked::Stop {
                    let again = *phase.borrow() != Phase::Run;
                    let until = if again { Instant::now() } else { Instant::now() + stop_max };
                    screen.say("stopping: what is on its way is waited for; once more, and it is not");
                    phase.send_replace(Phase::Stop(until));
                }
            }
            changed = view.changed(), if watched => {
                watched = changed;
                screen.changed(&picture(shared, &view, &pulse));
            }
            _ = looks.tick() => {
                pulse.look(began.elapsed(), counters.delivered_events.get());
                screen.show(&picture(shared, &view, &pulse));
            }
        }
    };
    let stopped = *phase.borrow() != Phase::Run;
    match outcome {
        Ok(Ok(_)) if stopped && !is_through(shared) => Ended::Interrupted,
        Ok(Ok(_)) => Ended::Through,
        Ok(Err(error)) => Ended::Failed(error.to_string()),
        Err(error) => Ended::Failed(error.to_string()),
    }
}

fn is_through(shared: &Shared) -> bool {
    let progress = shared.lock();
    progress.ended && progress.course.is_settled()
}

fn driver(target: Target, source: Box<dyn Source>, ledger: Ledger, phase: watch::Receiver<Phase>) -> Driver {
    let policy = Policy {
        backpressure: Backpressure::Block,
        queue_mode: QueueMode::Error,
        strict_ordering: true,
        on_full: OnFull::Block,
        drain: target.limits,
        concurrency: target.concurrency,
    };
    let (notify, notices) = mpsc::unbounded_channel();
    // All that there is can be read from the beginning; the number stands for it. Until the machine hears of it, it does not
    // take the end of the inputs for the end of all.
    let machine = Forwarder::new(policy, 1, fastrand::u64(..));
    notify.send(Notice::Queue(Report::Readable(Sequence(1)))).ok();
    let (_, encodings) = mpsc::channel(1);
    let (_, control) = mpsc::channel(1);
    let wires =
        Wires { encodings, inherited: Leftovers::default(), notices: (notify, notices), phase, control };
    let sender = Sender {
        id: target.id,
        output: target.output,
        dead_letters: target.dead_letters,
        counters: target.counters,
    };
    let backlog = Backlog { keeper: Keeper::Ledger(ledger), reader: Some(source) };
    Driver::new(machine, sender, Some(backlog), wires, u64::MAX)
}

fn picture(shared: &Shared, view: &OutputView, pulse: &Pulse) -> Picture {
    let state = view.now();
    let progress = shared.lock();
    Picture {
        events: progress.course.settled.events,
        event_time_ms: progress.event_time_ms,
        condition: state.condition,
        reason: state.last_failure.map(|failure| failure.reason),
        pulse: pulse.clone(),
    }
}
