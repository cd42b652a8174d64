use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::batch::{BatchMeta, Format, RecordRef};
use crate::classify::Context;
use crate::client::{Class, Client, ClientFuture, Failure, ListShards, PutResult};
use crate::output::{Api, CallOutcome, Output, OutputOptions};
use crate::shards::ShardPage;

type Answer = Result<Vec<PutResult>, Failure>;

/// A service whose calls the test answers one by one.
#[derive(Debug, Default)]
struct Slow {
    calls: Mutex<Vec<Begun>>,
}

/// A call that has begun.
#[derive(Debug)]
struct Begun {
    data: String,
    answer: Option<oneshot::Sender<Answer>>,
}

impl Slow {
    /// The data of the records of each call so far, in order.
    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|call| call.data.clone()).collect()
    }

    /// The call with this number gets this answer.
    fn answer(&self, call: usize, answer: Answer) {
        let waiting = self.calls.lock().unwrap()[call].answer.take().expect("one answer a call");
        waiting.send(answer).expect("the call still waits for its answer");
    }

    /// The call with this number is accepted, all of it.
    fn accept(&self, call: usize) {
        let records = self.calls.lock().unwrap()[call].data.split(' ').count();
        self.answer(call, Ok(vec![stored(); records]));
    }
}

impl Client for Slow {
    fn place(&self) -> &str {
        "here"
    }

    fn put_record<'a>(&'a self, _: &'a str, _: RecordRef<'a>) -> ClientFuture<'a, PutResult> {
        panic!("only PutRecords is used")
    }

    fn put_records<'a>(
        &'a self,
        _: &'a str,
        records: &'a [RecordRef<'a>],
    ) -> ClientFuture<'a, Vec<PutResult>> {
        let data: Vec<_> = records.iter().map(|record| String::from_utf8_lossy(&record.data)).collect();
        let (answer, answered) = oneshot::channel();
        self.calls.lock().unwrap().push(Begun { data: data.join(" "), answer: Some(answer) });
        Box::pin(async { answered.await.expect("every call that is awaited gets an answer") })
    }

    fn list_shards<'a>(&'a self, _: ListShards<'a>) -> ClientFuture<'a, ShardPage> {
        panic!("nothing is listed")
    }

    fn describe_stream<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> ClientFuture<'a, ShardPage> {
        panic!("nothing is listed")
    }
}

fn stored() -> PutResult {
    PutResult { sequence_number: Some("49".to_owned()), ..PutResult::default() }
}

fn refused(code: &str) -> PutResult {
    PutResult { error_code: Some(code.to_owned()), ..PutResult::default() }
}

fn failure(code: &str) -> Failure {
    let context = Context { operation: "Test", stream: "logs", place: "here" };
    classify::record_error(context, code, "a record is wrong")
}

/// An output that shares calls, and the sends to it, polled by hand: what happens when is the test's to say.
struct Rig {
    slow: Arc<Slow>,
    output: Output,
}

/// A send under way.
struct Sending(Pin<Box<dyn Future<Output = Report> + Send>>);

impl Sending {
    fn poll(&mut self) -> Option<Report> {
        match self.0.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(report) => Some(report),
            Poll::Pending => None,
        }
    }

    fn done(mut self) -> Report {
        self.poll().expect("the send is done")
    }
}

impl Rig {
    fn new(calls_max: u32) -> Rig {
        Rig::with(OutputOptions { shared_calls_max: Some(calls_max), ..OutputOptions::default() })
    }

    fn with(options: OutputOptions) -> Rig {
        let slow: Arc<Slow> = Arc::default();
        let output = Output::new(Arc::clone(&slow) as Arc<dyn Client>, "logs".to_owned(), options);
        Rig { slow, output }
    }

    /// Begins to send a batch with these records; it is in line, or its call is under way.
    fn send(&self, format: Format, data: &[&str]) -> Sending {
        let meta = BatchMeta { format, events: 1, raw_bytes: 0, first_time_ms: 0, last_time_ms: 0 };
        let records: Vec<_> = data
            .iter()
            .map(|data| RecordRef {
                partition_key: if *data == "keyless" { "" } else { "k" },
                explicit_hash_key: None,
                data: Bytes::copy_from_slice(data.as_bytes()),
            })
            .collect();
        let batch = Batch::from_records(meta, &records);
        let output = self.output.clone();
        let mut sending = Sending(Box::pin(async move { output.send(&batch, &Pending::all(&batch)).await }));
        assert!(sending.poll().is_none(), "nothing is answered yet");
        sending
    }

