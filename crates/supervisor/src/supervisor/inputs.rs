//! The inputs of the process, by id: what is wanted, what runs, and what stands between the two.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::parts::{Happened, Tasks};
use crate::config::checked::Input;
use crate::inputs::{self, Count, InputCounters, InputError, Started};
use crate::registry::{InputEntry, InputStage, Registry, Stage};
use crate::ways::{Fanout, Ways};

/// Bounds of the delay before an input that has failed is started again; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// One id.
#[derive(Debug, Default)]
struct Slot {
    wanted: Option<Arc<Input>>,
    running: Option<Running>,
    counters: Arc<InputCounters>,
    /// What is wanted was read to its end.
    is_over: bool,
    /// Times that it has failed in a row.
    failures: u32,
    /// What waits until it is started again.
    retry: Option<AbortHandle>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.give_up_retry();
    }
}

#[derive(Debug)]
struct Running {
    settings: Arc<Input>,
    /// Tells this one from those before it under the same id.
    number: u64,
    stop: watch::Sender<bool>,
    ways: watch::Sender<Arc<Ways>>,
    /// It may send chunks still.
    sends: bool,
    entry: Arc<InputEntry>,
}

/// All inputs.
#[derive(Debug)]
pub(super) struct Inputs {
    slots: BTreeMap<Arc<str>, Slot>,
    next_number: u64,
    registry: Registry,
}

/// How an input that has ended with an error goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// It is started again by and by.
    Retry,
    /// It has never worked since the process started: a person is there, who should see that.
    Fatal,
}

impl Inputs {
    pub(super) fn new(registry: Registry) -> Self {
        Self { slots: BTreeMap::new(), next_number: 0, registry }
    }

    /// From now on these are wanted. Those that run otherwise are told to stop.
    pub(super) fn want(&mut self, wanted: impl IntoIterator<Item = Arc<Input>>) {
        let mut wanted: BTreeMap<Arc<str>, Arc<Input>> =
            wanted.into_iter().map(|input| (input.id.as_str().into(), input)).collect();
        for id in wanted.keys() {
            self.slots.entry(Arc::clone(id)).or_default();
        }
        for (id, slot) in &mut self.slots {
            let wants = wanted.remove(id);
            if !same(slot.wanted.as_deref(), wants.as_deref()) {
                slot.is_over = false;
                slot.failures = 0;
                slot.give_up_retry();
            }
            slot.wanted = wants;
            match (&mut slot.running, &slot.wanted) {
                // Its pipeline may be another one, which does not concern what runs.
                (Some(running), Some(wanted)) if wanted.runs_like(&running.settings) => {
                    running.settings = Arc::clone(wanted);
                }
                (Some(running), _) => {
                    tracing::info!(
                        input = &**id,
                        "the input is stopped: its settings have changed, or it is gone"
                    );
                    running.stop.send_replace(true);
                }
                (None, _) => {}
            }
        }
        self.forget();
    }

    /// Nothing is wanted any more.
    pub(super) fn stop(&mut self) {
        for slot in self.slots.values_mut() {
            slot.wanted = None;
            slot.give_up_retry();
            if let Some(running) = &slot.running {
                running.stop.send_replace(true);
            }
        }
        // Those that waited to be tried again.
        self.forget();
    }

    /// Takes out what neither runs nor is wanted.
    fn forget(&mut self) {
        let registry = &self.registry;
        let stopping = self.registry.stage() == Stage::Stopping;
        self.slots.retain(|id, slot| {
            // At a stop all of them stay, for the totals.
            let stays = stopping || slot.running.is_some() || slot.wanted.is_some();
            if !stays {
                slot.say_totals(id, "in all");
                registry.remove_input(id);
            }
            stays
        });
    }

    /// Ids of what is wanted and does not run, and does not wait to be tried again.
    pub(super) fn to_start(&self) -> Vec<Arc<str>> {
        let starts = |slot: &Slot| {
            slot.wanted.is_some() && slot.running.is_none() && !slot.is_over && slot.failures == 0
        };
        self.slots.iter().filter(|(_, slot)| starts(slot)).map(|(id, _)| Arc::clone(id)).collect()
    }

