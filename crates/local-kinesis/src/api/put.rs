//! PutRecord and PutRecords.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::{Pattern, ServiceError, Violations, rate_exceeded};
use super::target::{StreamRef, find};
use super::wire::{Blob, Entries, Entry, Text, parse};
use super::{Call, Reply};
use crate::decode::claimed_events;
use crate::events::Reservation;
use crate::store::hash_range::hash_of;
use crate::store::{Kept, Store, Stream};
use crate::strike::Fate;

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html (read 2026-11)
//# Each record in the request can be as large as 10 MiB, up to a limit of 10 MiB for the entire request,
//# including partition keys.
const REQUEST_BYTES_MAX: usize = 10 << 20;
/// The most that `Data` may ever be; a stream's own limit may be lower.
const DATA_BYTES_MAX: usize = 10 << 20;
const PARTITION_KEY_UNITS_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    data: Option<Blob>,
    #[serde(borrow)]
    partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    explicit_hash_key: Option<Text<'a>>,
    #[serde(borrow)]
    sequence_number_for_ordering: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    records: Option<Entries<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Accepted {
    shard_id: Arc<str>,
    sequence_number: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    error_code: &'static str,
    error_message: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Accepted(Accepted),
    Refused(Refused),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsResponse {
    failed_record_count: usize,
    records: Vec<Outcome>,
}

/// A record whose fields are right in themselves.
struct Record<'a> {
    data: Bytes,
    partition_key: Text<'a>,
    hash: u128,
    events: u32,
}

pub(crate) fn put_record(call: &Call<'_>, sink: Option<Reservation<'_>>) -> Result<Reply, ServiceError> {
    let request: PutRecordRequest<'_> = parse(call.body)?;
    let target = StreamRef::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let entry = Entry {
        data: request.data,
        partition_key: request.partition_key,
        explicit_hash_key: request.explicit_hash_key,
    };
    let mut violations = Violations::default();
    check_entry(&mut violations, "", &entry);
    let ordering = request.sequence_number_for_ordering.as_deref();
    violations.text("sequenceNumberForOrdering", ordering, Some(Pattern::SequenceNumber), 129);
    target.check(&mut violations);
    violations.into_result()?;

    let records = [entry].into_iter().map(check_record).collect::<Result<Vec<_>, _>>()?;
    match put(call, &target, records, "data", sink)?.pop() {
        Some(Outcome::Accepted(accepted)) => Ok(Reply::json(&accepted)),
        Some(Outcome::Refused(refused)) => Err(ServiceError::throttled(refused.error_message)),
        None => unreachable!("a put has as many outcomes as records"),
    }
}

pub(crate) fn put_records(call: &Call<'_>, sink: Option<Reservation<'_>>) -> Result<Reply, ServiceError> {
    let request: PutRecordsRequest<'_> = parse(call.body)?;
    let target = StreamRef::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let mut violations = Violations::default();
    violations.required("records", request.records.as_ref());
    let entries = request.records.unwrap_or(Entries { kept: Vec::new(), count: 1 });
    if !(1..=Entries::RECORDS_MAX).contains(&entries.count) {
        let (bound, length) =
            if entries.count == 0 { ("greater", 1) } else { ("less", Entries::RECORDS_MAX) };
        let constraint = format!("Member must have length {bound} than or equal to {length}");
        violations.add("records", Some("[...]"), &constraint);
    }
    for (index, entry) in entries.kept.iter().enumerate() {
        check_entry(&mut violations, &format!("records.{}.member.", index + 1), entry);
    }
    target.check(&mut violations);
    violations.into_result()?;

    let records = entries.kept.into_iter().map(check_record).collect::<Result<Vec<_>, _>>()?;
    if records.iter().map(Record::bytes).sum::<usize>() > REQUEST_BYTES_MAX {
        return Err(ServiceError::invalid_argument("Records size exceeds 10 MB limit"));
    }
    let records = put(call, &target, records, "records.*.member.data", sink)?;
    let failed = |outcome: &&Outcome| matches!(outcome, Outcome::Refused(_));
    let failed_record_count = records.iter().filter(failed).count();
    let reply = Reply::json(&PutRecordsResponse { failed_record_count, records });
    Ok(Reply { partial: failed_record_count > 0, ..reply })
}

fn check_entry(violations: &mut Violations, at: &str, entry: &Entry<'_>) {
    violations.required(&format!("{at}data"), entry.data.as_ref());
    if entry.data.as_ref().is_some_and(|data| data.0.len() > DATA_BYTES_MAX) {
        violations.add_blob(&format!("{at}data"), DATA_BYTES_MAX);
    }
    let key_at = format!("{at}partitionKey");
    violations.required(&key_at, entry.partition_key.as_ref());
    violations.text(&key_at, entry.partition_key.as_deref(), None, PARTITION_KEY_UNITS_MAX);
    let hash_key = entry.explicit_hash_key.as_deref();
    violations.text(&format!("{at}explicitHashKey"), hash_key, Some(Pattern::HashKey), 39);
}