    /// The same for one gzip record each.
    fn send_each<const N: usize>(&self, data: [&str; N]) -> [Sending; N] {
        data.map(|data| self.send(Format::Gzip, &[data]))
    }
}

fn class_of(report: &Report) -> Option<Class> {
    report.failure.as_ref().map(|failure| failure.class)
}

#[test]
fn a_lone_batch_goes_at_once_and_what_waits_goes_together() {
    let rig = Rig::new(1);
    let [mut a, b, c, d] = rig.send_each(["a", "b", "c", "d"]);
    assert_eq!(rig.slow.calls(), ["a"]);
    rig.slow.accept(0);
    let a = a.poll().unwrap();
    assert_eq!((a.delivered.as_slice(), a.calls.len(), a.shared), ([0].as_slice(), 1, false));
    let mut b = b;
    assert!(b.poll().is_none());
    assert_eq!(rig.slow.calls(), ["a", "b c d"]);
    rig.slow.accept(1);
    let b = b.done();
    let call = b.calls[0];
    assert_eq!(
        (call.api, call.outcome, call.records, call.bytes),
        (Api::PutRecords, CallOutcome::Accepted, 3, 6)
    );
    assert_eq!((b.calls.len(), b.bytes, b.shared), (1, 6, false));
    for follower in [c, d] {
        let follower = follower.done();
        assert_eq!((follower.delivered.as_slice(), follower.bytes), ([0].as_slice(), 0));
        assert!(follower.calls.is_empty() && follower.shared && follower.failure.is_none());
    }
    let [e] = rig.send_each(["e"]);
    assert_eq!(rig.slow.calls(), ["a", "b c d", "e"], "the slot is free again");
    drop(e);
}

#[test]
fn as_many_calls_are_under_way_as_permitted() {
    let rig = Rig::new(2);
    let [a, mut b, mut c, d, e] = rig.send_each(["a", "b", "c", "d", "e"]);
    assert_eq!(rig.slow.calls(), ["a", "b"]);
    rig.slow.accept(1);
    assert_eq!(b.poll().unwrap().delivered, [0]);
    assert!(c.poll().is_none());
    assert_eq!(rig.slow.calls(), ["a", "b", "c d e"]);
    rig.slow.accept(0);
    assert_eq!(a.done().delivered, [0]);
    let [f] = rig.send_each(["f"]);
    assert_eq!(rig.slow.calls(), ["a", "b", "c d e", "f"]);
    drop((c, d, e, f));
}

#[test]
fn groups_stay_within_the_limits_and_in_order() {
    let options = OutputOptions {
        request_records_max: 3,
        request_bytes_max: 12,
        shared_calls_max: Some(1),
        ..OutputOptions::default()
    };
    let rig = Rig::with(options);
    // With its key, each record is a byte longer.
    let data = ["0", "1", "2", "3", "4", "5five", "6sixsix", "7", "8-longer-than-12", "9"];
    let mut sendings = rig.send_each(data).into_iter().map(Some).collect::<Vec<_>>();
    let expected = ["0", "1 2 3", "4 5five", "6sixsix 7", "8-longer-than-12", "9"];
    for call in 0..expected.len() {
        assert_eq!(rig.slow.calls(), expected[..=call]);
        rig.slow.accept(call);
        for sending in &mut sendings {
            if sending.as_mut().is_some_and(|sending| sending.poll().is_some()) {
                *sending = None;
            }
        }
    }
    assert!(sendings.iter().all(Option::is_none));
}

#[test]
fn batches_of_several_records_share_calls_too() {
    let rig = Rig::new(1);
    let mut a = rig.send(Format::Event, &["a0", "a1"]);
    let mut b = rig.send(Format::Gzip, &["b0"]);
    let c = rig.send(Format::Event, &["c0", "c1", "c2"]);
    rig.slow.accept(0);
    assert_eq!(a.poll().unwrap().delivered, [0, 1]);
    assert!(b.poll().is_none());
    assert_eq!(rig.slow.calls(), ["a0 a1", "b0 c0 c1 c2"]);
    let throttled = refused("ProvisionedThroughputExceededException");
    rig.slow.answer(1, Ok(vec![throttled.clone(), stored(), throttled, stored()]));
    let (b, c) = (b.done(), c.done());
    assert_eq!((b.retry.indexes(), class_of(&b)), ([0].as_slice(), Some(Class::Throttled)));
    assert_eq!((c.delivered.as_slice(), c.retry.indexes()), ([0, 2].as_slice(), [1].as_slice()));
}

