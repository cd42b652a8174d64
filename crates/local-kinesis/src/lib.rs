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
pub use options::{Keep, Limits, Options, ParseStreamError, StreamSpec};
pub use record::KeptRecord;
pub use server::{Server, ShutdownError, StartError, start};
pub use verify::{Malformed, Verified, verify};
