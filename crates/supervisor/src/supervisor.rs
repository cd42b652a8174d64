//! Starts inputs and outputs, waits for a signal or for their end, and stops them in the right order: inputs first,
//! then what is open is sealed, then what flies lands or is kept, then positions are written.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::assembler::AssemblyError;
use crate::chunk::Fanout;
use crate::clock::Steady;
use crate::config::checked::{Config, Input};
use crate::counters::OutputCounters;
use crate::dead_letters::DeadLetters;
use crate::driver::{DriveError, Phase};
use crate::inputs::{self, InputCounters, InputError};
use crate::orphans;
use crate::output::{self, OutputError};
use crate::registry::{InputStage, Registry, Stage};
use crate::service::{Asked, Service, Signals};

/// How often what was forwarded is summed up in the log, if anything was.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// Why the forwarder did not run, or did not run to a clean end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An output cannot start.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// An input cannot start.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Something ended that should not have; the log says what.
    #[error("stopped because a part of it failed; the log above says which and why")]
    Failed,
}

/// Something has ended.
enum Ended {
    Input(Arc<str>, Result<(), InputError>),
    Assembler(Arc<str>, Result<(), AssemblyError>),
    Driver(Arc<str>, Result<(), DriveError>),
}

/// Everything that runs.
struct Running {
    parts: JoinSet<Ended>,
    phase: watch::Sender<Phase>,
    stop_inputs: watch::Sender<bool>,
    inputs: Vec<(Arc<str>, Arc<InputCounters>)>,
    outputs: Vec<(Arc<str>, Arc<OutputCounters>, DeadLetters)>,
    registry: Registry,
    service: Service,
}

/// Forwards until all inputs have ended and everything is delivered, or until SIGTERM or SIGINT. One that came before
/// this begins stops it as well, once all has started. What runs is entered in `registry`; `service` hears how far it is.
///
/// # Errors
/// See [`RunError`].
pub async fn run(
    config: &Config,
    registry: &Registry,
    mut signals: Signals,
    service: &Service,
) -> Result<(), RunError> {
    let mut running = start(config, registry, service).await?;
    service.ready(registry);
    let mut failed = false;
    let mut summary = tokio::time::interval_at(Instant::now() + SUMMARY_EVERY, SUMMARY_EVERY);
    let mut summed_up = 0;
    loop {
        tokio::select! {
            ended = running.parts.join_next() => match ended {
                None => break,
                Some(Ok(ended)) => {
                    if let Ended::Input(id, _) = &ended {
                        registry.input_ended(id);
                    }
                    if !say_end(ended) {
                        failed = true;
                        running.stop(config.shutdown_timeout);
                    }
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "a part of the forwarder panicked: stopping");
                    failed = true;
                    running.stop(config.shutdown_timeout);
                }
            },
            asked = signals.next() => match asked {
                Asked::Stop => running.on_signal(config.shutdown_timeout),
                Asked::Reload => {
                    tracing::warn!("SIGHUP: this version does not reload its configuration while running; restart it");
                }
            },
            _ = summary.tick() => summed_up = running.sum_up(summed_up),
        }
    }
    running.finish();
    if failed { Err(RunError::Failed) } else { Ok(()) }
}

async fn start(config: &Config, registry: &Registry, service: &Service) -> Result<Running, RunError> {
    start_the_clock(config);
    let (phase, follow_phase) = watch::channel(Phase::Run);
    let (stop_inputs, follow_stop) = watch::channel(false);
    let host: Arc<str> = rustix::system::uname().nodename().to_string_lossy().into();
    let mut running = Running {
        parts: JoinSet::new(),
        phase,
        stop_inputs,
        inputs: Vec::new(),
        outputs: Vec::new(),
        registry: registry.clone(),
        service: service.clone(),
    };
    let mut ways = Vec::new();
    for settings in &config.outputs {
        if !settings.active {
            registry.enter_inactive(settings, "it belongs to another environment".to_owned());
            continue;
        }
        let output = output::assemble(config, settings, &host, follow_phase.clone()).await?;
        registry.enter_output(settings, &output);
        ways.push(output.chunks);
        let (id, assembler, incoming) = (Arc::clone(&output.id), output.assembler, output.incoming);
        running.parts.spawn(async move { Ended::Assembler(id, assembler.run(incoming).await) });
        let (id, driver) = (Arc::clone(&output.id), output.driver);
        running.parts.spawn(async move { Ended::Driver(id, driver.run().await) });
        let (stream, region) = (&settings.stream_name, &settings.region);
        tracing::info!(output = &*output.id, stream, region, endpoint = settings.endpoint, "output started");
        running.outputs.push((output.id, output.counters, output.dead_letters));
    }
    say_orphans(config);
    let fanout = Fanout::new(ways);
    for settings in &config.inputs {
        running.start_input(config, settings, fanout.clone(), follow_stop.clone())?;
    }
    registry.set_stage(Stage::Running);
    Ok(running)
}

