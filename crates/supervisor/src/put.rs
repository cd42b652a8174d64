//! One attempt to deliver a batch: send, keep what is refused for good, report what is left.

use std::sync::Arc;
use std::time::Duration;

use millpond_kinesis::output::{Call, CallOutcome};
use millpond_kinesis::{Batch, Class, Failure, Format, Output, Pending, RejectedRecord, Report};

use crate::counters::OutputCounters;
use crate::dead_letters::{DeadLetters, Reason};
use crate::forwarder::PutResult;
use crate::health::PutHealth;
use crate::rate::Load;

/// What an attempt needs besides the batch.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Name of the output, for the log.
    pub id: Arc<str>,
    /// The way to the stream.
    pub output: Output,
    /// Where refused records are kept.
    pub dead_letters: DeadLetters,
    /// What is counted.
    pub counters: Arc<OutputCounters>,
}

/// How an attempt ended.
#[derive(Debug)]
pub struct PutDone {
    /// For the machine.
    pub result: PutResult,
    /// What has to be sent again.
    pub left: Pending,
    /// Why something has to be sent again.
    pub failure: Option<Failure>,
}

impl Sender {
    /// Makes one attempt. `since` is when it was asked for; it begins when its call does.
    pub async fn put(&self, batch: &Batch, pending: &Pending, since: Duration) -> PutDone {
        let mut report = self.output.send(batch, pending).await;
        assert_eq!(
            report.delivered.len() + report.retry.len() + report.rejected.len(),
            pending.len(),
            "every record of a put has exactly one fate"
        );
        let progressed = !report.delivered.is_empty() || !report.rejected.is_empty();
        self.count(batch, &report);
        let mut left = std::mem::replace(&mut report.retry, Pending::from_indexes(Vec::new()));
        let rejected = std::mem::take(&mut report.rejected);
        let unkept = self.keep(batch, rejected).await;
        if !unkept.is_empty() {
            let mut indexes = [left.indexes(), unkept.as_slice()].concat();
            indexes.sort_unstable();
            left = Pending::from_indexes(indexes);
        }
        let health = health_of(&report, progressed, left.is_empty());
        let since = since + report.waited;
        let result = PutResult {
            finished: left.is_empty(),
            progressed,
            health,
            since,
            left: load_of(batch, left.indexes()),
        };
        PutDone { result, left, failure: report.failure }
    }

    fn count(&self, batch: &Batch, report: &Report) {
        let counters = &self.counters;
        counters.delivered_events.add(events_of(batch, report.delivered.len()));
        let bytes = |index: &u32| batch.record(*index as usize).wire_bytes() as u64;
        counters.delivered_bytes.add(report.delivered.iter().map(bytes).sum());
        report.calls.iter().for_each(|call| counters.puts.note(call));
        if !report.delivered.is_empty() {
            counters.retried_records.add(report.retry.len() as u64);
        }
    }

    /// Keeps what can never be accepted in the dead letters. Gives back the indexes of what could not be kept.
    async fn keep(&self, batch: &Batch, rejected: Vec<RejectedRecord>) -> Vec<u32> {
        let mut unkept = Vec::new();
        for record in rejected {
            let bytes = batch.record(record.index as usize);
            let events = u32::try_from(events_of(batch, 1)).unwrap_or(u32::MAX);
            let reason = Reason {
                code: &record.code,
                message: &record.message,
                stream: self.output.stream_name(),
                partition_key: Some(bytes.partition_key),
                format: format_name(batch.meta().format),
            };
            let now_ms = crate::clock::unix_ms();
            match self.dead_letters.store(&reason, events, bytes.data.clone(), now_ms).await {
                Ok(()) => {
                    self.counters.dead_letters.add(u64::from(events));
                    let (output, code, reason) = (&*self.id, record.code, record.message);
                    tracing::warn!(
                        output,
                        events,
                        code,
                        reason,
                        "refused for good: kept in the dead letters"
                    );
                }
                Err(error) => {
                    let output = &*self.id;
                    tracing::error!(output, %error, "a refused record could not be kept and is tried again");
                    unkept.push(record.index);
                }
            }
        }
        unkept
    }
}

/// What these records of the batch weigh.
#[must_use]
pub fn load_of(batch: &Batch, indexes: &[u32]) -> Load {
    let bytes = |index: &u32| batch.record(*index as usize).wire_bytes() as u64;
    Load { events: events_of(batch, indexes.len()), bytes: indexes.iter().map(bytes).sum() }
}

