//! ListShards, and shards as they are described.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{Pattern, ServiceError, Violations};
use super::target::{StreamRef, find};
use super::wire::{Text, from_token, parse, to_token};
use super::{Call, Reply};
use crate::store::{Shard, Stream};

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html (read 2026-11)
//# Tokens expire after 300 seconds.
const TOKEN_LIFE_MS: i64 = 300_000;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShardDescription {
    shard_id: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<Arc<str>>,
    hash_key_range: HashKeyRange,
    sequence_number_range: SequenceNumberRange,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HashKeyRange {
    starting_hash_key: String,
    ending_hash_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: String,
    /// Absent while the shard is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<String>,
}

impl HashKeyRange {
    pub(crate) fn of(shard: &Shard) -> Self {
        Self {
            starting_hash_key: shard.range.start.to_string(),
            ending_hash_key: shard.range.end.to_string(),
        }
    }
}

fn describe(shard: &Shard) -> ShardDescription {
    ShardDescription {
        shard_id: shard.id.clone(),
        parent_shard_id: shard.parent.clone(),
        adjacent_parent_shard_id: shard.adjacent_parent.clone(),
        hash_key_range: HashKeyRange::of(shard),
        sequence_number_range: SequenceNumberRange {
            starting_sequence_number: shard.starting().to_string(),
            ending_sequence_number: shard.ending().map(|ending| ending.to_string()),
        },
    }
}

/// Part of a stream's shards.
pub(crate) struct Page {
    pub(crate) shards: Vec<ShardDescription>,
    /// The number of the last shard in it, if more follow.
    pub(crate) last: Option<u32>,
}

/// At most `limit` of the shards that match, from after the given one on. `gap` leaves out that one, or the first open.
pub(crate) fn describe_shards(
    stream: &Stream,
    after: Option<u32>,
    limit: usize,
    matches: impl Fn(&Shard) -> bool,
    gap: Option<Option<u32>>,
) -> Page {
    let first_open = || stream.open_shards().map(|shard| shard.number).min();
    let left_out = gap.and_then(|shard| shard.or_else(first_open));
    let wanted = |shard: &&Shard| {
        after.is_none_or(|after| shard.number > after) && left_out != Some(shard.number) && matches(shard)
    };
    let mut rest = stream.shards.iter().filter(wanted);
    let page: Vec<&Shard> = rest.by_ref().take(limit).collect();
    let last = page.last().map(|shard| shard.number).filter(|_| rest.next().is_some());
    Page { shards: page.into_iter().map(describe).collect(), last }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListShardsRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    next_token: Option<Text<'a>>,
    #[serde(borrow)]
    exclusive_start_shard_id: Option<Text<'a>>,
    max_results: Option<i64>,
    stream_creation_timestamp: Option<f64>,
    #[serde(borrow)]
    shard_filter: Option<FilterRequest<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterRequest<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
    /// Seconds.
    timestamp: Option<f64>,
}

/// Which shards are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Filter {
    All,
    /// Those that were open when the stream began; nothing is ever trimmed here.
    AtTrimHorizon,
    AtLatest,
    AfterShard(u32),
    AtTimestamp(i64),
    FromTimestamp(i64),
}

impl Filter {
    fn parse(request: &FilterRequest<'_>) -> Result<Self, ServiceError> {
        let timestamp = || {
            let seconds = request.timestamp;
            let message =
                "Timestamp must be specified with shard filter types AT_TIMESTAMP and FROM_TIMESTAMP.";
            seconds
                .map(|seconds| (seconds * 1000.0) as i64)
                .ok_or_else(|| ServiceError::invalid_argument(message))
        };
        Ok(match request.r#type.as_deref() {
            Some("FROM_TRIM_HORIZON") => Self::All,
            Some("AT_TRIM_HORIZON") => Self::AtTrimHorizon,
            Some("AT_LATEST") => Self::AtLatest,
            Some("AT_TIMESTAMP") => Self::AtTimestamp(timestamp()?),
            Some("FROM_TIMESTAMP") => Self::FromTimestamp(timestamp()?),
            Some("AFTER_SHARD_ID") => {
                let number = request.shard_id.as_deref().and_then(Stream::shard_index);
                let message = "ShardId must be specified with shard filter type AFTER_SHARD_ID.";
                Self::AfterShard(number.ok_or_else(|| ServiceError::invalid_argument(message))?)
            }
            other => {
                let mut violations = Violations::default();
                violations.add(
                    "shardFilter.type",
                    other,
                    "Member must satisfy enum value set: [AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, \
                     AT_LATEST, AT_TIMESTAMP, FROM_TIMESTAMP]",
                );
                violations.into_result()?;
                Self::All
            }
        })
    }

    fn matches(self, stream: &Stream, shard: &Shard) -> bool {
        let open_at = |ms: i64| shard.created_ms <= ms && shard.closed_ms.is_none_or(|closed| closed > ms);
        match self {
            Self::All => true,
            Self::AtTrimHorizon => shard.created_ms <= stream.created_ms,
            Self::AtLatest => shard.closed_ms.is_none(),
            Self::AfterShard(number) => shard.number > number,
            Self::AtTimestamp(ms) => open_at(ms.max(stream.created_ms)),
            Self::FromTimestamp(ms) => open_at(ms.max(stream.created_ms)) || shard.created_ms > ms,
        }
    }
}

