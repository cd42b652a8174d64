//! The queue on a real directory.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

use std::{fs, path::Path};

use bytes::Bytes;
use millpond_queue::{
    BatchInfo, Finding, Fs, OpenError, Options, Queue, Recovery, Sequence,
    inspect::{self, Entry, SegmentState},
};

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
fn what_was_acknowledged_out_of_order_is_not_read_again_after_a_clean_end() {
    let directory = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(directory.path());
    append(&mut queue, 12);
    assert_eq!(queue.commit().unwrap().upto, Sequence(13));
    for sequence in [1, 3, 5, 6, 7, 12] {
        queue.ack(Sequence(sequence));
    }
    queue.close(0).unwrap();

    let (mut queue, recovery) = open(directory.path());
    assert_eq!(recovery.acked, Sequence(2));
    let mut reader = queue.reader(queue.acked());
    for sequence in [2, 4, 8, 9, 10, 11] {
        let frame = reader.next().unwrap().expect("it is durable");
        assert_eq!((frame.sequence, &frame.payload), (Sequence(sequence), &payload(sequence)));
        queue.ack(frame.sequence);
    }
    assert_eq!(reader.next().unwrap(), None);
    assert_eq!(queue.acked(), Sequence(13), "all of it, in whichever life it was acknowledged");
    append(&mut queue, 1);
    assert_eq!(queue.commit().unwrap().upto, Sequence(14));
    assert_eq!(reader.next().unwrap().map(|frame| frame.sequence), Some(Sequence(13)));
    queue.close(0).unwrap();
}

#[test]
fn what_is_committed_is_read_until_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (mut queue, recovery) = open(directory.path());
    assert_eq!((recovery.segments, recovery.findings.len()), (0, 0));
    append(&mut queue, 3);
    check_reads(&queue, 1, 1);
    assert_eq!(queue.commit().unwrap().upto, Sequence(4));
    check_reads(&queue, 1, 4);
    for _ in 0..20 {
        append(&mut queue, 5);
        assert!(queue.commit().unwrap().upto > Sequence(5));
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
    let outcome = queue.checkpoint(0).unwrap();
    assert_eq!(outcome.acked, Sequence(91));
    assert!(outcome.reclaimed_segments > 5 && outcome.reclaimed_bytes > 100_000, "{outcome:?}");
    assert_eq!(queue.stats().disk_bytes, before.disk_bytes - outcome.reclaimed_bytes);
    check_reads(&queue, 91, 104);
    queue.close(0).unwrap();

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

fn open(directory: &Path) -> (Queue<Fs>, Recovery) {
    Queue::open(Fs::create(directory).unwrap(), options()).unwrap()
}

/// Fills a queue with `batches` batches in segments of a few.
fn fill(directory: &Path, batches: u64) {
    let (mut queue, _) = open(directory);
    for _ in 0..batches {
        append(&mut queue, 1);
        assert!(queue.commit().unwrap().upto > Sequence::FIRST);
    }
    queue.close(0).unwrap();
}

#[test]
fn a_catalog_that_is_lost_or_damaged_costs_nothing() {
    type Damage = fn(&Path);
    let damage: [(&str, Damage); 4] = [
        ("deleted", |catalog| fs::remove_dir_all(catalog).unwrap()),
        ("a file in its place", |catalog| {
            fs::remove_dir_all(catalog).unwrap();
            fs::write(catalog, b"not a directory").unwrap();
        }),
        ("garbage in its file", |catalog| fs::write(catalog.join("db"), [0x5A; 100_000]).unwrap()),
        ("its file cut in half", |catalog| {
            let db = fs::read(catalog.join("db")).unwrap();
            fs::write(catalog.join("db"), &db[..db.len() / 2 + 7]).unwrap();
        }),
    ];
    for (what, damage) in damage {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path(), 60);
        damage(&directory.path().join("catalog"));
        let (mut queue, recovery) = open(directory.path());
        assert_eq!(recovery.findings, [], "{what}");
        check_reads(&queue, 1, 61);
        let first = queue.first_since(40);
        assert!((30..=40).contains(&first.0), "{what}: {first}");
        append(&mut queue, 1);
        assert_eq!(queue.commit().unwrap().upto, Sequence(62), "{what}");
        queue.close(0).unwrap();
    }
}

