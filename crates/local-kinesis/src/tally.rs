//! Counting while requests are served.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Counts, Operation};

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: Mutex<BTreeMap<&'static str, BTreeMap<&'static str, u64>>>,
    records: AtomicU64,
    records_refused: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    body_bytes: AtomicU64,
    pub(crate) malformed_records: Arc<AtomicU64>,
    connections: AtomicU64,
}

/// What one put has written and refused.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Put {
    pub(crate) records: u64,
    pub(crate) refused: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl Tally {
    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn body(&self, bytes: usize) {
        self.body_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A request was answered, or not answered, in this way. None: its operation is unknown.
    pub(crate) fn request(&self, operation: Option<Operation>, outcome: &'static str) {
        let operation = operation.map_or("unknown", Operation::name);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(operation).or_default().entry(outcome).or_default() += 1;
    }

    pub(crate) fn put(&self, put: Put) {
        self.records.fetch_add(put.records, Ordering::Relaxed);
        self.records_refused.fetch_add(put.refused, Ordering::Relaxed);
        self.events.fetch_add(put.events, Ordering::Relaxed);
        self.bytes.fetch_add(put.bytes, Ordering::Relaxed);
    }

    /// The totals; those by shard are left to the caller.
    pub(crate) fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            requests: self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            records: get(&self.records),
            records_refused: get(&self.records_refused),
            events: get(&self.events),
            bytes: get(&self.bytes),
            body_bytes: get(&self.body_bytes),
            malformed_records: get(&self.malformed_records),
            connections: get(&self.connections),
            shards: Vec::new(),
        }
    }
}
