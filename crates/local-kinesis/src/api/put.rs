//! PutRecord and PutRecords: what requests say, and what they are answered.

use serde::{Deserialize, Serialize};

use super::error::{Pattern, ServiceError, Violations};
use super::target::{StreamRef, find};
use super::wire::{Blob, Entries, Entry, Text, parse};
use super::write::{Outcome, Put, Record, put};
use super::{Call, Reply};
use crate::decode::claimed_events;
use crate::events::Reservation;
use crate::store::Store;
use crate::store::hash_range::hash_of;

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
    #[serde(default)]
    dry_run: Option<bool>,
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
    #[serde(default)]
    dry_run: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsResponse {
    failed_record_count: usize,
    records: Vec<Outcome>,
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
    let dry_run = request.dry_run == Some(true);
    match put(call, &target, &Put { records: &records, data_at: "data", dry_run }, sink)?.pop() {
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
    for (index, entry) in entries.kept.iter().enumerate().filter(|(_, entry)| !is_plainly_right(entry)) {
        check_entry(&mut violations, &format!("records.{}.member.", index + 1), entry);
    }
    target.check(&mut violations);
    violations.into_result()?;

    let records = entries.kept.into_iter().map(check_record).collect::<Result<Vec<_>, _>>()?;
    if records.iter().map(Record::bytes).sum::<usize>() > REQUEST_BYTES_MAX {
        return Err(ServiceError::invalid_argument("Records size exceeds 10 MB limit"));
    }
    let dry_run = request.dry_run == Some(true);
    let records =
        put(call, &target, &Put { records: &records, data_at: "records.*.member.data", dry_run }, sink)?;
    let failed_record_count = records.iter().filter(|outcome| !outcome.is_accepted()).count();
    let reply = Reply::json(&PutRecordsResponse { failed_record_count, records });
    Ok(Reply { partial: failed_record_count > 0, ..reply })
}

/// Spares nearly every record the search for violations, which has to name its fields.
fn is_plainly_right(entry: &Entry<'_>) -> bool {
    // A text has at least as many bytes as UTF-16 units.
    let key_fits = |key: &Text<'_>| (1..=PARTITION_KEY_UNITS_MAX).contains(&key.len());
    let data_fits = |data: &Blob| data.0.len() <= DATA_BYTES_MAX;
    entry.data.as_ref().is_some_and(data_fits)
        && entry.partition_key.as_ref().is_some_and(key_fits)
        && entry.explicit_hash_key.is_none()
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
