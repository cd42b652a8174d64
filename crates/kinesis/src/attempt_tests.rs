//! Whatever the service answers, and whoever is dropped meanwhile: every record has one fate, and the right one.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::batch::{BatchMeta, Format};
use crate::classify;
use crate::client::{Client, ClientFuture, ListShards};
use crate::output::{Output, OutputOptions, Report};
use crate::shards::ShardPage;

/// What a call gets, whatever is in it.
#[derive(Clone, Debug)]
enum Script {
    /// These results, again and again, for this many records more or less than there are.
    Results(Vec<PutResult>, i8),
    Failed(Failure),
}

/// A service that answers by script, and knows what it has answered.
#[derive(Debug)]
struct Oracle {
    script: Vec<Script>,
    calls: Mutex<Vec<Said>>,
}

/// A call as the service saw it.
#[derive(Debug)]
struct Said {
    /// The records by their numbers, which are unique.
    numbers: Vec<u32>,
    bytes: usize,
    answer: Result<Vec<PutResult>, Failure>,
}

impl Said {
    /// What the answer says of a record, if it says anything of it.
    fn of(&self, number: u32) -> Option<&PutResult> {
        let results = self.answer.as_ref().ok().filter(|results| results.len() == self.numbers.len())?;
        let at = self.numbers.iter().position(|sent| *sent == number)?;
        results.get(at)
    }

    fn confirms(&self, number: u32) -> bool {
        let blank = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().is_empty();
        self.of(number).is_some_and(|result| !blank(&result.sequence_number) && blank(&result.error_code))
    }

    /// Refuses this record for good, and not just the call that it was in.
    fn refuses(&self, number: u32) -> bool {
        let for_good = |code: &str| classify::record_error(CONTEXT, code, "").class == Class::Rejected;
        match &self.answer {
            Ok(_) => self.of(number).and_then(|result| result.error_code.as_deref()).is_some_and(for_good),
            Err(failure) => failure.class == Class::Rejected && self.numbers == [number],
        }
    }
}

const CONTEXT: Context<'static> = Context { operation: "Test", stream: "logs", place: "here" };

impl Oracle {
    /// `one_each`: there is no way to answer with another number of results.
    fn answer(&self, records: &[RecordRef<'_>], one_each: bool) -> Result<Vec<PutResult>, Failure> {
        let mut calls = self.calls.lock().unwrap();
        let answer = match &self.script[calls.len() % self.script.len()] {
            Script::Results(results, more) => {
                let more = if one_each { 0 } else { isize::from(*more) };
                let count = records.len().saturating_add_signed(more);
                Ok(results.iter().cycle().take(count).cloned().collect())
            }
            Script::Failed(failure) => Err(failure.clone()),
        };
        let numbers = records.iter().map(|record| number(&record.data)).collect();
        let bytes = records.iter().map(RecordRef::wire_bytes).sum();
        calls.push(Said { numbers, bytes, answer: answer.clone() });
        answer
    }
}

fn number(data: &[u8]) -> u32 {
    std::str::from_utf8(data).unwrap().trim_end_matches('.').parse().unwrap()
}

impl Client for Oracle {
    fn place(&self) -> &str {
        "here"
    }

    fn put_record<'a>(&'a self, _: &'a str, record: RecordRef<'a>) -> ClientFuture<'a, PutResult> {
        Box::pin(async move {
            let answer = self.answer(&[record], true);
            tokio::task::yield_now().await;
            answer.map(|mut results| results.remove(0))
        })
    }

    fn put_records<'a>(
        &'a self,
        _: &'a str,
        records: &'a [RecordRef<'a>],
    ) -> ClientFuture<'a, Vec<PutResult>> {
        Box::pin(async move {
            let answer = self.answer(records, false);
            tokio::task::yield_now().await;
            answer
        })
    }

    fn list_shards<'a>(&'a self, _: ListShards<'a>) -> ClientFuture<'a, ShardPage> {
        panic!("nothing is listed")
    }

    fn describe_stream<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> ClientFuture<'a, ShardPage> {
        panic!("nothing is listed")
    }
}

/// A batch to send: its records and what is pending of it.
#[derive(Clone, Debug)]
struct Sent {
    batch: Batch,
    pending: Pending,
}

impl Sent {
    /// The number of the record with this index.
    fn number(&self, index: u32) -> u32 {
        number(&self.batch.record(index as usize).data)
    }

    fn has_key(&self, index: u32) -> bool {
        !self.batch.record(index as usize).partition_key.is_empty()
    }
}

/// For each batch: its format, and of each record its length, whether it has a key, and whether it is pending.
type Shapes = Vec<(Format, Vec<(usize, bool, bool)>)>;

