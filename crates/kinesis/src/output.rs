//! One stream to send to: one attempt, one report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::attempt::Attempt;
use crate::batch::{Batch, Format};
use crate::classify::{self, Context};
use crate::client::{Class, Client, Failure, ListShards};
use crate::group::Groups;
use crate::limits;
use crate::settle::{Pending, RejectedRecord, Settled};
use crate::shards::{self, Coverage, ShardPage};

/// How to talk to the stream.
#[derive(Clone, Debug)]
pub struct OutputOptions {
    /// Verify with ListShards; otherwise with DescribeStream, which has 10 calls per second for the
    /// whole account.
    pub use_list_shards: bool,
    /// Bytes of one PutRecords call: data before base64, and keys. At most 10 MiB. A record that is
    /// larger by itself has a call of its own.
    pub request_bytes_max: usize,
    /// Records of one PutRecords call, 1 to 500.
    pub request_records_max: usize,
    /// `Some`: batches that wait share PutRecords calls, of which at most this many are under way at
    /// a time, at least 1. `None`: every batch has calls of its own, and they begin at once.
    pub shared_calls_max: Option<u32>,
}

impl Default for OutputOptions {
    fn default() -> Self {
        OutputOptions {
            use_list_shards: true,
            request_bytes_max: crate::limits::REQUEST_BYTES_TARGET,
            request_records_max: crate::limits::REQUEST_RECORDS_MAX,
            shared_calls_max: None,
        }
    }
}

/// Sends batches to one stream. Cheap to clone; any number of sends may be in flight.
#[derive(Clone, Debug)]
pub struct Output {
    stream: Arc<Stream>,
    groups: Option<Arc<Groups>>,
}

/// Where records go.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) client: Arc<dyn Client>,
    pub(crate) name: String,
    pub(crate) options: OutputOptions,
}

/// Which operation a call used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// One record.
    PutRecord,
    /// Up to 500 records.
    PutRecords,
}

impl Api {
    /// The operation's name, as the service, its policies and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Api::PutRecord => "PutRecord",
            Api::PutRecords => "PutRecords",
        }
    }
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
    /// The calls that were made, in order. A call that several batches share is in the report of one
    /// of them, with the records of all.
    pub calls: Vec<Call>,
    /// The records went in calls that are in another batch's report.
    pub shared: bool,
    /// How long the batch waited for a call of those that may be under way.
    pub waited: Duration,
    /// From begin to end of the attempt, the wait included.
    pub duration: Duration,
    /// Bytes of data and keys in all of `calls`, before base64.
    pub bytes: u64,
}

impl Report {
    /// What the attempt that `begin` began has brought for one batch.
    pub(crate) fn new(settled: Settled, calls: Vec<Call>, begin: Instant) -> Report {
        Report {
            delivered: settled.delivered,
            retry: Pending::from_indexes(settled.retry),
            rejected: settled.rejected,
            failure: settled.failure,
            shared: false,
            waited: Duration::ZERO,
            duration: begin.elapsed(),
            bytes: calls.iter().map(|call| call.bytes).sum(),
            calls,
        }
    }
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
    /// Sends to the stream of this name through `client`. Panics on options out of range.
    pub fn new(client: Arc<dyn Client>, stream_name: String, options: OutputOptions) -> Output {
        assert!((1..=limits::REQUEST_RECORDS_MAX).contains(&options.request_records_max));
        assert!((1..=limits::REQUEST_BYTES_MAX).contains(&options.request_bytes_max));
        let calls_max = options.shared_calls_max;
        let stream = Arc::new(Stream { client, name: stream_name, options });
        let groups = calls_max.map(|calls_max| Groups::new(Arc::clone(&stream), calls_max));
        Output { stream, groups }
    }

    /// The name of the stream.
    pub fn stream_name(&self) -> &str {
        &self.stream.name
    }

