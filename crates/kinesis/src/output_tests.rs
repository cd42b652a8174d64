use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::attempt::BISECT_CALLS_MAX;
use crate::batch::{BatchMeta, RecordRef};
use crate::client::{Cause, ClientFuture, PutResult};
use crate::shards::Shard;

/// A service that accepts everything but what it is told not to.
#[derive(Debug, Default)]
struct Fake {
    /// Data that makes the service refuse a whole call.
    poison: Vec<&'static [u8]>,
    /// What calls get instead of an answer, one after the other.
    failures: Mutex<VecDeque<Option<Failure>>>,
    /// Listings, one after the other.
    pages: Mutex<VecDeque<Result<ShardPage, Failure>>>,
    /// The data of each record of each call.
    calls: Mutex<Vec<Vec<Bytes>>>,
    /// What was asked for when listing.
    listed: Mutex<Vec<String>>,
}

impl Fake {
    fn answer(&self, records: &[RecordRef<'_>]) -> Result<Vec<PutResult>, Failure> {
        let data: Vec<Bytes> = records.iter().map(|record| record.data.clone()).collect();
        self.calls.lock().unwrap().push(data);
        if let Some(Some(failure)) = self.failures.lock().unwrap().pop_front() {
            return Err(failure);
        }
        if records.iter().any(|record| self.poison.contains(&record.data.as_ref())) {
            return Err(failure("ValidationException"));
        }
        let stored = PutResult { sequence_number: Some("49".to_owned()), ..PutResult::default() };
        Ok(vec![stored; records.len()])
    }

    fn page(&self, asked: String) -> Result<ShardPage, Failure> {
        self.listed.lock().unwrap().push(asked);
        self.pages.lock().unwrap().pop_front().expect("a page is scripted")
    }
}

impl Client for Fake {
    fn place(&self) -> &str {
        "here"
    }

    fn put_record<'a>(&'a self, _: &'a str, record: RecordRef<'a>) -> ClientFuture<'a, PutResult> {
        let answer = self.answer(&[record]).map(|mut results| results.remove(0));
        Box::pin(async { answer })
    }

    fn put_records<'a>(
        &'a self,
        _: &'a str,
        records: &'a [RecordRef<'a>],
    ) -> ClientFuture<'a, Vec<PutResult>> {
        let answer = self.answer(records);
        Box::pin(async { answer })
    }

    fn list_shards<'a>(&'a self, page: ListShards<'a>) -> ClientFuture<'a, ShardPage> {
        let answer = self.page(match page {
            ListShards::First { stream } => format!("{stream} first"),
            ListShards::Next { token, .. } => format!("next {token}"),
        });
        Box::pin(async { answer })
    }

    fn describe_stream<'a>(&'a self, stream: &'a str, after: Option<&'a str>) -> ClientFuture<'a, ShardPage> {
        let answer = self.page(format!("{stream} {after:?}"));
        Box::pin(async { answer })
    }
}

fn failure(code: &str) -> Failure {
    let context = Context { operation: "Test", stream: "logs", place: "here" };
    classify::record_error(context, code, "a record is wrong")
}

fn batch(format: Format, data: &[&'static [u8]]) -> Batch {
    let meta =
        BatchMeta { format, events: data.len() as u32, raw_bytes: 0, first_time_ms: 0, last_time_ms: 0 };
    let records: Vec<_> = data
        .iter()
        .map(|data| RecordRef { partition_key: "k", explicit_hash_key: None, data: Bytes::from_static(data) })
        .collect();
    Batch::from_records(meta, &records)
}

fn output(fake: &Arc<Fake>, options: OutputOptions) -> Output {
    Output::new(Arc::clone(fake) as Arc<dyn Client>, "logs".to_owned(), options)
}

async fn send(fake: &Arc<Fake>, batch: &Batch) -> Report {
    output(fake, OutputOptions::default()).send(batch, &Pending::all(batch)).await
}

fn rejected(report: &Report) -> Vec<u32> {
    report.rejected.iter().map(|record| record.index).collect()
}

#[tokio::test]
async fn one_record_goes_by_put_record_unless_it_is_an_event() {
    for (format, api) in [
        (Format::Gzip, Api::PutRecord),
        (Format::Ndjson, Api::PutRecord),
        (Format::Opaque, Api::PutRecord),
        (Format::Event, Api::PutRecords),
    ] {
        let report = send(&Arc::default(), &batch(format, &[b"1"])).await;
        assert_eq!(report.delivered, [0]);
        assert!(report.retry.is_empty() && report.failure.is_none());
        assert_eq!(report.calls[0].api, api, "{format:?}");
        assert_eq!(report.calls[0].outcome, CallOutcome::Accepted);
        assert_eq!(report.bytes, 2);
    }
}

#[tokio::test]
async fn calls_stay_within_the_limits() {
    let fake: Arc<Fake> = Arc::default();
    let batch = batch(Format::Event, &[b"1", b"2", b"3", b"four", b"5", b"6"]);
    let options = OutputOptions { request_bytes_max: 6, request_records_max: 2, ..OutputOptions::default() };
    let report = output(&fake, options).send(&batch, &Pending::all(&batch)).await;
    assert_eq!(report.delivered, [0, 1, 2, 3, 4, 5]);
    let sizes: Vec<usize> = fake.calls.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 1, 1, 2]);
}

