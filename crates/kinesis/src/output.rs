//! One stream to send to: one attempt, one report.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::client::{Class, Client, Failure};
use crate::settle::{Pending, RejectedRecord};

/// How to talk to the stream.
#[derive(Clone, Debug)]
pub struct OutputOptions {
    /// Verify with ListShards; otherwise with DescribeStream, which has 10 calls per second for the
    /// whole account.
    pub use_list_shards: bool,
    /// Bytes of one PutRecords call: data before base64, and keys. At most 10 MiB.
    pub request_bytes_max: usize,
    /// Records of one PutRecords call, 1 to 500.
    pub request_records_max: usize,
}

impl Default for OutputOptions {
    fn default() -> Self {
        OutputOptions {
            use_list_shards: true,
            request_bytes_max: crate::limits::REQUEST_BYTES_TARGET,
            request_records_max: crate::limits::REQUEST_RECORDS_MAX,
        }
    }
}

/// Sends batches to one stream. Cheap to clone; any number of sends may be in flight.
#[derive(Clone, Debug)]
pub struct Output {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Arc<dyn Client>,
    stream: String,
    options: OutputOptions,
}

/// Which operation a call used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// One record.
    PutRecord,
    /// Up to 500 records.
    PutRecords,
}

/// How one call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// Every record was accepted.
    Accepted,
    /// Some records were not.
    Partial,
    /// None was, for a reason of this class.
    Failed(Class),
}

/// One call to the service, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The operation.
    pub api: Api,
    /// How it ended.
    pub outcome: CallOutcome,
    /// From begin to answer.
    pub duration: Duration,
    /// Records in the call.
    pub records: u32,
    /// Bytes of data and keys in the call, before base64.
    pub bytes: u64,
}

/// What became of an attempt. Total: every record that was pending is in exactly one of
/// `delivered`, `retry` and `rejected`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "what is in `retry` has to be sent again"]
pub struct Report {
    /// Indexes of the records that the service has confirmed, ascending.
    pub delivered: Vec<u32>,
    /// What has to be sent again.
    pub retry: Pending,
    /// What can never be accepted, ascending by index.
    pub rejected: Vec<RejectedRecord>,
    /// The worst failure: why `retry` is not empty. Always there when `retry` is not empty.
    pub failure: Option<Failure>,
    /// The calls that were made, in order.
    pub calls: Vec<Call>,
    /// From begin to end of the attempt.
    pub duration: Duration,
    /// Bytes of data and keys in all calls, before base64.
    pub bytes: u64,
}

/// Whether the stream can be written to, as far as listing its shards tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The open shards cover the hash range with no gap.
    Covered {
        /// How many are open.
        open_shards: u32,
    },
    /// The service answered, and some records would have nowhere to go.
    NotCovered {
        /// One sentence that names the gap or the state of the stream.
        reason: String,
    },
    /// The shards may not be listed (no permission, listing throttled): only a put can tell.
    Unknown {
        /// Why.
        reason: Failure,
    },
    /// The service cannot be reached, or the stream does not exist.
    Down(Failure),
}

impl Output {
    /// Sends to the stream of this name through `client`.
    pub fn new(client: Arc<dyn Client>, stream_name: String, options: OutputOptions) -> Output {
        Output {
            shared: Arc::new(Shared {
                client,
                stream: stream_name,
                options,
            }),
        }
    }

    /// The name of the stream.
    pub fn stream_name(&self) -> &str {
        &self.shared.stream
    }

    /// Makes one attempt to send what is pending of a batch. PutRecord for a single record of a
    /// gzip, NDJSON or opaque batch, else PutRecords, in as many calls as the limits ask for.
    /// A call that is refused as a whole for one of its records is cut in halves until the record
    /// is found. Nothing else is tried twice. Dropping the future abandons the attempt: what was
    /// under way may have arrived.
    pub async fn send(&self, batch: &Batch, pending: &Pending) -> Report {
        todo!("{batch:?} {pending:?} {:?}", self.shared.options)
    }

    /// Lists the shards, all pages, and says whether they cover the hash range. A gap is listed
    /// again once before it counts: pages are not an atomic snapshot.
    pub async fn verify(&self) -> Verification {
        todo!("{:?}", self.shared.client)
    }
}
