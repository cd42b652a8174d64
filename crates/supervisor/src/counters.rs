//! What an output counts, for logs now and metrics later.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::driver::policy_name;
use crate::forwarder::DropReason;
use crate::puts::PutCounters;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How much was counted.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What an output counts since the process started.
#[derive(Debug, Default)]
pub struct OutputCounters {
    /// Events taken from the inputs.
    pub events: Counter,
    /// Lines that should have been JSON objects and were wrapped as text.
    pub not_objects: Counter,
    /// Lines with bytes that were not UTF-8 and were replaced.
    pub not_utf8: Counter,
    /// Events that the service accepted.
    pub delivered_events: Counter,
    /// Bytes of the accepted records, as sent, with their keys.
    pub delivered_bytes: Counter,
    /// Events sent again although they may have arrived: the answer to an earlier put was lost.
    pub repeated_events: Counter,
    /// Batches that the queue has taken.
    pub spooled_batches: Counter,
    /// Calls to the service that carried records.
    pub puts: PutCounters,
    /// Records that were throttled or failed alone, and were sent again.
    pub retried_records: Counter,
    /// Events kept in the dead letters.
    pub dead_letters: Counter,
    /// Events dropped because the output was unhealthy (`backpressure: drop`).
    pub dropped_unhealthy: Counter,
    /// New events dropped because the queue was full (`on_full: drop`).
    pub dropped_queue_full: Counter,
    /// Queued events given up to make room for new ones (`on_full: drop_oldest`).
    pub dropped_oldest: Counter,
    /// Queued events given up because they were older than `max_age`.
    pub expired: Counter,
    /// Events that its pipeline has aborted on.
    pub filtered: Counter,
    /// Events that its pipeline has failed on and that were dropped (`on_error: drop`).
    pub pipeline_failed: Counter,
    /// Events for which its `where` failed; they did not come here by that.
    pub route_failures: Counter,
    /// Events that fit in no record and were dropped (`oversize: drop`).
    pub dropped_oversize: Counter,
    /// Events whose `_raw` was cut to fit into a record (`oversize: truncate`).
    pub truncated: Counter,
    /// Events left unacknowledged at the stop: their input gives them again, if it can.
    pub abandoned_events: Counter,
}

impl OutputCounters {
    /// Events dropped by each policy, under the `reason` of metrics and status. Those that a pipeline has aborted on are
    /// not among them: they are not wanted.
    #[must_use]
    pub fn dropped_by_reason(&self) -> [(&'static str, u64); 6] {
        [
            (DropReason::Unhealthy.as_str(), self.dropped_unhealthy.get()),
            (DropReason::QueueFull.as_str(), self.dropped_queue_full.get()),
            (policy_name(millpond_queue::DropReason::Full), self.dropped_oldest.get()),
            (policy_name(millpond_queue::DropReason::Expired), self.expired.get()),
            ("oversize", self.dropped_oversize.get()),
            ("pipeline_failed", self.pipeline_failed.get()),
        ]
    }

    /// Events dropped by any policy.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped_by_reason().into_iter().map(|(_, events)| events).sum()
    }
}