fn batches(shapes: &Shapes) -> Vec<Sent> {
    let mut numbers = 1000..;
    let batch = |(format, records): &(Format, Vec<(usize, bool, bool)>)| {
        let meta = BatchMeta { format: *format, events: 1, raw_bytes: 0, first_time_ms: 0, last_time_ms: 0 };
        let refs: Vec<_> = records
            .iter()
            .map(|(length, has_key, _)| RecordRef {
                partition_key: if *has_key { "k" } else { "" },
                explicit_hash_key: None,
                data: Bytes::from(format!("{:.<length$}", numbers.next().unwrap())),
            })
            .collect();
        let pending = (0..).zip(records).filter(|(_, (_, _, pending))| *pending).map(|(index, _)| index);
        Sent { batch: Batch::from_records(meta, &refs), pending: Pending::from_indexes(pending.collect()) }
    };
    shapes.iter().map(batch).collect()
}

fn any_shapes(batches: std::ops::Range<usize>, records_max: usize) -> impl Strategy<Value = Shapes> {
    let format = prop_oneof![Just(Format::Gzip), Just(Format::Event), Just(Format::Opaque)];
    let record = (4usize..12, prop::bool::weighted(0.95), prop::bool::weighted(0.9));
    prop::collection::vec((format, prop::collection::vec(record, 1..=records_max)), batches)
}

fn any_script() -> impl Strategy<Value = Vec<Script>> {
    let result = prop_oneof![
        6 => Just((Some("49"), None)),
        1 => Just((Some(" "), None)),
        1 => Just((None, None)),
        1 => Just((Some("49"), Some("InternalFailure"))),
        1 => Just((None, Some("ProvisionedThroughputExceededException"))),
        1 => Just((None, Some("InvalidArgumentException"))),
        1 => Just((None, Some("KMSDisabledException"))),
    ];
    let result = result.prop_map(|(sequence_number, error_code)| PutResult {
        sequence_number: sequence_number.map(str::to_owned),
        error_code: error_code.map(str::to_owned),
        ..PutResult::default()
    });
    let class = prop_oneof![
        4 => Just(Class::Rejected),
        1 => Just(Class::Throttled),
        1 => Just(Class::Transient),
        1 => Just(Class::Clock),
        1 => Just(Class::Misconfigured),
    ];
    let failed = (class, any::<bool>()).prop_map(|(class, may_have_arrived)| {
        let failure = classify::record_error(CONTEXT, "Code", "words");
        Script::Failed(Failure { class, may_have_arrived, ..failure })
    });
    let more = prop_oneof![8 => Just(0i8), 1 => Just(1), 1 => Just(-1)];
    let results = (prop::collection::vec(result, 1..6), more)
        .prop_map(|(results, more)| Script::Results(results, more));
    prop::collection::vec(prop_oneof![2 => results, 1 => failed], 1..8)
}

/// What happens next to the batch with a number.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It is sent, or polled if it is sent already.
    Poll(usize),
    /// It is dropped, if it is being sent.
    Drop(usize),
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![20 => (0usize..20).prop_map(Step::Poll), 1 => (0usize..20).prop_map(Step::Drop)];
    prop::collection::vec(step, 0..60)
}

enum Sending {
    Waiting,
    Flying(Pin<Box<dyn Future<Output = Report> + Send>>),
    Done(Box<Report>),
    Dropped,
}

/// Sends the batches in the order in which the steps name them; says in which order they were sent, and what came.
fn send(output: &Output, sent: &[Sent], steps: &[Step]) -> (Vec<usize>, Vec<Option<Report>>) {
    let mut order = Vec::new();
    let mut sendings: Vec<Sending> = sent.iter().map(|_| Sending::Waiting).collect();
    let mut step = |step| match step {
        Step::Drop(at) if matches!(sendings.get(at), Some(Sending::Flying(_))) => {
            sendings[at] = Sending::Dropped;
            true
        }
        Step::Drop(_) => true,
        Step::Poll(at) => {
            let Some(sending) = sendings.get_mut(at) else { return true };
            if let Sending::Waiting = sending {
                order.push(at);
                let (output, Sent { batch, pending }) = (output.clone(), sent[at].clone());
                *sending = Sending::Flying(Box::pin(async move { output.send(&batch, &pending).await }));
            }
            let Sending::Flying(flying) = sending else { return true };
            match flying.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
                Poll::Ready(report) => *sending = Sending::Done(Box::new(report)),
                Poll::Pending => return false,
            }
            true
        }
    };
    steps.iter().for_each(|next| {
        step(*next);
    });
    // Each round ends a call or more, and no attempt makes more calls than this.
    let rounds_max = sent.len() * (BISECT_CALLS_MAX + 100);
    let mut round = || (0..sent.len()).filter(|at| !step(Step::Poll(*at))).count();
    let all_done = (0..rounds_max).any(|_| round() == 0);
    assert!(all_done, "somebody is stranded");
    let reports = sendings.into_iter().map(|sending| match sending {
        Sending::Done(report) => Some(*report),
        _ => None,
    });
    (order, reports.collect())
}