#[test]
fn each_batch_has_the_fate_of_its_own_records() {
    let rig = Rig::new(1);
    let [mut a, mut b, c, d, e] = rig.send_each(["a", "b", "c", "d", "e"]);
    rig.slow.accept(0);
    assert!(a.poll().is_some() && b.poll().is_none());
    let results = vec![
        stored(),
        refused("ProvisionedThroughputExceededException"),
        refused("InternalFailure"),
        refused("InvalidArgumentException"),
    ];
    rig.slow.answer(1, Ok(results));
    let b = b.done();
    assert_eq!((b.delivered.len(), b.calls[0].outcome, class_of(&b)), (1, CallOutcome::Partial, None));
    let (c, d, e) = (c.done(), d.done(), e.done());
    assert_eq!((c.retry.len(), class_of(&c)), (1, Some(Class::Throttled)));
    assert_eq!((d.retry.len(), class_of(&d)), (1, Some(Class::Transient)));
    assert_eq!((e.rejected.len(), class_of(&e)), (1, None));
    assert_eq!(e.rejected[0].code, "InvalidArgumentException");
}

#[test]
fn a_call_that_fails_fails_for_all_of_them_and_for_those_who_wait() {
    let rig = Rig::new(1);
    let [mut a, mut b, c] = rig.send_each(["a", "b", "c"]);
    rig.slow.accept(0);
    assert!(a.poll().is_some() && b.poll().is_none());
    let [d] = rig.send_each(["d"]);
    rig.slow.answer(1, Err(Failure { may_have_arrived: true, ..failure("AccessDeniedException") }));
    let reports = [b.done(), c.done(), d.done()];
    for report in &reports {
        assert_eq!((report.retry.len(), class_of(report)), (1, Some(Class::Misconfigured)));
    }
    assert_eq!(reports.each_ref().map(|report| report.shared), [false, true, true]);
    let may_have_arrived = |report: Report| report.failure.unwrap().may_have_arrived;
    assert_eq!(reports.map(may_have_arrived), [true, true, false]);
    assert_eq!(rig.slow.calls(), ["a", "b c"], "it is not tried again for d");
    let [e] = rig.send_each(["e"]);
    assert_eq!(rig.slow.calls(), ["a", "b c", "e"], "the next send begins anew");
    drop(e);
}

#[test]
fn a_refused_record_is_found_and_the_others_are_delivered() {
    let rig = Rig::new(1);
    let [mut a, mut b, c, d, e] = rig.send_each(["a", "b", "c", "bad", "e"]);
    rig.slow.accept(0);
    assert!(a.poll().is_some() && b.poll().is_none());
    // Batches that come meanwhile wait until the record is found.
    let [mut f] = rig.send_each(["f"]);
    for call in 1.. {
        let calls = rig.slow.calls();
        match calls.get(call) {
            Some(data) if data.contains("bad") => rig.slow.answer(call, Err(failure("ValidationException"))),
            Some(_) => rig.slow.accept(call),
            None => panic!("no more calls than {calls:?}"),
        }
        if let Some(b) = b.poll() {
            assert_eq!(b.delivered, [0]);
            assert_eq!(rig.slow.calls()[1..], ["b c bad e", "b c", "bad e", "bad", "e"]);
            assert_eq!(b.calls.len(), 5);
            break;
        }
    }
    assert_eq!((c.done().delivered.len(), e.done().delivered.len()), (1, 1));
    let d = d.done();
    assert_eq!((d.rejected.len(), d.rejected[0].index, d.retry.len()), (1, 0, 0));
    assert!(f.poll().is_none());
    assert_eq!(rig.slow.calls().last().unwrap(), "f");
}