#[test]
fn the_catalog_finds_times() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 60);
    let (mut queue, recovery) = open(directory.path());
    assert_eq!(recovery.findings, []);
    for time_ms in [i64::MIN, 0, 1, 30, 65, 66, i64::MAX] {
        let first = queue.first_since(time_ms).0;
        let (mut before, mut from) = (0, 0);
        for sequence in 1..61 {
            let last_time_ms = sequence as i64 + 5;
            match sequence < first {
                true => before = before.max(last_time_ms),
                false => from = from.max(last_time_ms),
            }
        }
        assert!(before < time_ms || before == 0, "{time_ms}: {first}");
        assert!(from >= time_ms || first == 61, "{time_ms}: {first}");
    }
}

fn names_and_times(directory: &Path) -> Vec<(String, std::time::SystemTime, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let (entry, metadata) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
        all.push((entry.display().to_string(), metadata.modified().unwrap(), metadata.len()));
    }
    all.sort();
    all
}

#[test]
fn looking_changes_nothing_and_needs_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 50);
    // The catalog has a thread of its own, which may write at any time.
    let options = Options { catalog: false, ..options() };
    let (mut queue, _) = Queue::open(Fs::create(directory.path()).unwrap(), options).unwrap();
    append(&mut queue, 3);
    assert_eq!(queue.commit().unwrap().upto, Sequence(54));
    for sequence in 1..20 {
        queue.ack(Sequence(sequence));
    }
    // What is appended and not committed is not there.
    append(&mut queue, 1);
    queue.checkpoint(0).unwrap();

    let before = names_and_times(directory.path());
    let storage = Fs::existing(directory.path()).unwrap();
    let overview = inspect::overview(&storage).unwrap();
    let first = overview.segments[0].first;
    assert_eq!(overview.acked, Some(Sequence(20)));
    assert_eq!(overview.pending_batches, 54 - 20);
    assert_eq!(overview.disk_bytes, storage_bytes(directory.path()));
    let states: Vec<_> = overview.segments.iter().map(|segment| segment.state).collect();
    assert_eq!(states.last(), Some(&SegmentState::Active));
    assert!(states[1..states.len() - 1].iter().all(|&state| state == SegmentState::Sealed), "{states:?}");
    let batches: u64 = overview.segments.iter().map(|segment| segment.batches).sum();
    assert_eq!(batches, 54 - first.0);
    let events: u64 = overview.segments.iter().map(|segment| segment.events).sum();
    assert_eq!(events, (first.0..54).map(|sequence| sequence % 7).sum::<u64>());

    for from in [first.0, 25, 53, 54] {
        let mut expected = from;
        for entry in inspect::entries(storage.clone(), Sequence(from)) {
            match entry.unwrap() {
                Entry::Frame(frame) => {
                    assert_eq!(frame.sequence, Sequence(expected));
                    assert_eq!(frame.payload, payload(expected));
                }
                other => panic!("{other:?}"),
            }
            expected += 1;
        }
        assert_eq!(expected, 54);
    }
    assert_eq!(names_and_times(directory.path()), before);
    drop(queue);
}

fn storage_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        bytes += match path.is_dir() {
            true => storage_bytes(&path),
            false => path.metadata().unwrap().blocks() * 512,
        };
    }
    bytes
}

#[test]
fn damage_is_shown_by_a_look() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 20);
    let name = format!("{:020}.seg", 1);
    let mut bytes = fs::read(directory.path().join(&name)).unwrap();
    bytes[4096 + 100] ^= 1;
    fs::write(directory.path().join(&name), bytes).unwrap();
    let storage = Fs::existing(directory.path()).unwrap();
    let entries: Vec<_> = inspect::entries(storage, Sequence::FIRST).map(Result::unwrap).collect();
    let damaged: Vec<_> = entries.iter().filter(|entry| matches!(entry, Entry::Damaged { .. })).collect();
    assert_eq!((entries.len(), damaged.len()), (20, 1));
    match damaged[0] {
        Entry::Damaged { file, position: 4096, first: Sequence(1), end: Sequence(2), .. } => {
            assert_eq!(*file, name);
        }
        other => panic!("{other:?}"),
    }
    let (_, recovery) = open(directory.path());
    assert!(!recovery.findings.iter().any(Finding::is_loss), "found when it is read, not before");
}
