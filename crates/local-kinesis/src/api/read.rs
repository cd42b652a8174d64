//! GetShardIterator and GetRecords.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{Pattern, ServiceError, Violations};
use super::list::HashKeyRange;
use super::target::{StreamRef, find, find_shard};
use super::wire::{Text, from_token, parse, to_token};
use super::{Call, Reply};
use crate::clock::message_date;
use crate::store::sequence::SequenceNumber;
use crate::store::{Kept, Shard, Store, Stream};

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html (read 2026-11)
//# A shard iterator expires 5 minutes after it is returned to the requester.
const ITERATOR_LIFE_MS: i64 = 300_000;
//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html (read 2026-11)
//# The maximum size of data that GetRecords can return is 10 MB.
const ANSWER_BYTES_MAX: usize = 10 << 20;

/// What a shard iterator holds.
#[derive(Debug, Serialize, Deserialize)]
struct Iterator {
    stream: String,
    /// Tells a stream from another one of the same name.
    created_ms: i64,
    shard: u32,
    /// Index of the next record in the shard.
    position: u64,
    issued_ms: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIteratorRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
    #[serde(borrow)]
    shard_iterator_type: Option<Text<'a>>,
    #[serde(borrow)]
    starting_sequence_number: Option<Text<'a>>,
    /// Seconds.
    timestamp: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIteratorResponse {
    shard_iterator: String,
}

const ITERATOR_TYPES: [&str; 5] =
    ["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"];

pub(crate) fn get_shard_iterator(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: GetShardIteratorRequest<'_> = parse(call.body)?;
    let target = StreamRef::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let mut violations = Violations::default();
    violations.required("shardId", request.shard_id.as_ref());
    violations.text("shardId", request.shard_id.as_deref(), Some(Pattern::Name), 128);
    violations.required("shardIteratorType", request.shard_iterator_type.as_ref());
    if let Some(other) = request.shard_iterator_type.as_deref().filter(|kind| !ITERATOR_TYPES.contains(kind))
    {
        let constraint = format!("Member must satisfy enum value set: [{}]", ITERATOR_TYPES.join(", "));
        violations.add("shardIteratorType", Some(other), &constraint);
    }
    let starting = request.starting_sequence_number.as_deref();
    violations.text("startingSequenceNumber", starting, Some(Pattern::SequenceNumber), 129);
    target.check(&mut violations);
    violations.into_result()?;

    let store = call.store();
    let stream = find(&store, &target)?;
    let shard = &stream.shards[find_shard(&store, stream, request.shard_id.as_deref().unwrap_or_default())?];
    let position = starting_position(&store, stream, shard, &request)?;
    let iterator = Iterator {
        stream: stream.name.to_string(),
        created_ms: stream.created_ms,
        shard: shard.number,
        position,
        issued_ms: call.now_ms,
    };
    Ok(Reply::json(&GetShardIteratorResponse { shard_iterator: to_token(&iterator) }))
}

/// The index of the first record that the request wants.
fn starting_position(
    store: &Store,
    stream: &Stream,
    shard: &Shard,
    request: &GetShardIteratorRequest<'_>,
) -> Result<u64, ServiceError> {
    let kind = request.shard_iterator_type.as_deref().unwrap_or_default();
    let starting = request.starting_sequence_number.as_deref();
    let mismatch = |what: &str| {
        ServiceError::invalid_argument(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
             TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind} and {what}."
        ))
    };
    match (kind, starting) {
        ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => Err(mismatch("no StartingSequenceNumber")),
        ("AT_SEQUENCE_NUMBER", Some(number)) => {
            Ok(sequence_index(store, stream, shard, number)?.saturating_sub(1))
        }
        ("AFTER_SEQUENCE_NUMBER", Some(number)) => sequence_index(store, stream, shard, number),
        (_, Some(_)) => Err(mismatch("also a StartingSequenceNumber")),
        ("LATEST", None) => Ok(shard.records),
        ("AT_TIMESTAMP", None) => {
            let message = "Timestamp must be specified with shard iterator type AT_TIMESTAMP.";
            let seconds = request.timestamp.ok_or_else(|| ServiceError::invalid_argument(message))?;
            let ms = (seconds * 1000.0) as i64;
            Ok(shard.kept.partition_point(|record| record.arrived_ms < ms) as u64)
        }
        _ => Ok(0),
    }
}

