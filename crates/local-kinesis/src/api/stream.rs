//! Creating, deleting, describing and listing streams. All of it takes effect at once.

use serde::{Deserialize, Serialize};

use super::error::{Pattern, ServiceError, Violations};
use super::list::{ShardDescription, describe_shards};
use super::target::{StreamRef, find};
use super::wire::{Text, from_token, parse, to_token};
use super::{AnyTarget, Call, Reply};
use crate::StreamSpec;
use crate::store::{Store, Stream};

const RECORD_KIB: std::ops::RangeInclusive<i64> = 1024..=10_240;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    shard_count: Option<i64>,
    stream_mode_details: Option<StreamModeDetails<'a>>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamModeDetails<'a> {
    #[serde(borrow)]
    stream_mode: Option<Text<'a>>,
}

/// Shards that a stream on demand starts with.
const ON_DEMAND_SHARDS: i64 = 4;

pub(crate) fn create(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: CreateRequest<'_> = parse(call.body)?;
    let mode = request.stream_mode_details.and_then(|details| details.stream_mode);
    let on_demand = mode.as_deref() == Some("ON_DEMAND");
    let shard_count = request.shard_count.or(on_demand.then_some(ON_DEMAND_SHARDS));
    let mut violations = Violations::default();
    violations.required("shardCount", shard_count.as_ref());
    violations.number("shardCount", shard_count, 1, i64::from(StreamSpec::SHARDS_MAX));
    violations.required("streamName", request.stream_name.as_ref());
    violations.text("streamName", request.stream_name.as_deref(), Some(Pattern::Name), 128);
    let record_kib = request.max_record_size_in_kib;
    violations.number("maxRecordSizeInKiB", record_kib, *RECORD_KIB.start(), *RECORD_KIB.end());
    violations.into_result()?;

    let name = request.stream_name.as_deref().unwrap_or_default();
    let shards = u32::try_from(shard_count.unwrap_or(1)).expect("the number was checked");
    let record_kib_max = u32::try_from(record_kib.unwrap_or(1024)).expect("the number was checked");
    let spec = StreamSpec { name: name.to_owned(), shards, record_kib_max };
    let mut store = call.store();
    if store.streams.contains_key(name) {
        let account = &store.account;
        let message = format!("Stream {name} under account {account} already exists.");
        return Err(ServiceError::resource_in_use(message));
    }
    store.streams.insert(name.to_owned(), Stream::new(&spec, call.now_ms));
    Ok(Reply::empty())
}

pub(crate) fn delete(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: AnyTarget<'_> = parse(call.body)?;
    check_target(&request.stream())?;
    let mut store = call.store();
    let name = find(&store, &request.stream())?.name.clone();
    store.streams.remove(&*name);
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    limit: Option<i64>,
    #[serde(borrow)]
    exclusive_start_shard_id: Option<Text<'a>>,
}

