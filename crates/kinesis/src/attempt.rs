//! One attempt to put records: as few calls as the limits allow, and a fate for every record.
//!
//! The records may be those of several batches that share the calls. Each batch has a share of its
//! own in what comes of them.

use std::ops::Range;
use std::time::Instant;

use crate::batch::{Batch, RecordRef};
use crate::classify::Context;
use crate::client::{Class, Failure, PutResult};
use crate::limits;
use crate::output::{Api, Call, CallOutcome, Stream};
use crate::record;
use crate::settle::{Pending, RejectedRecord, Settled, miscounted, reason_to_retry, settle};

/// Calls that one attempt spends at most on finding refused records. Each record that is found is
/// out of the next attempt, so it goes on from there.
pub(crate) const BISECT_CALLS_MAX: usize = 64;

/// One attempt under way. Every pending record ends up in its batch's share exactly once.
pub(crate) struct Attempt<'a> {
    stream: &'a Stream,
    /// What the service may accept, of all batches, in their order.
    records: Vec<RecordRef<'a>>,
    /// The index that each of them has in its batch.
    indexes: Vec<u32>,
    shares: Vec<Share>,
    calls: Vec<Call>,
    broken_off: Option<Failure>,
}

/// What came of an attempt.
pub(crate) struct Ended {
    /// What became of each batch, in their order.
    pub(crate) settled: Vec<Settled>,
    pub(crate) calls: Vec<Call>,
    /// Why it was broken off, if it was: what failed for these records would fail for others too.
    pub(crate) broken_off: Option<Failure>,
}

