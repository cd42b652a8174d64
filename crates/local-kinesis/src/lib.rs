//! An Amazon Kinesis Data Streams endpoint in one process: for trials, tests and demonstrations.
//!
//! It speaks Kinesis' JSON 1.1 protocol (and STS `AssumeRole`) over HTTP, checks the service's limits, keeps what it
//! accepted for later inspection, and can be told to misbehave in the ways that links, proxies and the service itself do.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use millpond_local_kinesis::{Options, StreamSpec, start, verify};
//!
//! let server = start(Options { streams: vec![StreamSpec::new("logs", 4)], ..Options::default() }).await?;
//! println!("endpoint: {}", server.endpoint());
//! server.faults().set("throttle:0.4,for=10s".parse()?);
//! // … run a forwarder against it …
//! let verified = verify(&server.records(), |_record, event| println!("{}", String::from_utf8_lossy(event)));
//! assert!(verified.malformed.is_empty());
//! server.shutdown().await?;
//! # Ok(()) }
//! ```
//!
//! # What it does
//!
//! CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary, ListStreams, ListShards, PutRecord, PutRecords,
//! GetShardIterator, GetRecords, SplitShard, MergeShards, UpdateMaxRecordSize, and AssumeRole and GetCallerIdentity of
//! STS: each in one call, at once (a stream is `ACTIVE` as soon as it is created). Limits and messages are the service's.
//! Streams go by name or ARN. A put with `DryRun` stores nothing and says whether it would. Unlike the service it keeps
//! records forever, takes any credentials but those that it gave itself and that have run out since
//! ([`Options::role_lifetime`]), and has no CBOR, consumers or tags.
//!
//! # What can go wrong on demand
//!
//! [`FaultKind`] lists the faults; [`Fault`] as text is `KIND[:VALUE][,shard=ID][,op=OPERATION][,for=DURATION]`.
//! Several may be on. A request meets them in this order: delays; no answer (`down`, `reset`, `hang`); an answer from
//! elsewhere (`portal`, `empty`, `error500`); a refusal; single records refused; and once it was carried out, an answer
//! that gets lost (`truncated`, `accept-then-reset`). Of each sort the first that was set wins. A fault limited to a shard
//! strikes every call that concerns that shard; `throttle`, `partial` and `refuse` strike only its records.
//!
//! # Looking and switching over HTTP
//!
//! | request | answer |
//! |---|---|
//! | `GET /_local/health` | `{"status":"ok"}` |
//! | `GET /_local/counts` | [`Counts`] as JSON |
//! | `GET /_local/events` | every kept event, one JSON line each |
//! | `POST /_local/flush` | returns when every accepted event is in the file of [`Options::write_events`] |
//! | `GET`, `POST`, `DELETE /_local/faults` | the faults that are on; sets those in the body, one per line; clears all |
//! | `DELETE /_local/faults/ID` | clears one |
//!
//! `down` closes the very address that these are served on. So over HTTP it is taken only with `for=`, unless there is
//! an [`Options::control_listen`].
//!
//! It is not: durable (everything is gone when it stops), secured (signatures are not checked), or a load generator.
#![warn(missing_docs)]

mod api;
mod clock;
mod counts;
mod decode;
mod endpoint;
mod events;
mod fault;
mod fault_control;
mod fault_text;
mod http;
mod listener;
mod operation;
mod options;
mod pacer;
mod record;
mod server;
mod store;
mod strike;
mod tally;
mod verify;

pub use counts::{Counts, ShardCounts};
pub use decode::{DecodeError, Decoded, Encoding, decode};
pub use events::EventsError;
pub use fault::{Fault, FaultKind, ParseFaultError, Probability, Skew};
pub use fault_control::{ActiveFault, FaultControl, FaultId};
pub use operation::{Operation, UnknownOperation};
pub use options::{
    Keep, Limits, Options, ParseRoleLifetimeError, ParseStreamError, RoleLifetime, StreamSpec,
};
pub use record::KeptRecord;
pub use server::{CallError, Server, ShutdownError, StartError, start};
pub use verify::{Malformed, Verified, verify};