/// Events in `records` records of the batch.
pub fn events_of(batch: &Batch, records: usize) -> u64 {
    match (batch.len(), records) {
        (_, 0) => 0,
        (1, _) => u64::from(batch.meta().events),
        _ => records as u64,
    }
}

/// What a format is called.
pub fn format_name(format: Format) -> &'static str {
    match format {
        Format::Gzip => "gzip",
        Format::Ndjson => "ndjson",
        Format::Event => "event",
        Format::Opaque => "opaque",
    }
}

fn health_of(report: &Report, progressed: bool, finished: bool) -> PutHealth {
    let is_open = |call: &Call| matches!(call.outcome, CallOutcome::Accepted | CallOutcome::Partial);
    let is_open = progressed || report.calls.iter().any(is_open);
    match report.failure.as_ref().map(|failure| failure.class) {
        Some(Class::Throttled) => PutHealth::Throttled,
        Some(Class::Misconfigured) => PutHealth::Misconfigured,
        // One call that fails is one failure, however many batches were in it.
        Some(Class::Transient | Class::Clock) if report.shared => PutHealth::Echo,
        Some(Class::Transient | Class::Clock) if !is_open => PutHealth::Transient,
        // Refused records that could not be kept: the disk's fault, not the service's.
        None | Some(Class::Rejected) if !finished && !progressed => PutHealth::Transient,
        _ => PutHealth::Open,
    }
}

#[cfg(test)]
mod tests {
    use millpond_kinesis::classify::{self, Context};
    use millpond_kinesis::output::Api;
    use millpond_kinesis::{BatchMeta, RecordRef};

    use super::*;

    /// The report of a batch of one record that failed with this code, in a call of its own or of another batch.
    fn failed(code: &str, calls: &[CallOutcome]) -> Report {
        let context = Context { operation: "PutRecords", stream: "logs", place: "here" };
        let call = |outcome: &CallOutcome| Call {
            api: Api::PutRecords,
            outcome: *outcome,
            duration: Duration::ZERO,
            records: 1,
            bytes: 1,
        };
        Report {
            delivered: Vec::new(),
            retry: Pending::from_indexes(vec![0]),
            rejected: Vec::new(),
            failure: Some(classify::record_error(context, code, "")),
            calls: calls.iter().map(call).collect(),
            shared: calls.is_empty(),
            waited: Duration::ZERO,
            duration: Duration::ZERO,
            bytes: 0,
        }
    }

    #[test]
    fn what_is_left_weighs_what_its_records_do() {
        let check = |format, events, sizes: &[usize], left: &[u32], expected: (u64, u64)| {
            let meta = BatchMeta { format, events, raw_bytes: 0, first_time_ms: 0, last_time_ms: 0 };
            let records: Vec<RecordRef<'_>> = sizes
                .iter()
                .map(|bytes| RecordRef {
                    partition_key: "key",
                    explicit_hash_key: None,
                    data: vec![0; *bytes].into(),
                })
                .collect();
            let load = load_of(&Batch::from_records(meta, &records), left);
            assert_eq!((load.events, load.bytes), expected);
        };
        check(Format::Event, 3, &[10, 20, 40], &[0, 2], (2, 56));
        check(Format::Gzip, 500, &[1_000], &[0], (500, 1_003));
        check(Format::Gzip, 500, &[1_000], &[], (0, 0));
    }

    #[test]
    fn a_call_that_fails_is_one_failure_however_many_batches_were_in_it() {
        let check = |code, calls: &[CallOutcome], expected| {
            assert_eq!(health_of(&failed(code, calls), false, false), expected, "{code} {calls:?}");
        };
        let transient = CallOutcome::Failed(Class::Transient);
        check("InternalFailure", &[transient], PutHealth::Transient);
        check("InternalFailure", &[], PutHealth::Echo);
        // Others in the call were accepted: the way is open.
        check("InternalFailure", &[CallOutcome::Partial], PutHealth::Open);
        check("InternalFailure", &[CallOutcome::Accepted, transient], PutHealth::Open);
        check("ProvisionedThroughputExceededException", &[], PutHealth::Throttled);
        check("AccessDeniedException", &[], PutHealth::Misconfigured);
    }
}