/// What one batch has in an attempt.
struct Share {
    /// Its records in the attempt.
    records: Range<usize>,
    /// All that were pending, those included that are not worth sending.
    pending: usize,
    settled: Settled,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(stream: &'a Stream) -> Attempt<'a> {
        Attempt {
            stream,
            records: Vec::new(),
            indexes: Vec::new(),
            shares: Vec::new(),
            calls: Vec::new(),
            broken_off: None,
        }
    }

    /// Adds what is pending of a batch. What the service cannot accept by its own limits is
    /// rejected here.
    pub(crate) fn add(&mut self, batch: &'a Batch, pending: &Pending) {
        let start = self.records.len();
        let mut settled = Settled::default();
        for &index in pending.indexes() {
            let record = batch.record(index as usize);
            match problem_of(&record) {
                None => {
                    self.records.push(record);
                    self.indexes.push(index);
                }
                Some((code, message)) => {
                    settled.rejected.push(RejectedRecord { index, code: code.to_owned(), message });
                }
            }
        }
        let records = start..self.records.len();
        self.shares.push(Share { records, pending: pending.len(), settled });
    }

    /// Sends the only record with PutRecord. Does nothing if it is not worth sending.
    pub(crate) async fn put_record(&mut self) {
        let [record] = self.records.as_slice() else {
            assert!(self.records.is_empty(), "PutRecord takes one record");
            return;
        };
        let begin = Instant::now();
        let answer = self.stream.client.put_record(&self.stream.name, record.clone()).await;
        let answer = answer.as_ref().map(std::slice::from_ref).map_err(Failure::clone);
        if let Some(failure) = self.take_answer(Api::PutRecord, begin, 0..1, answer) {
            self.settle(Api::PutRecord, 0..1, Err(&failure));
        }
    }

    /// Sends the records with PutRecords, in order. A call that is refused as a whole for one of its
    /// records is cut in halves until the record is found. Nothing else is tried twice, and after a
    /// call that failed no other is made.
    pub(crate) async fn put_records(&mut self) {
        // What is still to be sent, the next part last.
        let mut parts = self.split();
        parts.reverse();
        let mut bisect_calls = 0;
        while let Some(part) = parts.pop() {
            let begin = Instant::now();
            let records = &self.records[part.clone()];
            let answer = self.stream.client.put_records(&self.stream.name, records).await;
            let answer = answer.as_deref().map_err(Failure::clone);
            let Some(failure) = self.take_answer(Api::PutRecords, begin, part.clone(), answer) else {
                continue;
            };
            if failure.class == Class::Rejected && part.len() > 1 && bisect_calls < BISECT_CALLS_MAX {
                bisect_calls += 2;
                let middle = part.start + part.len() / 2;
                parts.extend([middle..part.end, part.start..middle]);
                continue;
            }
            self.settle(Api::PutRecords, part.clone(), Err(&failure));
            if failure.class != Class::Rejected || part.len() > 1 {
                let failure = unsent(&reason_to_retry(&failure, part.len()));
                for part in parts.drain(..) {
                    self.settle(Api::PutRecords, part, Err(&failure));
                }
            }
            self.broken_off = Some(failure).filter(|failure| failure.class != Class::Rejected);
        }
    }

    /// Cuts into parts that each fit into one call.
    fn split(&self) -> Vec<Range<usize>> {
        let options = &self.stream.options;
        let mut parts = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (at, record) in self.records.iter().enumerate() {
            let size = record.wire_bytes();
            let full = at - start == options.request_records_max || bytes + size > options.request_bytes_max;
            if full && at > start {
                parts.push(start..at);
                (start, bytes) = (at, 0);
            }
            bytes += size;
        }
        if start < self.records.len() {
            parts.push(start..self.records.len());
        }
        parts
    }

    /// Notes a call that has ended and settles its records, unless it failed as a whole: then the
    /// failure is returned and they are the caller's.
    fn take_answer(
        &mut self,
        api: Api,
        begin: Instant,
        part: Range<usize>,
        answer: Result<&[PutResult], Failure>,
    ) -> Option<Failure> {
        let records = part.len();
        let bytes = self.records[part.clone()].iter().map(|record| record.wire_bytes() as u64).sum();
        let (outcome, failure) = match answer {
            Err(failure) => (CallOutcome::Failed(failure.class), Some(failure)),
            Ok(results) if results.len() != records => {
                let failure = miscounted(self.context(api), records, results.len());
                (CallOutcome::Failed(failure.class), Some(failure))
            }
            Ok(results) => (self.settle(api, part, Ok(results)), None),
        };
        let records = u32::try_from(records).expect("a call has at most 500 records");
        self.calls.push(Call { api, outcome, duration: begin.elapsed(), records, bytes });
        failure
    }

    /// Gives the records of a call their fates, each batch its own, and says what the call brought.
    fn settle(
        &mut self,
        api: Api,
        part: Range<usize>,
        answer: Result<&[PutResult], &Failure>,
    ) -> CallOutcome {
        let context = self.context(api);
        // Of several records nobody knows which one was meant, even where a batch has only one of them.
        let doubt =
            answer.err().filter(|_| part.len() > 1).map(|failure| reason_to_retry(failure, part.len()));
        let (mut delivered, mut worst) = (0, None);
        let first = self.shares.partition_point(|share| share.records.end <= part.start);
        let shares = self.shares[first..].iter_mut().take_while(|share| share.records.start < part.end);
        for share in shares {
            let own = share.records.start.max(part.start)..share.records.end.min(part.end);
            let answer = match (answer, &doubt) {
                (Err(failure), doubt) => Err(doubt.as_ref().unwrap_or(failure)),
                (Ok(results), _) => Ok(&results[own.start - part.start..own.end - part.start]),
            };
            let settled = settle(context, &self.indexes[own], answer);
            delivered += settled.delivered.len();
            worst = worst.max(settled.failure.as_ref().map(|failure| failure.class));
            share.settled.merge(settled);
        }
        match delivered {
            // Nothing of it is to be sent again: all of it was refused, record by record.
            0 => CallOutcome::Failed(worst.unwrap_or(Class::Rejected)),
            some if some == part.len() => CallOutcome::Accepted,
            _ => CallOutcome::Partial,
        }
    }

    fn context(&self, api: Api) -> Context<'a> {
        self.stream.context(api.as_str())
    }

    /// The fates, all of them.
    pub(crate) fn end(self) -> Ended {
        let settled = self.shares.into_iter().map(|mut share| {
            share.settled.sort();
            assert_eq!(share.settled.total(), share.pending, "every pending record has exactly one fate");
            share.settled
        });
        Ended { settled: settled.collect(), calls: self.calls, broken_off: self.broken_off }
    }
}

/// The failure of a call, for records that were not in it.
pub(crate) fn unsent(failure: &Failure) -> Failure {
    Failure { may_have_arrived: false, ..failure.clone() }
}

/// Why the service cannot accept a record by its own limits: a code, and a sentence.
fn problem_of(record: &RecordRef<'_>) -> Option<(&'static str, String)> {
    if !record::is_legal_key(record.partition_key) {
        let units = record.partition_key.encode_utf16().count();
        let message = format!("the partition key has {units} UTF-16 units, 1 to 256 are allowed");
        return Some(("PartitionKey", message));
    }
    let (bytes, max) = (record.wire_bytes(), limits::RECORD_BYTES_MAX);
    (bytes > max).then(|| {
        (
            "RecordTooLarge",
            format!("the record has {bytes} bytes with its key, no stream takes more than {max}"),
        )
    })
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
