//! SplitShard and MergeShards. They take effect at once.

use serde::Deserialize;

use super::error::{Pattern, ServiceError, Violations};
use super::target::{StreamRef, find, find_shard};
use super::wire::{Text, parse};
use super::{Call, Reply};
use crate::store::ReshardError;
use crate::store::shard::shard_id;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SplitRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    shard_to_split: Option<Text<'a>>,
    #[serde(borrow)]
    new_starting_hash_key: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MergeRequest<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    shard_to_merge: Option<Text<'a>>,
    #[serde(borrow)]
    adjacent_shard_to_merge: Option<Text<'a>>,
}

pub(crate) fn split(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: SplitRequest<'_> = parse(call.body)?;
    let target = StreamRef::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let mut violations = Violations::default();
    violations.required("newStartingHashKey", request.new_starting_hash_key.as_ref());
    let hash_key = request.new_starting_hash_key.as_deref();
    violations.text("newStartingHashKey", hash_key, Some(Pattern::HashKey), 39);
    target.check(&mut violations);
    let named = check_shard(&mut violations, "shardToSplit", request.shard_to_split.as_deref());
    violations.into_result()?;

    let mut store = call.store();
    let stream = find(&store, &target)?;
    let index = find_shard(&store, stream, named)?;
    let name = stream.name.clone();
    let hash_key = hash_key.unwrap_or_default();
    let (account, range) = (store.account.clone(), stream.shards[index].range);
    let outside = || {
        ServiceError::invalid_argument(format!(
            "NewStartingHashKey {hash_key} used in SplitShard() on shard {} in stream {name} under account {account} \
             is not both greater than one plus the shard's StartingHashKey {} and less than the shard's EndingHashKey \
             {}.",
            shard_id(index as u32),
            range.start,
            range.end
        ))
    };
    // 39 digits can be more than 2^128 - 1.
    let at: u128 = hash_key.parse().map_err(|_| outside())?;
    let stream = store.streams.get_mut(&*name).expect("the stream was found under the same lock");
    stream.split(index, at, call.now_ms).map_err(|error| match error {
        ReshardError::Closed(number) => closed(number, &name, &account),
        ReshardError::Outside | ReshardError::NotAdjacent => outside(),
    })?;
    Ok(Reply::empty())
}

pub(crate) fn merge(call: &Call<'_>) -> Result<Reply, ServiceError> {
    let request: MergeRequest<'_> = parse(call.body)?;
    let target = StreamRef::new(request.stream_name.as_deref(), request.stream_arn.as_deref());
    let mut violations = Violations::default();
    let lower = check_shard(&mut violations, "shardToMerge", request.shard_to_merge.as_deref());
    let upper =
        check_shard(&mut violations, "adjacentShardToMerge", request.adjacent_shard_to_merge.as_deref());
    target.check(&mut violations);
    violations.into_result()?;

    let mut store = call.store();
    let stream = find(&store, &target)?;
    let (index, next) = (find_shard(&store, stream, lower)?, find_shard(&store, stream, upper)?);
    let (name, account) = (stream.name.clone(), store.account.clone());
    let stream = store.streams.get_mut(&*name).expect("the stream was found under the same lock");
    stream.merge(index, next, call.now_ms).map_err(|error| match error {
        ReshardError::Closed(number) => closed(number, &name, &account),
        ReshardError::Outside | ReshardError::NotAdjacent => ServiceError::invalid_argument(format!(
            "Shards {} and {} in stream {name} under account {account} are not an adjacent pair of shards eligible \
             for merging",
            shard_id(index as u32),
            shard_id(next as u32)
        )),
    })?;
    Ok(Reply::empty())
}

fn check_shard<'a>(violations: &mut Violations, at: &str, name: Option<&'a str>) -> &'a str {
    violations.required(at, name.as_ref());
    violations.text(at, name, Some(Pattern::Name), 128);
    name.unwrap_or_default()
}

fn closed(number: u32, stream: &str, account: &str) -> ServiceError {
    ServiceError::invalid_argument(format!(
        "Shard {} in stream {stream} under account {account} has already been merged or split, and thus is not \
         eligible for merging or splitting.",
        shard_id(number)
    ))
}