/// What both descriptions have in common.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamMode,
    retention_period_hours: u32,
    /// Seconds.
    stream_creation_timestamp: f64,
    enhanced_monitoring: [Monitoring; 1],
    encryption_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamMode {
    stream_mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Monitoring {
    shard_level_metrics: [&'static str; 0],
}

fn description(store: &Store, stream: &Stream) -> Description {
    Description {
        stream_name: stream.name.to_string(),
        stream_arn: store.arn(&stream.name),
        stream_status: "ACTIVE",
        stream_mode_details: StreamMode { stream_mode: "PROVISIONED" },
        retention_period_hours: 24,
        stream_creation_timestamp: stream.created_ms as f64 / 1000.0,
        enhanced_monitoring: [Monitoring { shard_level_metrics: [] }],
        encryption_type: "NONE",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeResponse {
    stream_description: StreamDescription,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription {
    #[serde(flatten)]
    description: Description,
    shards: Vec<ShardDescription>,
    has_more_shards: bool,
}

pub(crate) fn describe(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: DescribeRequest<'_> = parse(call.body)?;
    let target = StreamRef::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let start = request.exclusive_start_shard_id.as_deref();
    let mut violations = Violations::default();
    violations.number("limit", request.limit, 1, 10_000);
    violations.text("exclusiveStartShardId", start, Some(Pattern::Name), 128);
    target.check(&mut violations);
    violations.into_result()?;

    let store = call.store();
    let stream = find(&store, &target)?;
    let after = start.and_then(Stream::shard_index);
    let page_max = call.endpoint.limits.describe_stream_page_max;
    let limit = usize::try_from(request.limit.unwrap_or(100)).unwrap_or(page_max).min(page_max);
    let page = describe_shards(stream, after, limit, |_| true, call.strike.gap);
    let description = description(&store, stream);
    let (shards, has_more_shards) = (page.shards, page.last.is_some());
    let stream_description = StreamDescription { description, shards, has_more_shards };
    Ok(Reply::json(&DescribeResponse { stream_description }))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryResponse {
    stream_description_summary: Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    #[serde(flatten)]
    description: Description,
    open_shard_count: usize,
    consumer_count: u32,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: usize,
}

pub(crate) fn describe_summary(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: AnyTarget<'_> = parse(call.body)?;
    check_target(&request.stream())?;
    let store = call.store();
    let stream = find(&store, &request.stream())?;
    let stream_description_summary = Summary {
        description: description(&store, stream),
        open_shard_count: stream.open_shards().count(),
        consumer_count: 0,
        max_record_size_in_kib: stream.record_bytes_max / 1024,
    };
    Ok(Reply::json(&SummaryResponse { stream_description_summary }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateMaxRecordSizeRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: Option<i64>,
}

pub(crate) fn update_max_record_size(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: UpdateMaxRecordSizeRequest<'_> = parse(call.body)?;
    let target = StreamRef::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let record_kib = request.max_record_size_in_kib;
    let mut violations = Violations::default();
    violations.required("maxRecordSizeInKiB", record_kib.as_ref());
    violations.number("maxRecordSizeInKiB", record_kib, *RECORD_KIB.start(), *RECORD_KIB.end());
    target.check(&mut violations);
    violations.into_result()?;

    let mut store = call.store();
    let name = find(&store, &target)?.name.clone();
    let record_kib = usize::try_from(record_kib.unwrap_or(1024)).expect("the number was checked");
    if let Some(stream) = store.streams.get_mut(&*name) {
        stream.record_bytes_max = record_kib * 1024;
    }
    Ok(Reply::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListRequest<'a> {
    limit: Option<i64>,
    #[serde(borrow)]
    exclusive_start_stream_name: Option<Text<'a>>,
    #[serde(borrow)]
    next_token: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListResponse {
    stream_names: Vec<String>,
    has_more_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    stream_summaries: Vec<Listed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamMode,
    stream_creation_timestamp: f64,
}

pub(crate) fn list(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: ListRequest<'_> = parse(call.body)?;
    let mut violations = Violations::default();
    violations.number("limit", request.limit, 1, 10_000);
    let start = request.exclusive_start_stream_name.as_deref();
    violations.text("exclusiveStartStreamName", start, Some(Pattern::Name), 128);
    violations.into_result()?;
    let after = match request.next_token.as_deref() {
        Some(token) => {
            let invalid = || ServiceError::invalid_argument("NextToken is invalid.");
            Some(from_token::<String>(token).ok_or_else(invalid)?)
        }
        None => start.map(str::to_owned),
    };

    let store = call.store();
    let limit = usize::try_from(request.limit.unwrap_or(100)).unwrap_or(100);
    let mut rest =
        store.streams.values().filter(|stream| after.as_deref().is_none_or(|after| &*stream.name > after));
    let page: Vec<&Stream> = rest.by_ref().take(limit).collect();
    let has_more_streams = rest.next().is_some();
    let last = page.last().filter(|_| has_more_streams);
    let summary = |stream: &&Stream| Listed {
        stream_name: stream.name.to_string(),
        stream_arn: store.arn(&stream.name),
        stream_status: "ACTIVE",
        stream_mode_details: StreamMode { stream_mode: "PROVISIONED" },
        stream_creation_timestamp: stream.created_ms as f64 / 1000.0,
    };
    Ok(Reply::json(&ListResponse {
        stream_names: page.iter().map(|stream| stream.name.to_string()).collect(),
        has_more_streams,
        next_token: last.map(|stream| to_token(&stream.name)),
        stream_summaries: page.iter().map(summary).collect(),
    }))
}

fn check_target(target: &StreamRef<'_>) -> Result<(), ServiceError> {
    let mut violations = Violations::default();
    target.check(&mut violations);
    violations.into_result()
}
