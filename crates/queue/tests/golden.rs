//! Queues that were not written by this program: see `fixtures/queue/README.md`.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

use std::{fs, path::Path};

use millpond_queue::{
    Finding, Fs, Losses, OpenError, Options, Queue, Recovery, Sequence, Tally,
    inspect::{self, Entry},
    storage::{Storage, mem::Mem},
};

fn fixture(case: &str) -> Mem {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/queue/v1").join(case);
    let mem = Mem::new(1 << 30);
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        mem.put(path.file_name().unwrap().to_str().unwrap(), fs::read(&path).unwrap());
    }
    mem
}

/// The batches that a reader gets, from the beginning of what is there.
fn read(queue: &Queue<Mem>, from: u64) -> Vec<u64> {
    let mut reader = queue.reader(Sequence(from));
    let mut read = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        let sequence = frame.sequence.0;
        let text = format!("batch {sequence} of the pond. ").repeat(1 + sequence as usize % 3);
        assert_eq!(frame.payload, text);
        let info = frame.info;
        assert_eq!((info.kind, u64::from(info.events), info.records), (2, sequence, 1));
        assert_eq!(
            (info.raw_bytes, info.first_time_ms),
            (100 * sequence, 1_700_000_000_000 + 1000 * sequence as i64)
        );
        assert_eq!(info.last_time_ms - info.first_time_ms, 500);
        assert_eq!(info.appended_ms - info.first_time_ms, 900);
        read.push(sequence);
    }
    read
}

fn open(case: &str) -> (Queue<Mem>, Recovery) {
    Queue::open(fixture(case), Options { free_bytes_min: 0, ..Options::default() }).unwrap()
}

#[track_caller]
fn check(case: &str, acked: u64, durable: u64, pending: &[u64], findings: impl Fn(&[Finding]) -> bool) {
    let (queue, recovery) = open(case);
    assert_eq!((recovery.acked, recovery.durable), (Sequence(acked), Sequence(durable)), "{case}");
    assert!(findings(&recovery.findings), "{case}: {:?}", recovery.findings);
    assert_eq!(read(&queue, acked), pending, "{case}");
}

#[test]
fn what_is_in_them_is_read() {
    check("clean", 3, 13, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12], <[_]>::is_empty);
    check("torn-tail", 1, 9, &[1, 2, 3, 4, 5, 6, 7, 8], |findings| {
        matches!(findings, [Finding::TornTail { bytes: 91, .. }])
    });
    check("flipped-bit", 3, 13, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12], <[_]>::is_empty);
    // The gap shows when it is read.
    check("gap", 3, 13, &[3, 4, 5, 9, 10, 11, 12], <[_]>::is_empty);
    check("half-saved-cursor", 2, 13, &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], |findings| {
        findings == [Finding::CursorSlotDamaged]
    });
    check("given-up-segment", 1, 11, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], <[_]>::is_empty);
    check("packed", 1, 9, &[1, 2, 3, 4, 5, 6, 7, 8], <[_]>::is_empty);
    check("losses-and-a-consumer", 7, 13, &[7, 9, 12], <[_]>::is_empty);
    check("purged", 7, 13, &[7, 9, 10, 11, 12], <[_]>::is_empty);
}

#[test]
fn what_is_packed_counts_as_what_it_was() {
    let (packed, _) = open("packed");
    let bytes: u64 = (1..9).map(|n| 21 * (1 + n % 3)).sum();
    assert_eq!(packed.stats().payload_bytes, bytes);
}