/// What was refused together and then not sent has not arrived.
#[test]
fn a_search_that_breaks_off_says_who_may_have_arrived() {
    let rig = Rig::new(1);
    let [mut a, mut b, c, d] = rig.send_each(["a", "b", "c", "d"]);
    rig.slow.accept(0);
    assert!(a.poll().is_some() && b.poll().is_none());
    rig.slow.answer(1, Err(failure("ValidationException")));
    assert!(b.poll().is_none());
    assert_eq!(rig.slow.calls()[1..], ["b c d", "b"]);
    rig.slow.answer(2, Err(Failure { may_have_arrived: true, ..failure("InternalFailure") }));
    let may_have_arrived = |report: Report| report.failure.unwrap().may_have_arrived;
    assert_eq!([b, c, d].map(|sending| may_have_arrived(sending.done())), [true, false, false]);
}

/// A batch of one record is not rejected for having been in a call of many that was refused.
#[test]
fn a_search_that_is_given_up_rejects_only_what_it_found() {
    let rig = Rig::new(1);
    let [mut a] = rig.send_each(["a"]);
    let mut others: Vec<Sending> = (0..300).map(|_| rig.send(Format::Gzip, &["bad"])).collect();
    rig.slow.accept(0);
    assert!(a.poll().is_some() && others[0].poll().is_none());
    let mut call = 1;
    let leader = loop {
        rig.slow.answer(call, Err(failure("ValidationException")));
        call += 1;
        if let Some(report) = others[0].poll() {
            break report;
        }
    };
    let reports: Vec<Report> =
        [leader].into_iter().chain(others.into_iter().skip(1).map(Sending::done)).collect();
    let found = rig.slow.calls().iter().filter(|data| *data == "bad").count();
    assert!(found > 1 && found < 100, "{found}");
    assert_eq!(reports.iter().filter(|report| !report.rejected.is_empty()).count(), found);
    assert!(reports.iter().all(|report| report.rejected.len() + report.retry.len() == 1));
}

#[test]
fn what_no_stream_takes_keeps_nobody_from_being_sent() {
    let rig = Rig::new(1);
    let [mut a, mut b, c] = rig.send_each(["a", "keyless", "c"]);
    rig.slow.accept(0);
    assert!(a.poll().is_some() && b.poll().is_none());
    assert_eq!(rig.slow.calls(), ["a", "c"]);
    rig.slow.accept(1);
    assert_eq!(b.done().rejected[0].code, "PartitionKey");
    assert_eq!(c.done().delivered, [0]);
}

#[test]
fn a_dropped_leader_strands_nobody() {
    let rig = Rig::new(1);
    let [mut a, mut b, c, mut d] = rig.send_each(["a", "b", "c", "d"]);
    rig.slow.accept(0);
    assert!(a.poll().is_some() && b.poll().is_none());
    let [mut e] = rig.send_each(["e"]);
    assert_eq!(rig.slow.calls(), ["a", "b c d"]);
    drop(b);
    let c = c.done();
    assert_eq!((c.retry.indexes(), class_of(&c)), ([0].as_slice(), Some(Class::Transient)));
    assert!(c.failure.unwrap().may_have_arrived && c.shared);
    assert!(d.poll().unwrap().failure.unwrap().may_have_arrived);
    assert!(e.poll().is_none());
    assert_eq!(rig.slow.calls(), ["a", "b c d", "e"], "the next in line goes on");
    rig.slow.accept(2);
    assert_eq!(e.done().delivered, [0]);
}

#[test]
fn a_turn_that_nobody_takes_goes_to_the_next() {
    let rig = Rig::new(1);
    let [a, b, c, mut d] = rig.send_each(["a", "b", "c", "d"]);
    rig.slow.accept(0);
    assert_eq!(a.done().delivered, [0]);
    // It is the turn of b, which was told so and is never polled again; c is dropped while it waits.
    drop(c);
    drop(b);
    assert!(d.poll().is_none());
    assert_eq!(rig.slow.calls(), ["a", "d"]);
    drop(d);
    let [e] = rig.send_each(["e"]);
    assert_eq!(rig.slow.calls(), ["a", "d", "e"], "the slot is free when nobody waits");
    drop(e);
}

#[test]
fn a_dropped_follower_is_not_sent_and_poisons_nobody() {
    let rig = Rig::new(1);
    let [a, mut b, c, d, e] = rig.send_each(["a", "b", "c", "d", "e"]);
    drop(c);
    rig.slow.accept(0);
    assert_eq!(a.done().delivered, [0]);
    assert!(b.poll().is_none());
    assert_eq!(rig.slow.calls(), ["a", "b d e"]);
    drop(d);
    rig.slow.accept(1);
    assert_eq!((b.done().delivered.len(), e.done().delivered.len()), (1, 1));
}