fn check_record(entry: Entry<'_>) -> Result<Record<'_>, ServiceError> {
    let (Some(Blob(data)), Some(partition_key)) = (entry.data, entry.partition_key) else {
        unreachable!("data and partition key were checked to be there");
    };
    let hash = match entry.explicit_hash_key.as_deref() {
        None => hash_of(&partition_key),
        // 39 digits can be more than 2^128 - 1.
        Some(key) => key.parse().map_err(|_| {
            ServiceError::invalid_argument(format!(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {key}"
            ))
        })?,
    };
    let events = claimed_events(&data);
    Ok(Record { data: data.into(), partition_key, hash, events })
}

/// Writes records to the shards that they hash to; gives an outcome for each, in order.
fn put(
    call: &Call<'_>,
    target: &StreamRef<'_>,
    records: Vec<Record<'_>>,
    data_at: &str,
    sink: Option<Reservation<'_>>,
) -> Result<Vec<Outcome>, ServiceError> {
    let mut store = call.store();
    let stream = find(&store, target)?;
    check_sizes(stream, &records, data_at)?;
    check_content(call, stream, &records)?;
    let name = stream.name.clone();
    let (outcomes, written) = write(call, &mut store, &name, records);
    // Still under the lock, so that the file has the records in the order of their sequence numbers.
    if let Some(sink) = sink {
        sink.send(written);
    }
    Ok(outcomes)
}

/// The stream's own limit counts data and key.
fn check_sizes(stream: &Stream, records: &[Record<'_>], data_at: &str) -> Result<(), ServiceError> {
    let max = stream.record_bytes_max;
    for (index, record) in records.iter().enumerate() {
        if record.data.len() > max {
            let mut violations = Violations::default();
            violations.add_blob(&data_at.replace('*', &(index + 1).to_string()), max);
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
fn check_content(call: &Call<'_>, stream: &Stream, records: &[Record<'_>]) -> Result<(), ServiceError> {
    let number = |record: &Record<'_>| stream.shards[stream.route(record.hash)].number;
    let refused = records.iter().position(|record| call.strike.refuses(number(record), &record.data));
    match refused {
        Some(index) => Err(ServiceError::validation(format!(
            "1 validation error detected: Value at 'records.{}.member.data' failed to satisfy constraint: Member must \
             satisfy the content constraint of this endpoint",
            index + 1
        ))),
        None => Ok(()),
    }
}

/// Appends what is not refused; gives the outcomes and the data of what was appended.
fn write(
    call: &Call<'_>,
    store: &mut Store,
    name: &Arc<str>,
    records: Vec<Record<'_>>,
) -> (Vec<Outcome>, Vec<Bytes>) {
    let (keep, enforce, account) = (store.keep, store.enforce_throughput, store.account.clone());
    let stream = store.streams.get_mut(&**name).expect("the stream was found under the same lock");
    let (mut outcomes, mut written, mut events) = (Vec::with_capacity(records.len()), Vec::new(), 0);
    for record in records {
        let index = stream.route(record.hash);
        let shard = &mut stream.shards[index];
        let fate = call.strike.fate(shard.number, || call.endpoint.dice()).or_else(|| {
            let refused = enforce && !shard.throughput.admit(record.bytes(), call.now_ms);
            refused.then_some(Fate::Throttled)
        });
        let refused = |error_code, error_message| Outcome::Refused(Refused { error_code, error_message });
        outcomes.push(match fate {
            Some(Fate::Throttled) => {
                refused("ProvisionedThroughputExceededException", rate_exceeded(&account, name, &shard.id))
            }
            Some(Fate::InternalFailure) => refused("InternalFailure", "Internal service failure.".to_owned()),
            None => {
                written.push(record.data.clone());
                events += u64::from(record.events);
                let partition_key = Arc::from(&*record.partition_key);
                let kept = Kept { arrived_ms: call.now_ms, partition_key, data: record.data };
                let sequence_number = shard.append(kept, record.events, keep).to_string();
                Outcome::Accepted(Accepted { shard_id: shard.id.clone(), sequence_number })
            }
        });
    }
    let refused = outcomes.len() - written.len();
    call.endpoint.tally.put(&written, events, refused);
    (outcomes, written)
}

impl Record<'_> {
    /// Data and key, which is what limits count.
    fn bytes(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// The numbers of the shards that a put would write to; none if the request is not right.
pub(crate) fn shards_of_put(store: &Store, body: &[u8], many: bool) -> Option<Vec<u32>> {
    let (target_name, target_arn, entries);
    if many {
        let request: PutRecordsRequest<'_> = parse(body).ok()?;
        (target_name, target_arn) = (request.stream_name, request.stream_arn);
        entries = request.records?.kept;
    } else {
        let request: PutRecordRequest<'_> = parse(body).ok()?;
        (target_name, target_arn) = (request.stream_name, request.stream_arn);
        let (partition_key, explicit_hash_key) = (request.partition_key, request.explicit_hash_key);
        entries = vec![Entry { data: None, partition_key, explicit_hash_key }];
    }
    let stream = find(store, &StreamRef::new(target_name.as_deref(), target_arn.as_deref())).ok()?;
    let number = |entry: &Entry<'_>| {
        let hash = match entry.explicit_hash_key.as_deref() {
            Some(key) => key.parse().ok()?,
            None => hash_of(entry.partition_key.as_deref()?),
        };
        Some(stream.shards[stream.route(hash)].number)
    };
    Some(entries.iter().filter_map(number).collect())
}
