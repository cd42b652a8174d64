//! The outputs of the process, by id: what is wanted, what runs, and what takes the place of what.
//!
//! An output whose settings change is stopped, and what it has not sent goes over to the one that takes its place, together
//! with what the inputs have given meanwhile: from the first moment they send to the new one, which begins when the old one
//! has ended, since both may use the same queue.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::parts::{Happened, Tasks};
use super::reload::PreparedOutputs;
use crate::chunk::Chunk;
use crate::config::checked::{Config, Input, Output};
use crate::counters::OutputCounters;
use crate::dead_letters::DeadLetters;
use crate::driver::{Leftovers, Phase};
use crate::output::{self, OutputError, Prepared, Surroundings};
use crate::processing::{Pipeline, Route, Shaping};
use crate::registry::Registry;
use crate::ways::{Way, Ways};

/// One id.
#[derive(Debug, Default)]
struct Slot {
    wanted: Option<Arc<Output>>,
    running: Option<Running>,
    next: Option<Next>,
    /// The way to what is wanted, whether it runs already or not.
    way: Option<mpsc::Sender<Chunk>>,
    counters: Arc<OutputCounters>,
}

#[derive(Debug)]
struct Running {
    phase: watch::Sender<Phase>,
    dead_letters: DeadLetters,
}

/// What begins when that which runs has ended.
#[derive(Debug)]
struct Next {
    prepared: Prepared,
    incoming: mpsc::Receiver<Chunk>,
}

impl Slot {
    fn say_totals(&self, output: &str, when: &str) {
        let counters = &self.counters;
        tracing::info!(
            output,
            events = counters.events.get(),
            delivered = counters.delivered_events.get(),
            delivered_bytes = counters.delivered_bytes.get(),
            repeated = counters.repeated_events.get(),
            spooled_batches = counters.spooled_batches.get(),
            filtered = counters.filtered.get(),
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

    /// Is it there for what is in its queue, and nothing else?
    fn only_drains(&self) -> bool {
        self.wanted.as_ref().and_then(|output| output.inputs.as_ref()).is_some_and(Vec::is_empty)
    }
}

/// All outputs.
#[derive(Debug)]
pub(super) struct Outputs {
    slots: BTreeMap<Arc<str>, Slot>,
    host: Arc<str>,
    registry: Registry,
}

/// What an output has from those that have it start.
pub(super) struct Start<'a> {
    pub(super) data_dir: &'a Path,
    /// Until when it has to stop, if the process stops.
    pub(super) stopping: Option<Instant>,
    pub(super) tasks: &'a mut Tasks,
}

impl Outputs {
    pub(super) fn new(registry: Registry) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into();
        Self { slots: BTreeMap::new(), host, registry }
    }

    /// From now on these are wanted; `prepared` has those among them that are new or changed. Those that are in their way
    /// have until `until` to end.
    pub(super) fn want(&mut self, wanted: Vec<Arc<Output>>, mut prepared: PreparedOutputs, until: Instant) {
        let mut wanted: BTreeMap<Arc<str>, Arc<Output>> =
            wanted.into_iter().map(|output| (output.id.as_str().into(), output)).collect();
        for id in wanted.keys() {
            self.slots.entry(Arc::clone(id)).or_default();
        }
        for (id, slot) in &mut self.slots {
            slot.wanted = wanted.remove(id);
            match (&slot.wanted, prepared.remove(&**id)) {
                (Some(_), Some(prepared)) => {
                    // Where another one waits for its turn already, what it was given is for this one.
                    let incoming = slot.next.take().map_or_else(
                        || {
                            let (way, incoming) = output::way();
                            slot.way = Some(way);
                            incoming
                        },
                        |next| next.incoming,
                    );
                    slot.next = Some(Next { prepared, incoming });
                    if let Some(running) = &slot.running {
                        tracing::info!(output = &**id, "the output is restarted: its settings have changed");
                        running.phase.send_replace(Phase::HandOver(until));
                    }
                }
                (Some(settings), None) => self.registry.relabel_output(settings),
                (None, _) => {
                    slot.way = None;
                    slot.next = None;
                    if let Some(running) = &slot.running {
                        tracing::info!(
                            output = &**id,
                            "the output is stopped: the configuration has it no more"
                        );
                        running.phase.send_replace(Phase::Stop(until));
                    }
                }
            }
            if slot.only_drains() {
                // It ends when its queue is empty.
                slot.way = None;
            }
        }
    }

    /// What runs, and what was to follow it, has until then. The ways to it stay until the inputs have let go of them.
    pub(super) fn stop(&mut self, until: Instant) {
        for slot in self.slots.values_mut() {
            if let Some(running) = &slot.running {
                let phase = if slot.next.is_some() { Phase::HandOver(until) } else { Phase::Stop(until) };
                running.phase.send_replace(phase);
            }
        }
    }

    /// Starts what can begin: nothing of its id runs.
    pub(super) fn start_all(&mut self, start: &mut Start<'_>) -> Result<(), OutputError> {
        let can = |slot: &Slot| slot.running.is_none() && slot.next.is_some();
        let ids: Vec<_> =
            self.slots.iter().filter(|(_, slot)| can(slot)).map(|(id, _)| Arc::clone(id)).collect();
        ids.iter().try_for_each(|id| self.start(id, Leftovers::default(), start))
    }

