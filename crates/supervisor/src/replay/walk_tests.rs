use std::path::Path;

use bytes::Bytes;
use millpond_kinesis::{BatchMeta, Format, RecordRef};
use millpond_queue::{Options, Queue};

use super::super::course::{Course, Lacking};
use super::*;
use crate::backlog::info_of;

/// A batch whose events lie at `hour` hours; in segments of a few.
fn batch(hour: i64) -> Batch {
    let meta = BatchMeta {
        format: Format::Gzip,
        events: 10,
        raw_bytes: 100,
        first_time_ms: hour * 3_600_000,
        last_time_ms: hour * 3_600_000 + 1_000,
    };
    let data = Bytes::from(vec![7; 20_000]);
    Batch::from_records(meta, &[RecordRef { partition_key: "k", explicit_hash_key: None, data }])
}

/// A queue of 20 batches in segments of three, of which the first eight and the tenth are delivered.
fn queue(directory: &Path) -> Queue<Fs> {
    let options = Options {
        segment_bytes_max: 64 << 10,
        free_bytes_min: 0,
        retain: millpond_queue::Retain { for_ms: Some(u64::MAX), bytes_max: None },
        catalog: false,
        ..Options::default()
    };
    let (mut queue, _) = Queue::open(Fs::create(directory).unwrap(), options).unwrap();
    for hour in 1..=20 {
        let batch = batch(hour);
        queue.append(info_of(&batch), &batch.to_payload()).unwrap();
        assert_eq!(queue.commit().unwrap().upto, Sequence(hour as u64 + 1));
    }
    let mut reader = queue.reader(queue.acked());
    while reader.next().unwrap().is_some() {}
    (1..=8).chain([10]).for_each(|sequence| queue.ack(Sequence(sequence)));
    queue.checkpoint(1).unwrap();
    queue
}

fn walk(directory: &Path, range: Range, expected: Option<u64>, shared: &Shared) -> Vec<u64> {
    let storage = Fs::existing(directory).unwrap();
    let standing = inspect::standing(&storage).unwrap();
    let chosen = Chosen { kind: Kind::Batches, range, standing, expected, contiguous: true };
    let mut walk = Walk::new(storage, chosen, shared.clone());
    std::iter::from_fn(|| Some(walk.next_content().unwrap()?.0.0)).collect()
}

fn lacking(shared: &Shared) -> Lacking {
    shared.lock().course.lacking
}

#[test]
fn what_is_meant_is_given_out_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    let check = |range: Range, expected: &[u64]| {
        let shared = Shared::default();
        assert_eq!(walk(directory.path(), range, None, &shared), expected, "{range:?}");
        assert_eq!(lacking(&shared), Lacking::default(), "{range:?}");
        assert!(shared.lock().ended);
        assert_eq!(shared.lock().given.events, expected.len() as u64 * 10);
    };
    check(Range::all(Which::Pending), &[9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    check(Range::all(Which::Retained), &[1, 2, 3, 4, 5, 6, 7, 8, 10]);
    check(Range { from: 7, end: 12, ..Range::all(Which::All) }, &[7, 8, 9, 10, 11]);
    let hour = 3_600_000;
    check(Range { since_ms: 3 * hour, until_ms: 5 * hour, ..Range::all(Which::All) }, &[3, 4]);
    drop(queue);
}

#[test]
fn what_is_damaged_or_gone_is_counted_and_the_rest_is_given_out() {
    let directory = tempfile::tempdir().unwrap();
    queue(directory.path()).close(1).unwrap();
    let segments = inspect::overview(&Fs::existing(directory.path()).unwrap()).unwrap().segments;
    let of = |sequence| {
        segments.iter().find(|segment| (segment.first..segment.end).contains(&Sequence(sequence))).unwrap()
    };
    // A byte in the middle of the payload of 14, and the segment that 17 is in.
    let damaged = directory.path().join(&of(14).file);
    let mut bytes = std::fs::read(&damaged).unwrap();
    let at = 4096 + (14 - of(14).first.0) as usize * (bytes.len() - 4096) / 3 + 2_000;
    bytes[at] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    std::fs::remove_file(directory.path().join(&of(17).file)).unwrap();
    let gone: Vec<u64> = (of(17).first.0..of(17).end.0).collect();

    let shared = Shared::default();
    let given = walk(directory.path(), Range::all(Which::Pending), Some(9), &shared);
    let expected: Vec<u64> = (9..=20).filter(|at| ![10, 14].contains(at) && !gone.contains(at)).collect();
    assert_eq!(given, expected);
    // A segment that is gone from the middle shows at the end of the one before it.
    let found = lacking(&shared);
    assert_eq!((found.damaged_places, found.damaged_batches), (2, 1 + gone.len() as u64));
    assert_eq!(shared.lock().notes().len(), 2);

    // What is settled is nobody's loss.
    let shared = Shared::default();
    assert_eq!(
        walk(directory.path(), Range { end: 11, ..Range::all(Which::Retained) }, None, &shared).len(),
        9
    );
    assert_eq!(lacking(&shared), Lacking::default());
    // What was asked for by its number is missing when it is not there any more.
    std::fs::remove_file(directory.path().join(&of(1).file)).unwrap();
    let shared = Shared::default();
    let range = Range { from: 1, end: 11, ..Range::all(Which::All) };
    let given = walk(directory.path(), range, Some(1), &shared);
    assert_eq!(given, (of(1).end.0..11).collect::<Vec<u64>>());
    assert_eq!(lacking(&shared), Lacking { missing_batches: of(1).end.0 - 1, ..Lacking::default() });
}

#[test]
fn another_run_goes_on_and_finds_what_has_gone_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    queue(directory.path()).close(1).unwrap();
    let shared = Shared::default();
    let given = walk(directory.path(), Range { end: 8, ..Range::all(Which::Retained) }, None, &shared);
    assert_eq!(given, [1, 2, 3, 4, 5, 6, 7]);
    // 2 and 6 were in flight when it was killed.
    for sequence in [1, 3, 4, 5, 7] {
        shared.lock().settle(&Settled::of(Sequence(sequence), &batch(1)));
    }
    let course: Course = shared.lock().course.clone();
    let first = inspect::overview(&Fs::existing(directory.path()).unwrap()).unwrap().segments[0].clone();
    assert!(first.end > Sequence(2) && first.end < Sequence(6));
    std::fs::remove_file(directory.path().join(&first.file)).unwrap();
    let shared = Shared::new(course);
    let given = walk(directory.path(), Range { end: 11, ..Range::all(Which::Retained) }, None, &shared);
    assert_eq!(given, [6, 8, 10]);
    assert_eq!(lacking(&shared).missing_batches, 1, "2 was not accepted, and is gone");
}

