//! The service's operations: a request's body → an answer or an error. No network, no clock of its own.

mod error;
mod list;
mod put;
mod read;
mod reshard;
mod stream;
pub(crate) mod sts;
mod target;
mod wire;
mod write;

use std::sync::MutexGuard;

use serde::Serialize;

use crate::Operation;
use crate::endpoint::Endpoint;
use crate::events::Reservation;
use crate::store::{Store, Stream};
use crate::strike::{Refusal, Strike};
pub(crate) use error::ServiceError;
use target::StreamRef;
use wire::{Text, parse};

/// One request to carry out.
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) op: Operation,
    pub(crate) body: &'a [u8],
    pub(crate) strike: &'a Strike,
    /// Unix time.
    pub(crate) now_ms: i64,
}

impl Call<'_> {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.endpoint.store()
    }
}

/// An answer with status 200.
#[derive(Debug)]
pub(crate) struct Reply {
    /// JSON, or nothing for operations that answer nothing.
    pub(crate) body: Vec<u8>,
    /// Some records of a PutRecords were refused.
    pub(crate) partial: bool,
}

impl Reply {
    /// For operations that answer nothing.
    fn empty() -> Self {
        Self { body: Vec::new(), partial: false }
    }

    fn json(value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("answers are plain structs, which always serialise");
        Self { body, partial: false }
    }
}

/// Carries out an operation of Kinesis.
pub(crate) fn dispatch(call: &Call<'_>, sink: Option<Reservation<'_>>) -> Result<Reply, ServiceError> {
    if let Some(refusal) = call.strike.refusal {
        refuse(call, refusal)?;
    }
    match call.op {
        Operation::CreateStream => stream::create(call),
        Operation::DeleteStream => stream::delete(call),
        Operation::DescribeStream => stream::describe(call),
        Operation::DescribeStreamSummary => stream::describe_summary(call),
        Operation::UpdateMaxRecordSize => stream::update_max_record_size(call),
        Operation::ListStreams => stream::list(call),
        Operation::ListShards => list::list_shards(call),
        Operation::PutRecord => put::put_record(call, sink),
        Operation::PutRecords => put::put_records(call, sink),
        Operation::GetShardIterator => read::get_shard_iterator(call),
        Operation::GetRecords => read::get_records(call),
        Operation::SplitShard => reshard::split(call),
        Operation::MergeShards => reshard::merge(call),
        Operation::AssumeRole | Operation::GetCallerIdentity => Err(ServiceError::unknown_operation()),
    }
}

/// The fields by which any request names its stream.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AnyTarget<'a> {
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
}

impl AnyTarget<'_> {
    fn stream(&self) -> StreamRef<'_> {
        StreamRef::new(self.stream_name.as_deref(), self.stream_arn.as_deref())
    }
}

/// An error if the fault comes true for this call.
fn refuse(call: &Call<'_>, refusal: Refusal) -> Result<(), ServiceError> {
    let target: Option<AnyTarget<'_>> = parse(call.body).ok();
    let name = target.as_ref().and_then(|target| target.stream().resolve().ok());
    let store = call.store();
    Err(match refusal {
        Refusal::Denied => {
            let resource = name.map_or_else(|| "*".to_owned(), |name| store.arn(name));
            ServiceError::denied(&store, &format!("kinesis:{}", call.op), &resource)
        }
        Refusal::ExpiredToken => ServiceError::expired_token(),
        Refusal::NotFound => ServiceError::stream_not_found(&store, name.unwrap_or("unknown")),
        Refusal::Throttled(probability) if call.endpoint.dice() >= probability.get() => return Ok(()),
        Refusal::Throttled(_) if call.op == Operation::GetRecords => {
            ServiceError::throttled("Rate exceeded for the shard that this iterator reads.")
        }
        Refusal::Throttled(_) => {
            let stream = name.unwrap_or("unknown");
            let account = &store.account;
            ServiceError::limit_exceeded(format!(
                "Rate exceeded for stream {stream} under account {account}."
            ))
        }
    })
}

/// The numbers of the shards that a request concerns, as far as it names any.
pub(crate) fn shards_concerned(store: &Store, op: Operation, body: &[u8]) -> Vec<u32> {
    match op {
        Operation::PutRecord => put::shards_of_put(store, body, false).unwrap_or_default(),
        Operation::PutRecords => put::shards_of_put(store, body, true).unwrap_or_default(),
        Operation::GetRecords => read::shard_of_iterator(body).into_iter().collect(),
        _ => {
            let named: NamedShards<'_> = parse(body).unwrap_or_default();
            let names =
                [named.shard_id, named.shard_to_split, named.shard_to_merge, named.adjacent_shard_to_merge];
            names.iter().flatten().filter_map(|name| Stream::shard_index(name)).collect()
        }
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedShards<'a> {
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
    #[serde(borrow)]
    shard_to_split: Option<Text<'a>>,
    #[serde(borrow)]
    shard_to_merge: Option<Text<'a>>,
    #[serde(borrow)]
    adjacent_shard_to_merge: Option<Text<'a>>,
}