/// Every record of the batch has one fate, and the one that the service's answers mean.
fn check_fates(sent: &Sent, report: &Report, said: &[Said], anyone_dropped: bool) {
    let rejected: Vec<u32> = report.rejected.iter().map(|record| record.index).collect();
    let mut all = [&report.delivered, report.retry.indexes(), &rejected].concat();
    all.sort_unstable();
    assert_eq!(all, sent.pending.indexes(), "{report:#?}");
    assert_eq!(report.retry.is_empty(), report.failure.is_none(), "{report:#?}");
    for index in sent.pending.indexes() {
        let number = sent.number(*index);
        let confirmed = said.iter().any(|call| call.confirms(number));
        let refused = said.iter().any(|call| call.refuses(number));
        let (is_delivered, is_rejected) = (report.delivered.contains(index), rejected.contains(index));
        assert!(confirmed || !is_delivered, "{number} is not confirmed: {report:#?}");
        assert!(refused || !sent.has_key(*index) || !is_rejected, "{number} is not refused: {report:#?}");
        // Who was in a call whose leader was dropped does not hear the answer.
        let heard = confirmed == is_delivered && (is_rejected || !refused);
        assert!(anyone_dropped || heard, "{number}: {report:#?}");
    }
}

/// The calls kept the limits, were in order, and sent nothing whose fate was known.
fn check_calls(said: &[Said], options: &OutputOptions, in_order: &[u32]) {
    let mut known: BTreeSet<u32> = BTreeSet::new();
    let places: BTreeMap<u32, usize> =
        in_order.iter().enumerate().map(|(at, number)| (*number, at)).collect();
    for call in said {
        assert!((1..=options.request_records_max).contains(&call.numbers.len()), "{call:#?}");
        assert!(call.bytes <= options.request_bytes_max || call.numbers.len() == 1, "{call:#?}");
        assert!(call.numbers.is_sorted_by_key(|number| places[number]), "{call:#?}");
        assert!(call.numbers.iter().all(|number| !known.contains(number)), "sent again: {call:#?}");
        known.extend(call.numbers.iter().filter(|number| call.confirms(**number) || call.refuses(**number)));
    }
    if options.shared_calls_max == Some(1) {
        let mut seen = BTreeSet::new();
        let first_sent: Vec<u32> = said
            .iter()
            .flat_map(|call| &call.numbers)
            .filter(|number| seen.insert(**number))
            .copied()
            .collect();
        assert!(first_sent.is_sorted_by_key(|number| places[number]), "{first_sent:?}");
    }
}

fn check(script: Vec<Script>, shapes: &Shapes, options: OutputOptions, steps: &[Step]) {
    let oracle = Arc::new(Oracle { script, calls: Mutex::default() });
    let output = Output::new(Arc::clone(&oracle) as Arc<dyn Client>, "logs".to_owned(), options.clone());
    let sent = batches(shapes);
    let (order, reports) = send(&output, &sent, steps);
    let said = oracle.calls.lock().unwrap();
    let numbers = |at: &usize| {
        (0..sent[*at].batch.len() as u32).map(|index| sent[*at].number(index)).collect::<Vec<_>>()
    };
    let in_order: Vec<u32> = order.iter().flat_map(numbers).collect();
    check_calls(&said, &options, &in_order);
    let anyone_dropped = reports.iter().any(Option::is_none);
    for (sent, report) in sent.iter().zip(&reports) {
        if let Some(report) = report {
            check_fates(sent, report, &said, anyone_dropped);
        }
    }
    let calls: Vec<_> = reports.iter().flatten().flat_map(|report| &report.calls).collect();
    let records: usize = calls.iter().map(|call| call.records as usize).sum();
    let said_records: usize = said.iter().map(|call| call.numbers.len()).sum();
    assert!(
        anyone_dropped || (calls.len(), records) == (said.len(), said_records),
        "each call is counted once"
    );
}

fn options(records_max: usize, bytes_max: usize, shared_calls_max: Option<u32>) -> OutputOptions {
    OutputOptions {
        request_records_max: records_max,
        request_bytes_max: bytes_max,
        shared_calls_max,
        ..OutputOptions::default()
    }
}

proptest! {
    #[test]
    fn a_batch_alone(
        script in any_script(),
        shapes in any_shapes(1..2, 40),
        records_max in 1usize..20,
        bytes_max in 1usize..200,
    ) {
        check(script, &shapes, options(records_max, bytes_max, None), &[]);
    }

    #[test]
    fn batches_that_share_calls(
        script in any_script(),
        shapes in any_shapes(1..20, 3),
        records_max in 1usize..20,
        bytes_max in 1usize..200,
        calls_max in 1u32..4,
        steps in any_steps(),
    ) {
        check(script, &shapes, options(records_max, bytes_max, Some(calls_max)), &steps);
    }
}
