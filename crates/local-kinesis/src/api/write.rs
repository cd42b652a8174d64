//! Putting records into shards.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::Call;
use super::error::{ServiceError, Violations, rate_exceeded};
use super::target::{StreamRef, find};
use super::wire::Text;
use crate::events::Reservation;
use crate::store::{Arrival, Store, Stream};
use crate::strike::Fate;
use crate::tally;

/// A record whose fields are right in themselves.
pub(crate) struct Record<'a> {
    pub(crate) data: Bytes,
    pub(crate) partition_key: Text<'a>,
    /// Where the key, or the explicit hash key, hashes to.
    pub(crate) hash: u128,
    /// Events that its header line claims.
    pub(crate) events: u32,
}

impl Record<'_> {
    /// Data and key, which is what limits count.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Accepted {
    shard_id: Arc<str>,
    sequence_number: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Refused {
    error_code: &'static str,
    pub(crate) error_message: String,
}

/// What became of a record.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Accepted(Accepted),
    Refused(Refused),
}

/// Records to put.
pub(crate) struct Put<'a> {
    pub(crate) records: &'a [Record<'a>],
    /// Names a record's data in messages; `*` stands for its number.
    pub(crate) data_at: &'a str,
    /// Nothing is stored.
    pub(crate) dry_run: bool,
}

/// Writes records to the shards that they hash to; gives an outcome for each, in order.
pub(crate) fn put(
    call: &Call<'_>,
    target: &StreamRef<'_>,
    put: &Put<'_>,
    sink: Option<Reservation<'_>>,
) -> Result<Vec<Outcome>, ServiceError> {
    let Put { records, data_at, dry_run } = *put;
    let mut store = call.store();
    let stream = find(&store, target)?;
    check_sizes(stream, records, data_at)?;
    check_content(call, stream, records, data_at)?;
    // aws-sdk-kinesis 1.130 says of DryRunOperationException: "The request was rejected because the DryRun parameter was
    // specified." It names neither a status nor whether that means success; 400, as nearly every error, is assumed here.
    if dry_run {
        return Err(ServiceError::dry_run());
    }
    let name = stream.name.clone();
    let outcomes = write(call, &mut store, &name, records);
    // Still under the lock, so that the file has the records in the order of their sequence numbers.
    if let Some(sink) = sink {
        let written = records.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_accepted());
        sink.send(written.map(|(record, _)| record.data.clone()).collect());
    }
    Ok(outcomes)
}

impl Outcome {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

/// The stream's own limit counts data and key.
fn check_sizes(stream: &Stream, records: &[Record<'_>], data_at: &str) -> Result<(), ServiceError> {
    let max = stream.record_bytes_max;
    for (index, record) in records.iter().enumerate() {
        if record.data.len() > max {
            let mut violations = Violations::default();
            violations.add_blob(&numbered(data_at, index), max);
            return violations.into_result();
        }
        if record.bytes() > max {
            return Err(ServiceError::invalid_argument(format!(
                "Record size of {} bytes, partition key included, exceeds the limit of {max} bytes of stream {}",
                record.bytes(),
                stream.name
            )));
        }
    }
    Ok(())
}

/// The fault `refuse` makes one record spoil the whole call, as an invalid record does at the service.
fn check_content(
    call: &Call<'_>,
    stream: &Stream,
    records: &[Record<'_>],
    data_at: &str,
) -> Result<(), ServiceError> {
    let number = |record: &Record<'_>| stream.shards[stream.route(record.hash)].number;
    let refused = records.iter().position(|record| call.strike.refuses(number(record), &record.data));
    match refused {
        Some(index) => Err(ServiceError::validation(format!(
            "1 validation error detected: Value at '{}' failed to satisfy constraint: Member must satisfy the content \
             constraint of this endpoint",
            numbered(data_at, index)
        ))),
        None => Ok(()),
    }
}

fn numbered(data_at: &str, index: usize) -> String {
    data_at.replace('*', &(index + 1).to_string())
}

/// Appends what is not refused.
fn write(call: &Call<'_>, store: &mut Store, name: &Arc<str>, records: &[Record<'_>]) -> Vec<Outcome> {
    let (keep, enforce, account) = (store.keep, store.enforce_throughput, store.account.clone());
    let stream = store.streams.get_mut(&**name).expect("the stream was found under the same lock");
    let mut put = tally::Put::default();
    let refused = |error_code, error_message| Outcome::Refused(Refused { error_code, error_message });
    let mut outcomes = Vec::with_capacity(records.len());
    for record in records {
        let index = stream.route(record.hash);
        let shard = &mut stream.shards[index];
        let fate = call.strike.fate(shard.number, || call.endpoint.dice()).or_else(|| {
            let refused = enforce && !shard.throughput.admit(record.bytes(), call.now_ms);
            refused.then_some(Fate::Throttled)
        });
        outcomes.push(match fate {
            Some(Fate::Throttled) => {
                put.refused += 1;
                refused("ProvisionedThroughputExceededException", rate_exceeded(&account, name, &shard.id))
            }
            Some(Fate::InternalFailure) => {
                put.refused += 1;
                refused("InternalFailure", "Internal service failure.".to_owned())
            }
            None => {
                put.records += 1;
                put.events += u64::from(record.events);
                put.bytes += record.data.len() as u64;
                let arrival =
                    Arrival { data: &record.data, partition_key: &record.partition_key, ms: call.now_ms };
                let sequence_number = shard.append(arrival, record.events, keep).to_string();
                Outcome::Accepted(Accepted { shard_id: shard.id.clone(), sequence_number })
            }
        });
    }
    call.endpoint.tally.put(put);
    outcomes
}