/// The index in a sequence number, which must be one of this shard.
fn sequence_index(store: &Store, stream: &Stream, shard: &Shard, text: &str) -> Result<u64, ServiceError> {
    let prefix = || {
        format!(
            "StartingSequenceNumber {text} used in GetShardIterator on shard {} in stream {} under account {} is \
             invalid",
            shard.id, stream.name, store.account
        )
    };
    let invalid = || ServiceError::invalid_argument(format!("{}.", prefix()));
    let number = SequenceNumber::parse(text).ok_or_else(invalid)?;
    if number.shard != shard.number {
        return Err(ServiceError::invalid_argument(format!(
            "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {}",
            crate::store::shard::shard_id(number.shard),
            shard.id
        )));
    }
    if number.created_ms != shard.created_ms {
        let message = format!("{} because it did not come from this stream.", prefix());
        return Err(ServiceError::invalid_argument(message));
    }
    Ok(number.index.min(shard.records))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecordsRequest<'a> {
    #[serde(borrow)]
    shard_iterator: Option<Text<'a>>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecordsResponse {
    records: Vec<RecordOut>,
    /// Absent at the end of a closed shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_shard_iterator: Option<String>,
    millis_behind_latest: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    child_shards: Option<Vec<ChildShard>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecordOut {
    sequence_number: String,
    /// Seconds.
    approximate_arrival_timestamp: f64,
    data: String,
    partition_key: Arc<str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChildShard {
    shard_id: Arc<str>,
    parent_shards: Vec<Arc<str>>,
    hash_key_range: HashKeyRange,
}

pub(crate) fn get_records(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: GetRecordsRequest<'_> = parse(call.body)?;
    let mut violations = Violations::default();
    violations.required("shardIterator", request.shard_iterator.as_ref());
    violations.number("limit", request.limit, 1, 10_000);
    violations.into_result()?;
    let invalid = || ServiceError::invalid_argument("Invalid ShardIterator.");
    let token = request.shard_iterator.as_deref().unwrap_or_default();
    let iterator: Iterator = from_token(token).ok_or_else(invalid)?;
    if call.now_ms - iterator.issued_ms > ITERATOR_LIFE_MS {
        return Err(ServiceError::expired_iterator(format!(
            "Iterator expired. The iterator was created at time {} while right now it is {} which is further in the \
             future than the tolerated delay of {ITERATOR_LIFE_MS} milliseconds.",
            message_date(iterator.issued_ms),
            message_date(call.now_ms)
        )));
    }

    let (page, response) = {
        let store = call.store();
        let stream = find(&store, &StreamRef::new(Some(&iterator.stream), None))?;
        let same = stream.created_ms == iterator.created_ms;
        let shard = stream.shards.get(iterator.shard as usize).filter(|_| same).ok_or_else(invalid)?;
        let limit = usize::try_from(request.limit.unwrap_or(10_000)).unwrap_or(10_000);
        read(stream, shard, &iterator, limit, call.now_ms)
    };
    // Outside the lock: base64 of megabytes would hold up the puts.
    let records = page.into_iter().map(|(number, record)| RecordOut {
        sequence_number: number.to_string(),
        approximate_arrival_timestamp: record.arrived_ms as f64 / 1000.0,
        data: base64_simd::STANDARD.encode_to_string(&record.data),
        partition_key: record.partition_key,
    });
    Ok(Reply::json(&GetRecordsResponse { records: records.collect(), ..response }))
}

/// The records from the iterator on, and the answer without them.
fn read(
    stream: &Stream,
    shard: &Shard,
    iterator: &Iterator,
    limit: usize,
    now_ms: i64,
) -> (Vec<(SequenceNumber, Kept)>, GetRecordsResponse) {
    let first = usize::try_from(iterator.position).unwrap_or(usize::MAX);
    let mut bytes = 0;
    let mut page = Vec::new();
    for (position, record) in shard.kept.iter().enumerate().skip(first).take(limit) {
        bytes += record.data.len();
        if bytes > ANSWER_BYTES_MAX && !page.is_empty() {
            break;
        }
        page.push((shard.sequence_number_at(position, record), record.clone()));
    }
    let next = first.saturating_add(page.len());
    let waiting = shard.kept.get(next);
    let ended = shard.closed_ms.is_some() && waiting.is_none();
    let next_iterator = || Iterator {
        stream: iterator.stream.clone(),
        created_ms: iterator.created_ms,
        shard: iterator.shard,
        position: next as u64,
        issued_ms: now_ms,
    };
    let response = GetRecordsResponse {
        records: Vec::new(),
        next_shard_iterator: (!ended).then(|| to_token(&next_iterator())),
        millis_behind_latest: waiting.map_or(0, |record| (now_ms - record.arrived_ms).max(0)),
        child_shards: ended.then(|| children(stream, shard)),
    };
    (page, response)
}

fn children(stream: &Stream, parent: &Shard) -> Vec<ChildShard> {
    let parents = |shard: &Shard| -> Vec<Arc<str>> {
        [&shard.parent, &shard.adjacent_parent].into_iter().flatten().cloned().collect()
    };
    let child = |shard: &Shard| ChildShard {
        shard_id: shard.id.clone(),
        parent_shards: parents(shard),
        hash_key_range: HashKeyRange::of(shard),
    };
    stream.shards.iter().filter(|shard| parents(shard).contains(&parent.id)).map(child).collect()
}

/// The number of the shard that the iterator in this request reads.
pub(crate) fn shard_of_iterator(body: &[u8]) -> Option<u32> {
    let request: GetRecordsRequest<'_> = parse(body).ok()?;
    from_token::<Iterator>(&request.shard_iterator?).map(|iterator| iterator.shard)
}
