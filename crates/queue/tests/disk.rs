//! The queue on a real directory.

use bytes::Bytes;
use millpond_queue::{BatchInfo, Fs, OpenError, Options, Queue, Sequence};

fn options() -> Options {
    Options { segment_bytes_max: 64 << 10, size_bytes_max: 64 << 20, free_bytes_min: 0, ..Options::default() }
}

fn payload(sequence: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(sequence);
    let len = random.usize(0..20_000);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

fn info(sequence: u64) -> BatchInfo {
    BatchInfo {
        kind: 1,
        events: sequence as u32 % 7,
        records: 1,
        raw_bytes: 10 * sequence,
        first_time_ms: sequence as i64,
        last_time_ms: sequence as i64 + 5,
        appended_ms: 1_000 + sequence as i64,
    }
}

fn append(queue: &mut Queue<Fs>, count: u64) {
    for _ in 0..count {
        let sequence = queue.durable().0 + queue.stats().staged_batches;
        let whole = payload(sequence);
        let (head, rest) = (whole.slice(..whole.len() / 3), whole.slice(whole.len() / 3..));
        assert_eq!(queue.append(info(sequence), &[head, rest]).unwrap(), Sequence(sequence));
    }
}

#[track_caller]
fn check_reads(queue: &Queue<Fs>, from: u64, end: u64) {
    let mut reader = queue.reader(Sequence(from));
    for sequence in from..end {
        let frame = reader.next().unwrap().expect("it is durable");
        assert_eq!(frame.sequence, Sequence(sequence));
        assert_eq!(frame.info, info(sequence));
        assert_eq!(frame.payload, payload(sequence));
    }
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn what_is_committed_is_read_until_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (mut queue, recovery) = Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
    assert_eq!((recovery.segments, recovery.findings.len()), (0, 0));
    append(&mut queue, 3);
    check_reads(&queue, 1, 1);
    assert_eq!(queue.commit().unwrap().upto, Sequence(4));
    check_reads(&queue, 1, 4);
    for _ in 0..20 {
        append(&mut queue, 5);
        queue.commit().unwrap().upto;
    }
    check_reads(&queue, 1, 104);
    check_reads(&queue, 50, 104);
    assert!(queue.stats().segments > 10);
    assert_eq!(queue.stats().events, (1..104).map(|s| s % 7).sum::<u64>());

    let mut reader = queue.reader(queue.acked());
    while let Some(frame) = reader.next().unwrap() {
        if frame.sequence > Sequence(90) {
            break;
        }
        queue.ack(frame.sequence);
    }
    assert_eq!(queue.stats().events, (91..104).map(|s| s % 7).sum::<u64>());
    assert_eq!(queue.stats().raw_bytes, (91..104).map(|s| s * 10).sum::<u64>());
    assert_eq!(queue.stats().oldest_appended_ms, Some(1_091));
    let before = queue.stats();
    let outcome = queue.checkpoint().unwrap();
    assert_eq!(outcome.acked, Sequence(91));
    assert!(outcome.reclaimed_segments > 5 && outcome.reclaimed_bytes > 100_000, "{outcome:?}");
    assert_eq!(queue.stats().disk_bytes, before.disk_bytes - outcome.reclaimed_bytes);
    check_reads(&queue, 91, 104);
    queue.close().unwrap();

    let (queue, recovery) = Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
    assert_eq!(recovery.findings, []);
    assert_eq!(
        (recovery.acked, recovery.durable, recovery.scanned_segments),
        (Sequence(91), Sequence(104), 0)
    );
    check_reads(&queue, 91, 104);
    assert_eq!(queue.stats().events, (91..104).map(|s| s % 7).sum::<u64>());
}

#[test]
fn a_process_that_dies_loses_nothing_that_was_committed() {
    let directory = tempfile::tempdir().unwrap();
    let mut committed = 1;
    for round in 0..10 {
        let (mut queue, recovery) = Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
        assert_eq!(recovery.durable, Sequence(committed), "round {round}: {recovery:?}");
        assert_eq!(recovery.findings, []);
        append(&mut queue, 4);
        committed = queue.commit().unwrap().upto.0;
        append(&mut queue, 2);
        drop(queue); // Like a kill: nothing is closed.
    }
    let (queue, _) = Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
    check_reads(&queue, 1, committed);
}

#[test]
fn a_second_owner_is_told_who_the_first_one_is() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, _) = Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
    match Queue::open(Fs::create(directory.path()).unwrap(), options()) {
        Err(OpenError::Locked { pid }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    let reader = queue.reader(Sequence::FIRST);
    drop(queue);
    Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
    drop(reader);
}
