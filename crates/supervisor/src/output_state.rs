//! What an output is doing now, for whoever looks at it: the status, the metrics, a test.
//!
//! Looking costs the driver nothing: it leaves its numbers where anybody can read them, and wakes only those who wait for a
//! change that a person would call one. What the queue holds is asked of the queue's thread, and only when somebody asks.

use std::sync::Arc;
use std::time::Duration;

use millpond_queue::Stats;
use tokio::sync::watch;

use crate::clock;
use crate::forwarder::Forwarder;
use crate::health::Name;
use crate::queue_thread::StatsRequest;

/// Where an output stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// All is well.
    Healthy,
    /// Sending, and slowed down by the service.
    Throttled,
    /// Nothing is sent but probes.
    Unhealthy,
    /// The shards are looked at, then one batch is tried.
    Verifying,
    /// Sending more and more after an outage.
    Recovering,
    /// Nothing is sent until a person resumes it.
    Paused,
}

impl Condition {
    /// Every condition, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Healthy, Self::Throttled, Self::Unhealthy, Self::Verifying, Self::Recovering, Self::Paused];

    /// The word in status, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Throttled => "throttled",
            Self::Unhealthy => "unhealthy",
            Self::Verifying => "verifying",
            Self::Recovering => "recovering",
            Self::Paused => "paused",
        }
    }

    /// Are events sent as ever, if slowly?
    fn is_well(self) -> bool {
        matches!(self, Self::Healthy | Self::Throttled)
    }

    fn of(machine: &Forwarder) -> Self {
        match machine.health().name() {
            // Throttling says nothing of the way to the service, so the other states tell more.
            Name::Healthy if machine.is_throttled() => Self::Throttled,
            Name::Healthy => Self::Healthy,
            Name::Unhealthy => Self::Unhealthy,
            Name::Verifying => Self::Verifying,
            Name::Recovering => Self::Recovering,
            Name::Paused => Self::Paused,
        }
    }
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    /// One sentence for a person: what, where, and what to do. No secrets.
    pub reason: Arc<str>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// What an output is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputState {
    /// Where it stands.
    pub condition: Condition,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Since when it has not been healthy (or throttled), whatever it tried meanwhile; in milliseconds since the Unix epoch.
    pub unwell_since_ms: Option<i64>,
    /// The last put or look at the shards that failed. It stays here when all is well again.
    pub last_failure: Option<LastFailure>,
    /// Open shards, when they were last counted.
    pub open_shards: Option<u32>,
    /// When that was, in milliseconds since the Unix epoch.
    pub shards_seen_ms: Option<i64>,
    /// Batches being sent.
    pub puts_in_flight: u32,
    /// How many may be sent at once now; 0 while nothing may.
    pub puts_max: u32,
    /// Batches from the inputs that wait in memory.
    pub live_waiting: u32,
    /// What the inputs give now goes to the queue.
    pub spooling: bool,
    /// Why the queue takes no batches, while it does not.
    pub queue_full: Option<Arc<str>>,
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Publisher(watch::Sender<OutputState>);

impl Publisher {
    pub(crate) fn new(machine: &Forwarder) -> Self {
        let (condition, since_ms) = (Condition::of(machine), clock::unix_ms());
        let state = OutputState {
            condition,
            since_ms,
            unwell_since_ms: (!condition.is_well()).then_some(since_ms),
            last_failure: None,
            open_shards: None,
            shards_seen_ms: None,
            puts_in_flight: 0,
            puts_max: 0,
            live_waiting: 0,
            spooling: machine.is_spooling(),
            queue_full: None,
        };
        Self(watch::Sender::new(state))
    }

    /// The other end; `stats` asks the output's queue, if it has one.
    pub(crate) fn view(&self, stats: Option<StatsRequest>) -> OutputView {
        OutputView { state: self.0.subscribe(), stats }
    }

    /// A put or a look at the shards has failed.
    pub(crate) fn failed(&self, reason: &str) {
        let at_ms = clock::unix_ms();
        self.0.send_if_modified(|state| match &mut state.last_failure {
            // During an outage it is the same one again and again.
            Some(last) if *last.reason == *reason => {
                last.at_ms = at_ms;
                false
            }
            last => {
                *last = Some(LastFailure { reason: reason.into(), at_ms });
                true
            }
        });
    }

    /// The shards were counted.
    pub(crate) fn counted_shards(&self, open: u32) {
        self.0.send_if_modified(|state| {
            state.shards_seen_ms = Some(clock::unix_ms());
            state.open_shards.replace(open) != Some(open)
        });
    }

    /// The queue takes batches, or says why not.
    pub(crate) fn queue_room(&self, room: &Result<(), String>) {
        let full: Option<Arc<str>> = room.as_ref().err().map(|reason| reason.as_str().into());
        self.0.send_if_modified(|state| std::mem::replace(&mut state.queue_full, full.clone()) != full);
    }

    /// The machine has handled an event.
    pub(crate) fn handled(&self, machine: &Forwarder) {
        let count = |batches: usize| u32::try_from(batches).unwrap_or(u32::MAX);
        self.0.send_if_modified(|state| {
            // These change with every batch: nobody is woken for them.
            state.puts_in_flight = count(machine.puts_in_flight());
            state.puts_max = machine.puts_max();
            state.live_waiting = count(machine.live_waiting());
            let spooling = machine.is_spooling();
            let was_spooling = std::mem::replace(&mut state.spooling, spooling);
            let condition = Condition::of(machine);
            let was = std::mem::replace(&mut state.condition, condition);
            if was != condition {
                state.since_ms = clock::unix_ms();
                let since = state.unwell_since_ms.unwrap_or(state.since_ms);
                state.unwell_since_ms = (!condition.is_well()).then_some(since);
            }
            was != condition || was_spooling != spooling
        });
    }
}

/// Looks at one output.
#[derive(Debug, Clone)]
pub struct OutputView {
    state: watch::Receiver<OutputState>,
    stats: Option<StatsRequest>,
}

/// The queue did not say what it holds: its disk does not answer, or it is closed.
#[derive(Debug, thiserror::Error)]
#[error("the queue does not answer: its disk is very slow, or it is being closed")]
pub struct NoAnswer;

impl OutputView {
    /// What it is doing now. After its driver's end, what it did last.
    #[must_use]
    pub fn now(&self) -> OutputState {
        self.state.borrow().clone()
    }

    /// Waits until condition, failure, shards, room or spooling differ from what was waited for last; numbers that change
    /// with every batch wake nobody. `false`: the driver has ended.
    pub async fn changed(&mut self) -> bool {
        self.state.changed().await.is_ok()
    }

    /// What its queue holds: batches, events, bytes, ages, losses by reason, damage. Nothing if it has no queue.
    ///
    /// # Errors
    /// [`NoAnswer`] when none came within `patience`: a queue answers between two syncs.
    pub async fn queue(&self, patience: Duration) -> Result<Option<Stats>, NoAnswer> {
        let Some(stats) = &self.stats else { return Ok(None) };
        match tokio::time::timeout(patience, stats.ask()).await {
            Ok(Ok(stats)) => Ok(Some(stats)),
            Ok(Err(_)) | Err(_) => Err(NoAnswer),
        }
    }
}

#[cfg(test)]
mod tests;
