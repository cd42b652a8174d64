//! Everything the endpoint holds: streams, their shards, their records. No clock, no network.

pub(crate) mod hash_range;
pub(crate) mod sequence;
pub(crate) mod shard;
pub(crate) mod stream;
mod throughput;

use std::collections::BTreeMap;

use crate::{KeptRecord, ShardCounts};
pub(crate) use shard::{Arrival, Kept, Shard};
pub(crate) use stream::{ReshardError, Stream};

/// The streams of one account in one region.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) region: String,
    pub(crate) account: String,
    /// Records are kept, not only counted.
    pub(crate) keep: bool,
    /// Shards refuse what exceeds their write rate.
    pub(crate) enforce_throughput: bool,
    pub(crate) streams: BTreeMap<String, Stream>,
}

impl Store {
    /// The stream's ARN.
    pub(crate) fn arn(&self, stream: &str) -> String {
        format!("arn:aws:kinesis:{}:{}:stream/{stream}", self.region, self.account)
    }

    /// What is kept, shard by shard, in order of arrival.
    pub(crate) fn records(&self) -> Vec<KeptRecord> {
        let mut records = Vec::new();
        for stream in self.streams.values() {
            for shard in &stream.shards {
                let record = |(position, kept): (usize, &Kept)| KeptRecord {
                    stream: stream.name.clone(),
                    shard_id: shard.id.clone(),
                    sequence_number: shard.sequence_number_at(position, kept).to_string(),
                    partition_key: kept.partition_key.clone(),
                    arrived_ms: kept.arrived_ms,
                    data: kept.data.clone(),
                };
                records.extend(shard.kept.iter().enumerate().map(record));
            }
        }
        records
    }

    /// What each shard took.
    pub(crate) fn shard_counts(&self) -> Vec<ShardCounts> {
        let counts = |stream: &Stream, shard: &Shard| ShardCounts {
            stream: stream.name.to_string(),
            shard_id: shard.id.to_string(),
            open: shard.closed_ms.is_none(),
            records: shard.records,
            events: shard.events,
            bytes: shard.bytes,
        };
        let of_stream = |stream: &Stream| -> Vec<ShardCounts> {
            stream.shards.iter().map(|shard| counts(stream, shard)).collect()
        };
        self.streams.values().flat_map(of_stream).collect()
    }
}