#[tokio::test]
async fn the_poisoned_record_is_found_wherever_it_is() {
    let all: [&'static [u8]; 7] = [b"0", b"1", b"2", b"3", b"4", b"5", b"6"];
    for bad in 0..all.len() {
        let fake = Arc::new(Fake { poison: vec![all[bad], all[3]], ..Fake::default() });
        let report = send(&fake, &batch(Format::Event, &all)).await;
        let mut expected = vec![bad as u32, 3];
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(rejected(&report), expected);
        assert_eq!(report.delivered.len(), all.len() - expected.len());
        assert!(report.retry.is_empty());
        assert_eq!(report.rejected[0].code, "ValidationException");
    }
}

#[tokio::test]
async fn finding_refused_records_is_bounded_and_goes_on() {
    let fake = Arc::new(Fake { poison: vec![b"x"], ..Fake::default() });
    let batch = batch(Format::Event, &[b"x" as &[u8]; 400]);
    let output = output(&fake, OutputOptions::default());
    let mut pending = Pending::all(&batch);
    let mut found = 0;
    for _ in 0..30 {
        let report = output.send(&batch, &pending).await;
        assert!(report.calls.len() <= BISECT_CALLS_MAX + 1, "{}", report.calls.len());
        assert!(!report.rejected.is_empty(), "each attempt makes progress");
        found += report.rejected.len();
        pending = report.retry;
        if pending.is_empty() {
            break;
        }
        assert_eq!(report.failure.unwrap().class, Class::Transient);
    }
    assert_eq!(found, 400);
}

/// A record that was never tried is not refused, however the search for others ends.
#[tokio::test]
async fn giving_up_the_search_rejects_nothing_that_was_not_sent() {
    let fake = Arc::new(Fake { poison: vec![b"x"], ..Fake::default() });
    let mut records = vec![b"x" as &[u8]; 200];
    records.push(b"a good one");
    let batch = batch(Format::Event, &records);
    let options = OutputOptions { request_records_max: 200, ..OutputOptions::default() };
    let report = output(&fake, options).send(&batch, &Pending::all(&batch)).await;
    assert!(report.retry.indexes().contains(&200), "{:?}", report.rejected);
    let failure = report.failure.unwrap();
    assert_eq!((failure.class, failure.may_have_arrived), (Class::Transient, false));
}

#[tokio::test]
async fn a_failure_stops_the_attempt() {
    let fake = Arc::new(Fake {
        failures: Mutex::new([None, Some(failure("InternalFailure"))].into()),
        ..Fake::default()
    });
    let batch = batch(Format::Event, &[b"1", b"2", b"3"]);
    let options = OutputOptions { request_records_max: 1, ..OutputOptions::default() };
    let report = output(&fake, options).send(&batch, &Pending::all(&batch)).await;
    assert_eq!(report.delivered, [0]);
    assert_eq!(report.retry.indexes(), [1, 2]);
    assert_eq!(report.calls.len(), 2);
    assert_eq!(report.failure.unwrap().class, Class::Transient);
}

#[tokio::test]
async fn only_what_is_pending_is_sent() {
    let fake: Arc<Fake> = Arc::default();
    let batch = batch(Format::Event, &[b"1", b"2", b"3"]);
    let pending = Pending::from_indexes(vec![0, 2]);
    let report = output(&fake, OutputOptions::default()).send(&batch, &pending).await;
    assert_eq!(report.delivered, [0, 2]);
    assert_eq!(*fake.calls.lock().unwrap(), [[Bytes::from("1"), Bytes::from("3")]]);
}

#[tokio::test]
async fn what_no_stream_takes_is_not_sent() {
    static HUGE: [u8; limits::RECORD_BYTES_MAX] = [0; limits::RECORD_BYTES_MAX];
    let fake: Arc<Fake> = Arc::default();
    let meta = batch(Format::Opaque, &[b"1"]).meta();
    let record = |partition_key, data| RecordRef {
        partition_key,
        explicit_hash_key: None,
        data: Bytes::from_static(data),
    };
    let long = "k".repeat(257);
    let records = [record("", b"1"), record(&long, b"2"), record("k", &HUGE), record("k", b"4")];
    let report = send(&fake, &Batch::from_records(meta, &records)).await;
    assert_eq!(rejected(&report), [0, 1, 2]);
    assert_eq!(report.delivered, [3]);
    assert_eq!(report.rejected[2].code, "RecordTooLarge");
}

fn page(ranges: &[(u128, u128)], next: Option<&str>) -> Result<ShardPage, Failure> {
    let shards = ranges.iter().enumerate().map(|(number, (start, end))| Shard {
        id: format!("shardId-{start}-{number}"),
        starting_hash_key: start.to_string(),
        ending_hash_key: end.to_string(),
        open: true,
    });
    Ok(ShardPage { shards: shards.collect(), next: next.map(str::to_owned), stream_status: None })
}

async fn verify(
    use_list_shards: bool,
    pages: Vec<Result<ShardPage, Failure>>,
) -> (Verification, Vec<String>) {
    let fake = Arc::new(Fake { pages: Mutex::new(pages.into()), ..Fake::default() });
    let options = OutputOptions { use_list_shards, ..OutputOptions::default() };
    let verification = output(&fake, options).verify().await;
    assert!(fake.pages.lock().unwrap().is_empty(), "all scripted pages were read");
    let listed = fake.listed.lock().unwrap().clone();
    (verification, listed)
}

#[tokio::test]
async fn all_pages_are_read() {
    let pages = vec![page(&[(0, 9)], Some("t1")), page(&[], Some("t2")), page(&[(10, u128::MAX)], None)];
    let (verification, listed) = verify(true, pages.clone()).await;
    assert_eq!(verification, Verification::Covered { open_shards: 2 });
    assert_eq!(listed, ["logs first", "next t1", "next t2"]);
    let (verification, listed) = verify(false, pages).await;
    assert_eq!(verification, Verification::Covered { open_shards: 2 });
    assert_eq!(listed, ["logs None", r#"logs Some("t1")"#, r#"logs Some("t2")"#]);
}

#[tokio::test]
async fn a_gap_counts_only_when_it_is_there_twice() {
    let gap = || page(&[(0, 9)], None);
    let (verification, _) = verify(true, vec![gap(), page(&[(0, u128::MAX)], None)]).await;
    assert_eq!(verification, Verification::Covered { open_shards: 1 });
    let (verification, _) = verify(true, vec![gap(), gap()]).await;
    assert!(matches!(verification, Verification::NotCovered { .. }), "{verification:?}");
}

#[tokio::test]
async fn an_expired_token_starts_over_once() {
    let expired = || Err(failure("ExpiredNextTokenException"));
    let first = || page(&[(0, 9)], Some("t"));
    let (verification, _) = verify(true, vec![first(), expired(), page(&[(0, u128::MAX)], None)]).await;
    assert_eq!(verification, Verification::Covered { open_shards: 1 });
    let (verification, _) = verify(true, vec![first(), expired(), first(), expired()]).await;
    assert!(matches!(verification, Verification::Down(_)), "{verification:?}");
}

#[tokio::test]
async fn no_permission_to_list_is_unknown_and_not_down() {
    let check = async |code: &str, expected: &str| {
        let (verification, _) = verify(true, vec![Err(failure(code))]).await;
        let found = match verification {
            Verification::Unknown { .. } => "unknown",
            Verification::Down(_) => "down",
            _ => "else",
        };
        assert_eq!(found, expected, "{code}");
    };
    check("AccessDeniedException", "unknown").await;
    check("LimitExceededException", "unknown").await;
    check("UnknownOperationException", "unknown").await;
    check("ResourceNotFoundException", "down").await;
    check("ExpiredTokenException", "down").await;
    check("InternalFailure", "down").await;
}

#[tokio::test]
async fn a_listing_without_end_is_not_believed() {
    let fake = Arc::new(Fake {
        pages: Mutex::new((0..limits::SHARD_PAGES_MAX).map(|_| page(&[], Some("again"))).collect()),
        ..Fake::default()
    });
    let verification = output(&fake, OutputOptions::default()).verify().await;
    assert!(
        matches!(&verification, Verification::Down(failure) if failure.cause == Cause::NotKinesis),
        "{verification:?}"
    );
}
