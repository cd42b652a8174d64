//! What has come in so far.

use std::collections::BTreeMap;

use serde::Serialize;

/// Totals since the start; `/_local/counts` prints them as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests by operation, then by outcome: `ok`, an error code such as `AccessDeniedException`, or the name of the
    /// fault that answered (`reset`, `hang`, `portal`, …). A PutRecords with refused records is `partial`.
    pub requests: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Records accepted.
    pub records: u64,
    /// Records that a fault or the enforced write rate refused, in PutRecord and PutRecords.
    pub records_refused: u64,
    /// Events in the accepted records, as their header lines claim; a record without header line is one event.
    pub events: u64,
    /// Bytes of data in the accepted records, keys not included.
    pub bytes: u64,
    /// Bytes of request bodies received.
    pub body_bytes: u64,
    /// Records that could not be decoded for `write_events`; they are accepted all the same, as the service would.
    pub malformed_records: u64,
    /// Connections accepted.
    pub connections: u64,
    /// The same by stream and shard.
    pub shards: Vec<ShardCounts>,
}

/// Totals of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShardCounts {
    /// The stream's name.
    pub stream: String,
    /// The shard's name.
    pub shard_id: String,
    /// Whether it still takes records; false once split or merged.
    pub open: bool,
    /// Records accepted.
    pub records: u64,
    /// Events in them, as their header lines claim.
    pub events: u64,
    /// Bytes of data in them.
    pub bytes: u64,
}

impl Counts {
    /// Requests of an operation with this outcome.
    #[must_use]
    pub fn requests_of(&self, operation: crate::Operation, outcome: &str) -> u64 {
        self.requests.get(operation.name()).and_then(|outcomes| outcomes.get(outcome)).copied().unwrap_or(0)
    }
}
