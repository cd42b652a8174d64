//! One stream to send to: one attempt, one report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::{Batch, Format, RecordRef};
use crate::classify::{self, Context};
use crate::client::{Class, Client, Failure, ListShards};
use crate::limits;
use crate::record;
use crate::settle::{Pending, RejectedRecord, Settled, settle};
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
    /// Sends to the stream of this name through `client`. Panics on options out of range.
    pub fn new(client: Arc<dyn Client>, stream_name: String, options: OutputOptions) -> Output {
        assert!((1..=limits::REQUEST_RECORDS_MAX).contains(&options.request_records_max));
        assert!((1..=limits::REQUEST_BYTES_MAX).contains(&options.request_bytes_max));
        let shared = Shared { client, stream: stream_name, options };
        Output { shared: Arc::new(shared) }
    }

    /// The name of the stream.
    pub fn stream_name(&self) -> &str {
        &self.shared.stream
    }

    /// Makes one attempt to send what is pending of a batch. PutRecord for the only record of a
    /// gzip, NDJSON or opaque batch, else PutRecords, in as many calls as the limits ask for.
    /// A call that is refused as a whole for one of its records is cut in halves until the record
    /// is found. Nothing else is tried twice, and after a call that failed no other is made.
    ///
    /// Dropping the future abandons the attempt: what was under way may have arrived.
    pub async fn send(&self, batch: &Batch, pending: &Pending) -> Report {
        let begin = Instant::now();
        let mut attempt =
            Attempt { shared: &self.shared, batch, settled: Settled::default(), calls: Vec::new() };
        let sendable = attempt.sort_out(pending);
        if batch.len() == 1 && batch.format != Format::Event {
            if !sendable.is_empty() {
                attempt.put_record().await;
            }
        } else {
            attempt.put_records(sendable).await;
        }
        attempt.report(pending, begin)
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
        match self.shared.list_all().await {
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

impl Shared {
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
        let stream = self.stream.as_str();
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

    fn context<'a>(&'a self, operation: &'a str) -> Context<'a> {
        Context { operation, stream: &self.stream, place: self.client.place() }
    }
}

/// Calls that one attempt spends at most on finding refused records. Each record that is found is
/// out of the next attempt, so it goes on from there.
const BISECT_CALLS_MAX: usize = 64;

/// One attempt under way. Every pending record ends up in `settled` exactly once.
struct Attempt<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    settled: Settled,
    calls: Vec<Call>,
}

impl Attempt<'_> {
    /// Rejects what the service cannot accept by its own limits; returns the others.
    fn sort_out(&mut self, pending: &Pending) -> Vec<u32> {
        let mut sendable = Vec::with_capacity(pending.len());
        for &index in pending.indexes() {
            let record = self.batch.record(index as usize);
            let problem = if !record::is_legal_key(record.partition_key) {
                let units = record.partition_key.encode_utf16().count();
                Some((
                    "PartitionKey",
                    format!("the partition key has {units} UTF-16 units, 1 to 256 are allowed"),
                ))
            } else if record.wire_bytes() > limits::RECORD_BYTES_MAX {
                let (bytes, max) = (record.wire_bytes(), limits::RECORD_BYTES_MAX);
                Some((
                    "RecordTooLarge",
                    format!("the record has {bytes} bytes with its key, no stream takes more than {max}"),
                ))
            } else {
                None
            };
            match problem {
                None => sendable.push(index),
                Some((code, message)) => {
                    self.settled.rejected.push(RejectedRecord { index, code: code.to_owned(), message })
                }
            }
        }
        sendable
    }

    async fn put_record(&mut self) {
        let record = self.batch.record(0);
        let bytes = record.wire_bytes() as u64;
        let begin = Instant::now();
        let answer = self.shared.client.put_record(&self.shared.stream, record).await;
        let context = self.shared.context("PutRecord");
        let settled = settle(context, &[0], answer.as_ref().map(std::slice::from_ref));
        self.note(Api::PutRecord, begin, bytes, 1, answer.as_ref().err(), settled);
    }

    /// Sends these records in as few calls as the limits allow, in order.
    async fn put_records(&mut self, sendable: Vec<u32>) {
        // What is still to be sent, the next part last.
        let mut parts = self.split(sendable);
        parts.reverse();
        let mut bisect_calls = 0;
        while let Some(part) = parts.pop() {
            let failure = self.put_part(&part).await;
            let Some(failure) = failure else { continue };
            if failure.class == Class::Rejected && part.len() > 1 && bisect_calls < BISECT_CALLS_MAX {
                bisect_calls += 2;
                let (front, back) = part.split_at(part.len() / 2);
                parts.push(back.to_vec());
                parts.push(front.to_vec());
                continue;
            }
            let context = self.shared.context("PutRecords");
            self.settled.merge(settle(context, &part, Err(&failure)));
            if failure.class != Class::Rejected || part.len() > 1 {
                // What failed for this part would fail for the others as well.
                for part in parts.drain(..) {
                    self.settled.merge(settle(context, &part, Err(&failure)));
                }
            }
        }
    }

    /// Cuts into parts that each fit into one call.
    fn split(&self, sendable: Vec<u32>) -> Vec<Vec<u32>> {
        let options = &self.shared.options;
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut bytes = 0;
        for index in sendable {
            let size = self.batch.record(index as usize).wire_bytes();
            let full = part.len() == options.request_records_max || bytes + size > options.request_bytes_max;
            if full && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
                bytes = 0;
            }
            bytes += size;
            part.push(index);
        }
        if !part.is_empty() {
            parts.push(part);
        }
        parts
    }

    /// One PutRecords call. Settles its records, unless it failed as a whole: then the failure is
    /// returned and they are the caller's.
    async fn put_part(&mut self, part: &[u32]) -> Option<Failure> {
        let records: Vec<RecordRef<'_>> =
            part.iter().map(|index| self.batch.record(*index as usize)).collect();
        let bytes = records.iter().map(|record| record.wire_bytes() as u64).sum();
        let begin = Instant::now();
        let answer = self.shared.client.put_records(&self.shared.stream, &records).await;
        let context = self.shared.context("PutRecords");
        let count = part.len() as u32;
        match answer {
            Ok(results) => {
                let settled = settle(context, part, Ok(&results));
                self.note(Api::PutRecords, begin, bytes, count, None, settled);
                None
            }
            Err(failure) => {
                let nothing = Settled::default();
                self.note(Api::PutRecords, begin, bytes, count, Some(&failure), nothing);
                Some(failure)
            }
        }
    }

    fn note(
        &mut self,
        api: Api,
        begin: Instant,
        bytes: u64,
        records: u32,
        failure: Option<&Failure>,
        settled: Settled,
    ) {
        let outcome = match (failure, &settled.failure) {
            (Some(failure), _) => CallOutcome::Failed(failure.class),
            (None, _) if settled.delivered.len() == records as usize => CallOutcome::Accepted,
            (None, Some(failure)) if settled.delivered.is_empty() => CallOutcome::Failed(failure.class),
            (None, _) => CallOutcome::Partial,
        };
        self.calls.push(Call { api, outcome, duration: begin.elapsed(), records, bytes });
        self.settled.merge(settled);
    }

    fn report(mut self, pending: &Pending, begin: Instant) -> Report {
        self.settled.sort();
        assert_eq!(self.settled.total(), pending.len(), "every pending record has exactly one fate");
        Report {
            delivered: self.settled.delivered,
            retry: Pending::from_indexes(self.settled.retry),
            rejected: self.settled.rejected,
            failure: self.settled.failure,
            duration: begin.elapsed(),
            bytes: self.calls.iter().map(|call| call.bytes).sum(),
            calls: self.calls,
        }
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