#[test]
fn losses_and_consumers_are_where_they_were() {
    let (mut queue, _) = open("losses-and-a-consumer");
    let Losses { full, expired, purged } = queue.stats().losses;
    assert_eq!((full.batches, full.events, full.payload_bytes, full.raw_bytes), (2, 3, 5 * 21, 300));
    assert_eq!((expired.batches, expired.events, expired.payload_bytes, expired.raw_bytes), (1, 4, 42, 400));
    assert_eq!(purged, Tally::default(), "version 2 does not know of it");
    let known = open("purged").0.stats().losses;
    assert_eq!((known.full, known.expired), (full, expired));
    assert_eq!((known.purged.batches, known.purged.events, known.purged.raw_bytes), (2, 11, 1_100));
    assert_eq!(queue.consumers().collect::<Vec<_>>(), ["audit"]);
    let audit = queue.consumer("audit").unwrap();
    assert_eq!(audit.acked(), Sequence(2));
    let mut reader = audit.reader(Sequence::FIRST);
    let mut read = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        read.push(frame.sequence.0);
    }
    assert_eq!(read, (1..=12).collect::<Vec<_>>(), "delivered ones are still there");
}

#[test]
fn the_numbers_are_those_of_the_batches() {
    let (queue, _) = open("clean");
    let stats = queue.stats();
    assert_eq!((stats.batches, stats.events, stats.raw_bytes), (10, 75, 7_500));
    assert_eq!(stats.oldest_time_ms, Some(1_700_000_001_000), "to the segment");
    read(&queue, 3);
    assert_eq!(queue.stats().oldest_time_ms, Some(1_700_000_003_000), "to the batch, once it was read");
}

#[test]
fn damage_in_them_is_passed_and_counted() {
    let (queue, _) = open("flipped-bit");
    assert_eq!(read(&queue, 1), [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let stats = queue.stats();
    assert_eq!((stats.damaged_spans, stats.damaged_batches, stats.damaged_bytes), (1, 1, 80 + 63));
}

#[test]
fn a_gap_is_passed_and_counted() {
    let (mut queue, _) = open("gap");
    assert_eq!(queue.stats().events, 75, "what should be there");
    for sequence in read(&queue, 3) {
        queue.ack(Sequence(sequence));
    }
    let stats = queue.stats();
    assert_eq!((stats.damaged_batches, stats.damaged_bytes, stats.batches, stats.events), (3, 0, 0, 0));
}

#[test]
fn what_is_not_ours_is_refused() {
    for (case, file) in [("newer-version", 9), ("foreign", 13)] {
        let mem = fixture(case);
        let before: Vec<_> = mem.names().iter().map(|name| mem.content(name)).collect();
        let name = format!("{file:020}.seg");
        match Queue::open(mem.clone(), Options::default()) {
            Err(OpenError::Unsupported { file, version: 2, known: 1 }) => {
                assert_eq!((case, file), ("newer-version", name));
            }
            Err(OpenError::Foreign { file, .. }) => assert_eq!((case, file), ("foreign", name)),
            other => panic!("{case}: {other:?}"),
        }
        let after: Vec<_> = mem.names().iter().map(|name| mem.content(name)).collect();
        assert_eq!(before, after, "{case}");
    }
}

#[test]
fn a_look_agrees_with_a_reader() {
    for case in ["clean", "torn-tail", "flipped-bit", "gap", "given-up-segment", "packed"] {
        let mem = fixture(case);
        let seen: Vec<u64> = inspect::entries(mem.copy(), Sequence::FIRST)
            .filter_map(|entry| match entry.unwrap() {
                Entry::Frame(frame) => Some(frame.sequence.0),
                _ => None,
            })
            .collect();
        let (queue, _) = open(case);
        assert_eq!(seen, read(&queue, 1), "{case}");
        let overview = inspect::overview(&mem).unwrap();
        let first: Vec<u64> = overview.segments.iter().map(|segment| segment.first.0).collect();
        assert_eq!(first.len(), mem.list("").unwrap().iter().filter(|name| name.ends_with(".seg")).count());
    }
}

#[test]
fn they_open_on_a_real_disk_too() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/queue/v1/clean");
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    let (queue, recovery) = Queue::open(Fs::create(directory.path()).unwrap(), Options::default()).unwrap();
    assert_eq!((recovery.acked, recovery.durable, recovery.findings), (Sequence(3), Sequence(13), vec![]));
    queue.close(0).unwrap();
}