    /// Starts what is wanted under this id, with these ways to the outputs.
    pub(super) fn start(
        &mut self,
        id: &Arc<str>,
        data_dir: &Path,
        ways: impl FnOnce(&Input) -> Ways,
        tasks: &mut Tasks,
    ) -> Result<(), InputError> {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.running.is_none()) else { return Ok(()) };
        let Some(settings) = slot.wanted.clone() else { return Ok(()) };
        let number = self.next_number;
        self.next_number += 1;
        let entry = self.registry.enter_input(&settings, Arc::clone(&slot.counters));
        let (stop, follow_stop) = watch::channel(false);
        let ways = Ways { counters: Arc::clone(&slot.counters), ..ways(&settings) };
        let (ways, follow_ways) = watch::channel(Arc::new(ways));
        let (started, mut hear) = Started::new();
        let fanout = Fanout::new(follow_ways);
        let counters = Arc::clone(&slot.counters);
        let mut handle = inputs::spawn(&settings, data_dir, fanout, follow_stop, counters, started)?;
        let (ended, let_go) = (Arc::clone(id), ways.clone());
        tasks.spawn(async move { Happened::Input(ended, handle.finished().await) });
        let (began, quiet) = (Arc::clone(id), Arc::clone(id));
        tasks.spawn(async move {
            let has_started = hear.wait_for(|started| *started).await.is_ok();
            if has_started { Happened::InputStarted(began, number) } else { Happened::Nothing }
        });
        tasks.spawn(async move {
            let_go.closed().await;
            Happened::InputSendsNoMore(quiet, number)
        });
        slot.running = Some(Running { settings, number, stop, ways, sends: true, entry });
        Ok(())
    }

    fn running(&mut self, id: &str, number: u64) -> Option<&mut Running> {
        self.slots.get_mut(id)?.running.as_mut().filter(|running| running.number == number)
    }

    pub(super) fn on_started(&mut self, id: &str, number: u64) {
        let Some(running) = self.running(id, number) else { return };
        running.entry.set_stage(InputStage::Accepting);
        if let Some(slot) = self.slots.get_mut(id) {
            slot.failures = 0;
        }
    }

    /// The input holds no way any more. What the other end of them sees is that they are gone.
    pub(super) fn on_sends_no_more(&mut self, id: &str, number: u64) {
        let Some(running) = self.running(id, number) else { return };
        running.sends = false;
        running.ways.send_replace(Arc::default());
    }

    /// The input has ended as it should.
    pub(super) fn on_ended(&mut self, id: &str) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if let Some(running) = slot.running.take() {
            // Nobody has told it to: there is nothing more to read.
            slot.is_over = !*running.stop.borrow();
            running.entry.set_stage(InputStage::Ended);
        }
        self.forget();
    }

    /// The input has ended and should not have, or could not start. It is started again by and by, unless it has never
    /// worked since the process started: then a person is there, who should see that.
    pub(super) fn on_failed(&mut self, id: &Arc<str>, error: &InputError, tasks: &mut Tasks) -> AfterFailure {
        let Some(slot) = self.slots.get_mut(id) else { return AfterFailure::Retry };
        slot.running = None;
        let listed = self.registry.listed();
        let entry = listed.inputs.iter().find(|entry| entry.id == *id);
        let never_worked = entry.is_none_or(|entry| entry.stage() == InputStage::Starting);
        if never_worked && self.registry.stage() == Stage::Starting {
            return AfterFailure::Fatal;
        }
        if let Some(entry) = entry {
            entry.set_stage(InputStage::Failing(error.to_string()));
        }
        if slot.wanted.is_none() {
            self.forget();
            return AfterFailure::Retry;
        }
        slot.failures = slot.failures.saturating_add(1);
        let delay = RETRY_FIRST.saturating_mul(1 << (slot.failures - 1).min(6)).min(RETRY_MAX);
        let id = Arc::clone(id);
        slot.retry = Some(tasks.spawn(async move {
            tokio::time::sleep(delay).await;
            Happened::InputRetry(id)
        }));
        AfterFailure::Retry
    }

    /// Do all that are wanted take events, or have said why not?
    pub(super) fn have_started(&self) -> bool {
        let starting = |slot: &Slot| {
            slot.running.as_ref().is_some_and(|running| running.entry.stage() == InputStage::Starting)
        };
        !self.slots.values().any(starting)
    }

    /// Will no input ever send a chunk again, unless the configuration changes?
    pub(super) fn are_over(&self) -> bool {
        self.slots.values().all(|slot| {
            let sends = slot.running.as_ref().is_some_and(|running| running.sends);
            let replaced = slot.running.as_ref().is_some_and(|running| *running.stop.borrow());
            let starts = slot.wanted.is_some() && !slot.is_over && (slot.running.is_none() || replaced);
            !sends && !starts
        })
    }

    /// Gives every input that sends its ways anew.
    pub(super) fn set_ways(&self, ways: impl Fn(&Input) -> Ways) {
        for slot in self.slots.values() {
            let Some(running) = slot.running.as_ref().filter(|running| running.sends) else { continue };
            // One that is not wanted any more hands on what it has read, as it did.
            let settings = slot.wanted.as_ref().unwrap_or(&running.settings);
            let new = Ways { counters: Arc::clone(&slot.counters), ..ways(settings) };
            running.ways.send_if_modified(|old| {
                let same = old.is_like(&new);
                if !same {
                    *old = Arc::new(new);
                }
                !same
            });
        }
    }

    pub(super) fn say_totals(&self, when: &str) {
        self.slots.iter().for_each(|(input, slot)| slot.say_totals(input, when));
    }
}

/// Would both run alike?
fn same(one: Option<&Input>, other: Option<&Input>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.runs_like(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

impl Slot {
    /// It is not started again after all. A stop of the process does not wait for the time to be over.
    fn give_up_retry(&mut self) {
        if let Some(retry) = self.retry.take() {
            retry.abort();
        }
    }

    fn say_totals(&self, input: &str, when: &str) {
        let counters = &self.counters;
        let more_than_0 = |count: &Count| Some(count.get()).filter(|count| *count > 0);
        tracing::info!(
            input,
            events = counters.events.get(),
            bytes = counters.bytes.get(),
            lines_cut = counters.lines_cut.get(),
            unparsed = more_than_0(&counters.unparsed),
            filtered = more_than_0(&counters.filtered),
            pipeline_failed = more_than_0(&counters.pipeline_failed),
            unrouted = more_than_0(&counters.unrouted),
            datagrams_dropped = more_than_0(&counters.datagrams_dropped),
            events_lost = more_than_0(&counters.events_lost),
            "read {when}"
        );
    }
}