#[test]
fn what_was_in_flight_and_has_an_owner_again_is_his() {
    let directory = tempfile::tempdir().unwrap();
    let mut queue = queue(directory.path());
    let shared = Shared::default();
    let given = walk(directory.path(), Range { end: 14, ..Range::all(Which::Pending) }, Some(9), &shared);
    assert_eq!(given, [9, 11, 12, 13]);
    [9, 11, 13].iter().for_each(|&at| shared.lock().settle(&Settled::of(Sequence(at), &batch(1))));
    assert!(!shared.lock().course.is_settled());
    let course: Course = shared.lock().course.clone();
    // Somebody owns it now, so nothing is ours. As long as it is not delivered, it may be again.
    let mine = Range { end: 0, ..Range::all(Which::Retained) };
    let shared = Shared::new(course);
    assert_eq!(
        (walk(directory.path(), mine, None, &shared), lacking(&shared)),
        (Vec::new(), Lacking::default())
    );
    let course: Course = shared.lock().course.clone();
    assert_eq!((course.is_settled(), course.wants(20)), (false, true));
    queue.ack(Sequence(12));
    queue.checkpoint(2).unwrap();
    let shared = Shared::new(course);
    assert_eq!(
        (walk(directory.path(), mine, None, &shared), lacking(&shared)),
        (Vec::new(), Lacking::default())
    );
    assert!(shared.lock().course.is_settled());
}

#[test]
fn a_frame_that_is_no_batch_is_named_and_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut queue = queue(directory.path());
    let info = millpond_queue::BatchInfo { kind: 99, events: 1, ..Default::default() };
    queue.append(info, &[Bytes::from_static(b"of another program")]).unwrap();
    queue.close(1).unwrap();
    let shared = Shared::default();
    let given = walk(directory.path(), Range { from: 20, ..Range::all(Which::Pending) }, Some(20), &shared);
    assert_eq!(given, [20]);
    assert_eq!(lacking(&shared).foreign_batches, 1);
    assert_eq!(shared.lock().notes(), ["21 is not sent: a frame of the unknown kind 99"]);
}

#[test]
fn a_letter_that_was_a_record_is_that_record_again() {
    let letter = |format: &str, key: Option<&str>| Letter {
        sequence: Sequence(1),
        refused_ms: 5,
        events: 3,
        reason: letters::WhyRefused {
            code: "ValidationException".to_owned(),
            message: "too long".to_owned(),
            stream: "logs".to_owned(),
            partition_key: key.map(str::to_owned),
            format: format.to_owned(),
        },
        body: Bytes::from_static(b"bytes"),
    };
    let batch = record_of(&letter("gzip", Some("key"))).unwrap();
    assert_eq!((batch.len(), batch.meta().format, batch.meta().events), (1, Format::Gzip, 3));
    assert_eq!((batch.record(0).partition_key, &batch.record(0).data[..]), ("key", &b"bytes"[..]));
    assert!(record_of(&letter("frame", Some("key"))).unwrap_err().contains("no record, but frame"));
    assert!(record_of(&letter("event", None)).unwrap_err().contains("no record, but event"));
}