/// What `NextToken` holds.
#[derive(Serialize, Deserialize)]
struct NextToken {
    stream: String,
    /// Tells a stream from another one of the same name.
    created_ms: i64,
    last: u32,
    filter: Filter,
    issued_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListShardsResponse {
    shards: Vec<ShardDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) fn list_shards(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: ListShardsRequest<'_> = parse(call.body)?;
    let target = StreamRef::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let start = request.exclusive_start_shard_id.as_deref();
    let mut violations = Violations::default();
    violations.number("maxResults", request.max_results, 1, 10_000);
    violations.text("exclusiveStartShardId", start, Some(Pattern::Name), 128);
    target.check(&mut violations);
    violations.into_result()?;

    let continued = continued_from(call, &request, &target)?;
    let store = call.store();
    let (stream, after, filter) = match &continued {
        Some(token) => {
            let stream = find(&store, &StreamRef::new(Some(&token.stream), None))?;
            if stream.created_ms != token.created_ms {
                return Err(ServiceError::stream_not_found(&store, &token.stream));
            }
            (stream, Some(token.last), token.filter)
        }
        None => {
            let filter = request.shard_filter.as_ref().map_or(Ok(Filter::All), Filter::parse)?;
            (find(&store, &target)?, start.and_then(Stream::shard_index), filter)
        }
    };
    let page_max = call.endpoint.limits.list_shards_page_max;
    let limit = usize::try_from(request.max_results.unwrap_or(1000)).unwrap_or(page_max).min(page_max);
    let page = describe_shards(stream, after, limit, |shard| filter.matches(stream, shard), call.strike.gap);
    let (created_ms, issued_ms) = (stream.created_ms, call.now_ms);
    let token = |last| NextToken { stream: stream.name.to_string(), created_ms, last, filter, issued_ms };
    let next_token = page.last.map(|last| to_token(&token(last)));
    Ok(Reply::json(&ListShardsResponse { shards: page.shards, next_token }))
}

/// The token to go on from, checked; none for a first page.
fn continued_from(
    call: &Call<'_>,
    request: &ListShardsRequest<'_>,
    target: &StreamRef<'_>,
) -> Result<Option<NextToken>, ServiceError> {
    let Some(token) = request.next_token.as_deref() else {
        if target.is_empty() {
            let message = "Either NextToken or StreamName should be provided.";
            return Err(ServiceError::invalid_argument(message));
        }
        return Ok(None);
    };
    if !target.is_empty() {
        let message = "NextToken and StreamName cannot be provided together.";
        return Err(ServiceError::invalid_argument(message));
    }
    if request.exclusive_start_shard_id.is_some() || request.stream_creation_timestamp.is_some() {
        let message =
            "NextToken cannot be provided together with ExclusiveStartShardId or StreamCreationTimestamp.";
        return Err(ServiceError::invalid_argument(message));
    }
    let token: NextToken =
        from_token(token).ok_or_else(|| ServiceError::invalid_argument("NextToken is invalid."))?;
    if call.now_ms - token.issued_ms > TOKEN_LIFE_MS {
        return Err(ServiceError::expired_next_token("NextToken has expired; tokens live for 300 seconds."));
    }
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StreamSpec;

    #[test]
    fn at_any_time_the_open_shards_cover_the_hash_space() {
        for step_ms in [0, 1, 7] {
            let mut stream = Stream::new(&StreamSpec::new("s", 2), 1000);
            stream.split(0, 1 << 100, 1000 + step_ms).unwrap();
            stream.merge(3, 1, 1000 + 2 * step_ms).unwrap();
            stream.split(4, 1 << 127, 1000 + 3 * step_ms).unwrap();
            for ms in 990..1040 {
                let open = |shard: &&Shard| Filter::AtTimestamp(ms).matches(&stream, shard);
                let mut ranges: Vec<_> = stream.shards.iter().filter(open).map(|shard| shard.range).collect();
                ranges.sort_by_key(|range| range.start);
                assert_eq!(ranges.first().map(|range| range.start), Some(0), "at {ms}");
                assert_eq!(ranges.last().map(|range| range.end), Some(u128::MAX), "at {ms}");
                assert!(ranges.windows(2).all(|two| two[0].end + 1 == two[1].start), "at {ms}: {ranges:?}");
            }
            let all =
                stream.shards.iter().filter(|shard| Filter::FromTimestamp(0).matches(&stream, shard)).count();
            assert_eq!(all, stream.shards.len());
        }
    }
}
