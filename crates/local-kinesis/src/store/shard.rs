//! One shard: what it covers, where it comes from, what it took.

use std::sync::Arc;

use bytes::Bytes;

use super::hash_range::HashRange;
use super::sequence::{INDEX_MAX, SequenceNumber};
use super::throughput::Throughput;

/// A shard. Its number is its index in the stream.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) number: u32,
    pub(crate) id: Arc<str>,
    pub(crate) range: HashRange,
    /// The shard it was split from, or the lower of the two it was merged from.
    pub(crate) parent: Option<Arc<str>>,
    /// The upper of the two it was merged from.
    pub(crate) adjacent_parent: Option<Arc<str>>,
    pub(crate) created_ms: i64,
    /// None while it takes records.
    pub(crate) closed_ms: Option<i64>,
    /// Records accepted; also the index of the last one.
    pub(crate) records: u64,
    /// Events that their header lines claim.
    pub(crate) events: u64,
    /// Bytes of their data.
    pub(crate) bytes: u64,
    /// The records, from the first on; empty when only counting.
    pub(crate) kept: Vec<Kept>,
    pub(crate) throughput: Throughput,
    last_arrived_ms: i64,
}

/// A record as it lies in its shard.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) arrived_ms: i64,
    pub(crate) partition_key: Arc<str>,
    pub(crate) data: Bytes,
}

/// A record as it comes in.
pub(crate) struct Arrival<'a> {
    pub(crate) data: &'a Bytes,
    pub(crate) partition_key: &'a str,
    /// Unix time.
    pub(crate) ms: i64,
}

/// Where shards come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parents {
    pub(crate) parent: Option<Arc<str>>,
    pub(crate) adjacent: Option<Arc<str>>,
}

/// `shardId-000000000007` for 7.
pub(crate) fn shard_id(number: u32) -> String {
    format!("shardId-{number:012}")
}

impl Shard {
    pub(crate) fn new(number: u32, range: HashRange, parents: Parents, now_ms: i64) -> Self {
        Self {
            number,
            id: shard_id(number).into(),
            range,
            parent: parents.parent,
            adjacent_parent: parents.adjacent,
            created_ms: now_ms,
            closed_ms: None,
            records: 0,
            events: 0,
            bytes: 0,
            kept: Vec::new(),
            throughput: Throughput::new(now_ms),
            last_arrived_ms: now_ms,
        }
    }

    /// Takes a record; gives its sequence number.
    pub(crate) fn append(&mut self, arrival: Arrival<'_>, events: u32, keep: bool) -> SequenceNumber {
        assert!(self.closed_ms.is_none(), "{} is closed and takes no records", self.id);
        self.records += 1;
        self.events += u64::from(events);
        self.bytes += arrival.data.len() as u64;
        // The wall clock may step back; arrival times within a shard do not.
        self.last_arrived_ms = self.last_arrived_ms.max(arrival.ms);
        if keep {
            self.kept.push(Kept {
                arrived_ms: self.last_arrived_ms,
                partition_key: arrival.partition_key.into(),
                data: arrival.data.clone(),
            });
        }
        self.sequence_number(self.records, self.last_arrived_ms)
    }

    /// The sequence number of the record at this position in `kept`.
    pub(crate) fn sequence_number_at(&self, position: usize, record: &Kept) -> SequenceNumber {
        self.sequence_number(position as u64 + 1, record.arrived_ms)
    }

    /// The sequence number before the first record.
    pub(crate) fn starting(&self) -> SequenceNumber {
        self.sequence_number(0, self.created_ms)
    }

    /// The sequence number after the last record, once closed.
    pub(crate) fn ending(&self) -> Option<SequenceNumber> {
        self.closed_ms.map(|closed_ms| self.sequence_number(INDEX_MAX, closed_ms))
    }

    fn sequence_number(&self, index: u64, arrived_ms: i64) -> SequenceNumber {
        SequenceNumber { created_ms: self.created_ms, index, arrived_ms, shard: self.number }
    }
}