    /// Makes one attempt to send what is pending of a batch. PutRecord for the only record of a
    /// gzip, NDJSON or opaque batch, else PutRecords, in as many calls as the limits ask for.
    /// A call that is refused as a whole for one of its records is cut in halves until the record
    /// is found. Nothing else is tried twice, and after a call that failed no other is made.
    ///
    /// Where batches share calls ([`OutputOptions::shared_calls_max`]) it is always PutRecords: at
    /// once if a call may begin, else together with the others that wait, in the order of their
    /// sends. Nothing waits for company. When a call fails as a whole, nothing else is tried for those
    /// that wait: they have failed as well.
    ///
    /// Dropping the future abandons the attempt: what was under way may have arrived. Batches whose
    /// records were in the same call are then told so.
    pub async fn send(&self, batch: &Batch, pending: &Pending) -> Report {
        let begin = Instant::now();
        if let Some(groups) = &self.groups {
            return groups.send(batch, pending, begin).await;
        }
        let mut attempt = Attempt::new(&self.stream);
        attempt.add(batch, pending);
        if batch.len() == 1 && batch.format != Format::Event {
            attempt.put_record().await;
        } else {
            attempt.put_records().await;
        }
        let mut ended = attempt.end();
        let settled = ended.settled.pop().expect("the attempt is this batch's");
        Report::new(settled, ended.calls, begin)
    }

    /// Lists the shards, all pages, and says whether they cover the hash range. A gap is listed
    /// again once before it counts: pages are not an atomic snapshot.
    pub async fn verify(&self) -> Verification {
        let mut verification = self.verify_once().await;
        if matches!(verification, Verification::NotCovered { .. }) {
            verification = self.verify_once().await;
        }
        verification
    }

    async fn verify_once(&self) -> Verification {
        match self.stream.list_all().await {
            Ok(pages) => match shards::coverage(&pages) {
                Coverage::Covered { open_shards } => Verification::Covered { open_shards },
                Coverage::Not { because } => Verification::NotCovered { reason: because },
            },
            Err(failure) if says_nothing_about_puts(&failure) => Verification::Unknown { reason: failure },
            Err(failure) => Verification::Down(failure),
        }
    }
}

/// Listing is refused, but puts may still work: listing has permissions and limits of its own.
fn says_nothing_about_puts(failure: &Failure) -> bool {
    let listing_only = ["AccessDeniedException", "AccessDenied", "UnknownOperationException"];
    failure.class == Class::Throttled
        || failure.code.as_deref().is_some_and(|code| listing_only.contains(&code))
}

impl Stream {
    /// All pages. A token that has expired meanwhile means to begin again, once.
    async fn list_all(&self) -> Result<Vec<ShardPage>, Failure> {
        match self.list_pages().await {
            Err(failure) if failure.code.as_deref() == Some("ExpiredNextTokenException") => {
                self.list_pages().await
            }
            pages => pages,
        }
    }

    async fn list_pages(&self) -> Result<Vec<ShardPage>, Failure> {
        let stream = self.name.as_str();
        let mut pages: Vec<ShardPage> = Vec::new();
        for _ in 0..limits::SHARD_PAGES_MAX {
            let next = pages.last().and_then(|page| page.next.as_deref());
            let mut page = match (self.options.use_list_shards, next) {
                (true, None) => self.client.list_shards(ListShards::First { stream }).await?,
                (true, Some(token)) => self.client.list_shards(ListShards::Next { stream, token }).await?,
                (false, after) => self.client.describe_stream(stream, after).await?,
            };
            // A stream that was resharded often has many more closed shards than open ones.
            page.shards.retain(|shard| shard.open);
            let last = page.next.is_none();
            pages.push(page);
            if last {
                return Ok(pages);
            }
        }
        let what = format!("its listing of shards has not ended after {} pages", limits::SHARD_PAGES_MAX);
        let operation = if self.options.use_list_shards { "ListShards" } else { "DescribeStream" };
        Err(classify::not_kinesis(self.context(operation), &what, None))
    }

    pub(crate) fn context<'a>(&'a self, operation: &'a str) -> Context<'a> {
        Context { operation, stream: &self.name, place: self.client.place() }
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
