//! What the log knows of an output: each change is said once, what repeats itself now and then.

use std::sync::Arc;
use std::time::Duration;

use millpond_kinesis::{Class, Failure};
use millpond_queue::Tally;

use crate::counters::OutputCounters;
use crate::failure_log::FailureLog;
use crate::forwarder::Forwarder;
use crate::health::Name;

/// See the module.
#[derive(Debug)]
pub(super) struct Said {
    output: Arc<str>,
    counters: Arc<OutputCounters>,
    name: Name,
    since: Duration,
    /// Why the output is not well.
    reason: String,
    /// That the output is unhealthy was said, and not yet that it is no longer.
    down: bool,
    backlog: bool,
    /// That the queue is full was said, and not yet that it is no longer.
    full: bool,
    throttled: bool,
    failures: FailureLog,
}

impl Said {
    pub(super) fn new(output: Arc<str>, counters: Arc<OutputCounters>, machine: &Forwarder) -> Self {
        Self {
            output,
            counters,
            name: machine.health().name(),
            since: Duration::ZERO,
            reason: String::new(),
            down: false,
            backlog: machine.has_backlog(),
            full: false,
            throttled: false,
            failures: FailureLog::default(),
        }
    }

    /// A queue that drains at its limit is full and not full many times a second.
    pub(super) fn room(&mut self, now: Duration, room: &Result<(), String>) {
        let output = &*self.output;
        match room {
            Err(reason) => {
                if let Some(held_back) = self.failures.note(now, "queue-full") {
                    self.full = true;
                    tracing::warn!(output, reason, held_back, "the queue takes no more batches for now");
                }
            }
            Ok(()) if self.full => {
                self.full = false;
                tracing::info!(output, "the queue takes batches again");
            }
            Ok(()) => {}
        }
    }

    pub(super) fn failure(&mut self, now: Duration, failure: &Failure) {
        self.reason.clone_from(&failure.message);
        if let Some(held_back) = self.failures.note(now, &kind_of(failure)) {
            let (output, class, code) = (&*self.output, failure.class.as_str(), failure.label());
            let reason = &*failure.message;
            tracing::warn!(output, class, code, held_back, reason, "a put or a look at the shards failed");
        }
    }

    pub(super) fn shards_not_covered(&mut self, now: Duration, reason: String) {
        if self.failures.note(now, "shards-not-covered").is_some() {
            let output = &*self.output;
            tracing::warn!(
                output,
                reason,
                "the open shards do not cover the hash range: nothing is sent yet"
            );
        }
        self.reason = reason;
    }

    /// `so_far`: events under this reason.
    pub(super) fn dropped(&mut self, now: Duration, reason: &'static str, events: u64, so_far: u64) {
        if let Some(held_back) = self.failures.note(now, reason) {
            let (output, dropped_in_all) = (&*self.output, self.counters.dropped());
            tracing::warn!(
                output,
                reason,
                events,
                so_far,
                dropped_in_all,
                held_back,
                "events are dropped by policy"
            );
        }
    }

    /// `so_far`: events under this reason.
    pub(super) fn given_up(&mut self, now: Duration, reason: &'static str, lost: Tally, so_far: u64) {
        if let Some(held_back) = self.failures.note(now, reason) {
            let (output, dropped_in_all) = (&*self.output, self.counters.dropped());
            let Tally { batches, events, .. } = lost;
            tracing::warn!(
                output,
                reason,
                batches,
                events,
                so_far,
                dropped_in_all,
                held_back,
                "queued events are dropped by policy"
            );
        }
    }

    /// Says what has changed about the output.
    pub(super) fn changes(&mut self, now: Duration, machine: &Forwarder) {
        self.change_of_state(now, machine.health().name());
        let output = &*self.output;
        let throttled = machine.is_throttled();
        if throttled != self.throttled {
            self.throttled = throttled;
            tracing::debug!(output, throttled, "the service asks to slow down, or no longer does");
        }
        let backlog = machine.has_backlog();
        if backlog != self.backlog {
            self.backlog = backlog;
            if !backlog {
                let delivered = self.counters.delivered_events.get();
                tracing::info!(output, delivered, "the queue is empty");
            }
        }
    }

    fn change_of_state(&mut self, now: Duration, name: Name) {
        if name == self.name {
            return;
        }
        let output = &*self.output;
        let after_secs = (now - self.since).as_millis() as f64 / 1000.0;
        let (state, was) = (name.to_string(), self.name.to_string());
        let was_paused = self.name == Name::Paused;
        self.since = now;
        self.name = name;
        match name {
            // A probe that failed is no news beside its failure, which is said.
            Name::Unhealthy if self.down => tracing::debug!(output, state, was, "still unhealthy"),
            Name::Unhealthy => {
                self.down = true;
                let reason = &*self.reason;
                tracing::warn!(output, state, was, after_secs, reason, "the output is unhealthy");
            }
            Name::Verifying if was_paused => {
                tracing::info!(
                    output,
                    state,
                    was,
                    after_secs,
                    "the output is resumed: the shards are verified first"
                );
            }
            Name::Verifying => tracing::debug!(output, state, was, after_secs, "verifying"),
            Name::Paused => {
                self.down = false;
                tracing::warn!(
                    output,
                    state,
                    was,
                    after_secs,
                    "the output is paused: nothing is sent until it is resumed"
                );
            }
            Name::Recovering => {
                self.down = false;
                tracing::info!(output, state, was, after_secs, "puts are accepted");
            }
            Name::Healthy => {
                self.down = false;
                tracing::info!(output, state, was, after_secs, "the output is healthy");
                for (kind, held_back) in self.failures.clear() {
                    tracing::info!(output, kind, held_back, "failures that were not said one by one");
                }
            }
        }
    }
}

/// Failures of one kind are said now and then, a new kind at once. Throttling differs by shard and is one kind; apart from
/// that, what a person would read as the same is the same: the words, not the call and not the numbers in them.
fn kind_of(failure: &Failure) -> String {
    if failure.class == Class::Throttled {
        return failure.label().to_owned();
    }
    let words = failure.message.split_once(": ").map_or(&*failure.message, |(_, words)| words);
    words.chars().filter(|char| !char.is_ascii_digit()).collect()
}