    fn start(
        &mut self,
        id: &Arc<str>,
        inherited: Leftovers,
        start: &mut Start<'_>,
    ) -> Result<(), OutputError> {
        let Some(slot) = self.slots.get_mut(id) else { return Ok(()) };
        let Some(Next { prepared, incoming }) = slot.next.take() else { return Ok(()) };
        let (phase, follow) = watch::channel(Phase::Run);
        if let Some(until) = start.stopping {
            phase.send_replace(Phase::Stop(until));
        }
        let settings = Arc::clone(&prepared.settings);
        let around = Surroundings {
            data_dir: start.data_dir,
            host: Arc::clone(&self.host),
            counters: Arc::clone(&slot.counters),
            inherited,
            phase: follow,
        };
        let assembled = output::assemble(prepared, around)?;
        let way = slot.way.as_ref().map_or_else(|| output::way().0.downgrade(), mpsc::Sender::downgrade);
        self.registry.enter_output(&settings, &assembled, way);
        let (assembler, driver) = (assembled.assembler, assembled.driver);
        let (of_assembler, of_driver) = (Arc::clone(id), Arc::clone(id));
        start.tasks.spawn(async move { Happened::Assembler(of_assembler, assembler.run(incoming).await) });
        start.tasks.spawn(async move { Happened::Driver(of_driver, driver.run().await) });
        let (stream, region) = (&settings.stream_name, &settings.region);
        tracing::info!(output = &**id, stream, region, endpoint = settings.endpoint, "output started");
        slot.running = Some(Running { phase, dead_letters: assembled.dead_letters });
        Ok(())
    }

    /// The output has ended, and left something behind. What was to follow it begins.
    pub(super) fn on_ended(
        &mut self,
        id: &Arc<str>,
        left: Leftovers,
        start: &mut Start<'_>,
    ) -> Result<(), OutputError> {
        self.close_dead_letters(id);
        let Some(slot) = self.slots.get_mut(id) else { return Ok(()) };
        if slot.next.is_some() {
            let batches = left.batches();
            if batches > 0 {
                tracing::info!(
                    output = &**id,
                    batches,
                    "what was not sent yet goes over to the new settings"
                );
            }
            return self.start(id, left, start);
        }
        slot.counters.abandoned_events.add(left.events());
        if start.stopping.is_some() {
            return Ok(());
        }
        if slot.only_drains() {
            tracing::info!(
                output = &**id,
                "the queue that this output left is drained: its directory can be removed"
            );
        }
        if slot.wanted.is_none() || slot.only_drains() {
            self.registry.output_ended(id);
        }
        if slot.wanted.is_none() {
            slot.say_totals(id, "in all");
            self.slots.remove(id);
        }
        Ok(())
    }

    fn close_dead_letters(&mut self, id: &str) {
        let running = self.slots.get_mut(id).and_then(|slot| slot.running.take());
        if let Some(Running { dead_letters, .. }) = running
            && let Err(error) = dead_letters.close()
        {
            tracing::error!(output = id, %error, "the dead letters were not closed cleanly");
        }
    }

    /// No input will send any more: the outputs see the end.
    pub(super) fn close_ways(&mut self) {
        self.slots.values_mut().for_each(|slot| slot.way = None);
    }

    /// The ways from an input, in the order of the configuration.
    pub(super) fn ways(&self, config: &Config, input: &Input) -> Ways {
        let way = |wanted: &Output| {
            let slot = self.slots.get(&*wanted.id)?;
            slot.wanted.as_ref()?;
            let route = self.route(input, wanted, Arc::clone(&slot.counters));
            Some(Way { route: Arc::new(route), chunks: slot.way.clone()? })
        };
        let takers = config.outputs.iter().filter(|output| output.active && output.takes(&input.id));
        Ways {
            shaping: input.pipeline.as_ref().map(|pipeline| self.shaping(pipeline)),
            ways: takers.filter_map(way).collect(),
            host: Arc::clone(&self.host),
            ..Ways::default()
        }
    }

    fn route(&self, input: &Input, output: &Output, counters: Arc<OutputCounters>) -> Route {
        let shaping = output.route.pipeline.as_ref().map(|pipeline| self.shaping(pipeline));
        Route { counters, shaping, ..Route::new(input, output, &self.host) }
    }

    fn shaping(&self, pipeline: &Arc<Pipeline>) -> Shaping {
        Shaping { pipeline: Arc::clone(pipeline), counters: self.registry.pipeline(&pipeline.name) }
    }

    /// A number that grows with everything that outputs do.
    pub(super) fn flow(&self) -> u64 {
        let counts = |slot: &Slot| {
            let counters = &slot.counters;
            let flow =
                counters.events.get() + counters.delivered_events.get() + counters.spooled_batches.get();
            flow + counters.dropped()
        };
        self.slots.values().map(counts).sum()
    }

    pub(super) fn say_totals(&self, when: &str) {
        self.slots.iter().for_each(|(output, slot)| slot.say_totals(output, when));
    }
}