/// From now on the process has its own clock.
fn start_the_clock(config: &Config) {
    let matters = config.outputs.iter().any(|output| output.active && output.queue.max_age.is_some());
    if !Steady::of_process().is_set() && matters {
        tracing::warn!(
            "the system's clock is not set: until the next start no batch has an age, and none expires"
        );
    }
}

/// A queue that nobody drains is never left to rot in silence.
fn say_orphans(config: &Config) {
    match orphans::find(config) {
        Ok(found) => {
            for orphan in found {
                tracing::warn!(
                    directory = %orphan.directory.display(),
                    batches = orphan.batches,
                    "no output drains this queue: give its output back the name of the directory and `backpressure: \
                     queue`, or move the directory away"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "could not look for queues that no output drains"),
    }
}

/// Says how a part ended; `false` when it should not have ended like this.
fn say_end(ended: Ended) -> bool {
    match ended {
        Ended::Input(_, Ok(())) | Ended::Assembler(_, Ok(())) | Ended::Driver(_, Ok(())) => true,
        Ended::Input(input, Err(error)) => {
            tracing::error!(input = &*input, %error, "an input failed: stopping");
            false
        }
        // The driver says why.
        Ended::Assembler(_, Err(AssemblyError::Closed)) => false,
        Ended::Assembler(output, Err(error @ AssemblyError::DeadLetter(_))) => {
            tracing::error!(output = &*output, %error, "an output failed: stopping");
            false
        }
        Ended::Driver(output, Err(error)) => {
            tracing::error!(output = &*output, %error, "an output failed: stopping");
            false
        }
    }
}

impl Running {
    fn start_input(
        &mut self,
        config: &Config,
        settings: &Input,
        fanout: Fanout,
        stop: watch::Receiver<bool>,
    ) -> Result<(), RunError> {
        let counters = Arc::new(InputCounters::default());
        let entry = self.registry.enter_input(settings, Arc::clone(&counters));
        let mut handle = inputs::spawn(settings, &config.data_dir, fanout, stop, Arc::clone(&counters))?;
        entry.set_stage(InputStage::Accepting);
        let id: Arc<str> = settings.id.as_str().into();
        self.inputs.push((Arc::clone(&id), counters));
        self.parts.spawn(async move { Ended::Input(id, handle.finished().await) });
        Ok(())
    }

    fn stop(&self, patience: Duration) {
        self.registry.set_stage(Stage::Stopping);
        self.stop_inputs.send_replace(true);
        let until = Instant::now() + patience;
        let is_news = self.phase.send_if_modified(|phase| {
            let runs = matches!(*phase, Phase::Run);
            if runs {
                *phase = Phase::Stop(until);
            }
            runs
        });
        if is_news {
            self.service.stopping(patience);
        }
    }

    fn on_signal(&self, patience: Duration) {
        if matches!(*self.phase.borrow(), Phase::Run) {
            tracing::info!(patience_secs = patience.as_secs_f32(), "stopping; a second signal stops at once");
            self.stop(patience);
        } else {
            tracing::warn!("stopping at once: what flies may be repeated after the next start");
            self.phase.send_replace(Phase::Stop(Instant::now()));
        }
    }

    /// Logs what was forwarded so far if that has changed since `before`; returns what to compare with next time.
    fn sum_up(&self, before: u64) -> u64 {
        let counts = |(_, counters, _): &(Arc<str>, Arc<OutputCounters>, DeadLetters)| {
            let flow =
                counters.events.get() + counters.delivered_events.get() + counters.spooled_batches.get();
            flow + counters.dropped()
        };
        let now = self.outputs.iter().map(counts).sum();
        if now != before {
            self.say_totals("so far");
        }
        now
    }

    fn say_totals(&self, when: &str) {
        for (input, counters) in &self.inputs {
            let (events, bytes, cut) =
                (counters.events.get(), counters.bytes.get(), counters.lines_cut.get());
            tracing::info!(input = &**input, events, bytes, lines_cut = cut, "read {when}");
        }
        for (output, counters, _) in &self.outputs {
            tracing::info!(
                output = &**output,
                events = counters.events.get(),
                delivered = counters.delivered_events.get(),
                delivered_bytes = counters.delivered_bytes.get(),
                repeated = counters.repeated_events.get(),
                spooled_batches = counters.spooled_batches.get(),
                dropped = counters.dropped(),
                dropped_oldest = counters.dropped_oldest.get(),
                expired = counters.expired.get(),
                dead_letters = counters.dead_letters.get(),
                unacknowledged = counters.abandoned_events.get(),
                puts = counters.puts.total(),
                failed_puts = counters.puts.failed(),
                put_p50_ms = counters.puts.duration.quantile_ms(0.5),
                put_p99_ms = counters.puts.duration.quantile_ms(0.99),
                put_outcomes = (counters.puts.total() > 0).then(|| tracing::field::display(&counters.puts)),
                "forwarded {when}"
            );
        }
    }

    fn finish(self) {
        self.say_totals("in all");
        for (output, _, dead_letters) in self.outputs {
            if let Err(error) = dead_letters.close() {
                tracing::error!(output = &*output, %error, "the dead letters were not closed cleanly");
            }
        }
        tracing::info!("stopped");
    }
}
