//! Errors of a real disk, as scripted, and readers beside a writer.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bytes::Bytes;
use millpond_queue::{
    AppendError, BatchInfo, CheckpointFailed, CommitError, Finding, Fs, FullReason, Options, Queue, Sequence,
    Storage,
    inspect::{self, Entry, SegmentState},
    repair,
    storage::faulty::{Call, Fault, Faults, Faulty},
};
use tempfile::TempDir;

fn options() -> Options {
    Options { segment_bytes_max: 64 << 10, free_bytes_min: 0, catalog: false, ..Options::default() }
}

struct Disk {
    directory: TempDir,
    faults: Faults,
}

impl Disk {
    fn new() -> Disk {
        Disk { directory: tempfile::tempdir().unwrap(), faults: Faults::default() }
    }

    fn open(&self) -> (Queue<Faulty<Fs>>, Vec<Finding>) {
        self.open_with(options())
    }

    fn open_with(&self, options: Options) -> (Queue<Faulty<Fs>>, Vec<Finding>) {
        let storage = Faulty::new(Fs::create(self.directory.path()).unwrap(), self.faults.clone());
        let (queue, recovery) = Queue::open(storage, options).unwrap();
        (queue, recovery.findings)
    }
}

fn append<S: Storage>(queue: &mut Queue<S>, text: &'static str) -> Result<Sequence, AppendError> {
    queue.append(BatchInfo { events: 1, ..BatchInfo::default() }, &[Bytes::from_static(text.as_bytes())])
}

fn texts<S: Storage>(queue: &Queue<S>) -> Vec<String> {
    let mut reader = queue.reader(Sequence::FIRST);
    let mut texts = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        texts.push(String::from_utf8(frame.payload.to_vec()).unwrap());
    }
    texts
}

#[test]
fn a_failed_sync_or_write_goes_unnoticed_but_for_the_log() {
    for fault in [Fault::next(Call::SyncData, Fault::EIO), Fault::next(Call::Write, Fault::EIO)] {
        let disk = Disk::new();
        let (mut queue, _) = disk.open();
        append(&mut queue, "one").unwrap();
        assert_eq!(queue.commit().unwrap().upto, Sequence(2));
        append(&mut queue, "two").unwrap();
        append(&mut queue, "three").unwrap();
        disk.faults.add(Fault { written: 90, ..fault });
        assert_eq!(queue.commit().unwrap().upto, Sequence(4));
        assert_eq!(queue.stats().poisoned_segments, 1);
        append(&mut queue, "four").unwrap();
        assert_eq!(queue.commit().unwrap().upto, Sequence(5));
        assert_eq!(texts(&queue), ["one", "two", "three", "four"]);
        drop(queue);
        let (queue, findings) = disk.open();
        assert_eq!(findings, []);
        assert_eq!(texts(&queue), ["one", "two", "three", "four"]);
    }
}

#[test]
fn a_disk_that_stays_broken_is_an_error_and_nothing_is_forgotten() {
    let disk = Disk::new();
    let (mut queue, _) = disk.open();
    append(&mut queue, "one").unwrap();
    assert_eq!(queue.commit().unwrap().upto, Sequence(2));
    disk.faults.add(Fault::always(Call::SyncData, Fault::EIO));
    append(&mut queue, "two").unwrap();
    for _ in 0..3 {
        assert!(matches!(queue.commit(), Err(CommitError::Failed(_))));
        assert_eq!(texts(&queue), ["one"], "nothing that is not durable is read");
    }
    disk.faults.clear();
    assert_eq!(queue.commit().unwrap().upto, Sequence(3));
    assert_eq!(texts(&queue), ["one", "two"]);
    queue.close(0).unwrap();
    let (queue, findings) = disk.open();
    assert_eq!(findings, []);
    assert_eq!(texts(&queue), ["one", "two"]);
}

#[test]
fn a_full_disk_is_full_until_it_is_not() {
    for call in [Call::Allocate, Call::Create, Call::Write] {
        let disk = Disk::new();
        let (mut queue, _) = disk.open();
        append(&mut queue, "one").unwrap();
        disk.faults.add(Fault { written: 40, ..Fault::always(call, Fault::ENOSPC) });
        for _ in 0..3 {
            assert!(matches!(queue.commit(), Err(CommitError::Full(FullReason::NoSpace))), "{call:?}");
        }
        assert_eq!(texts(&queue), [""; 0]);
        disk.faults.clear();
        assert_eq!(queue.commit().unwrap().upto, Sequence(2));
        assert_eq!(texts(&queue), ["one"]);
        assert_eq!(queue.stats().poisoned_segments, 0, "a full disk is no failure");
    }
}

#[test]
fn a_queue_opens_and_is_emptied_on_a_full_disk() {
    let disk = Disk::new();
    let (mut queue, _) = disk.open();
    append(&mut queue, "one").unwrap();
    assert_eq!(queue.commit().unwrap().upto, Sequence(2));
    drop(queue);
    for call in [Call::Allocate, Call::Create] {
        disk.faults.add(Fault::always(call, Fault::ENOSPC));
    }
    let (mut queue, findings) = disk.open();
    assert_eq!(findings, []);
    assert_eq!(texts(&queue), ["one"]);
    queue.ack(Sequence(1));
    assert_eq!(queue.checkpoint(0).unwrap().acked, Sequence(2));
}

/// Who reads the log has to know which of it failed.
#[test]
fn a_checkpoint_says_what_of_it_failed() {
    let disk = Disk::new();
    let (mut queue, _) = disk.open();
    for number in 0..20 {
        let batch = Bytes::from(vec![number; 10_000]);
        queue.append(BatchInfo::default(), &[batch]).unwrap();
        queue.commit().unwrap();
    }
    (1..=15).for_each(|sequence| queue.ack(Sequence(sequence)));
    disk.faults.add(Fault { name: "cursor", ..Fault::always(Call::SyncData, Fault::EIO) });
    assert!(matches!(queue.checkpoint(0), Err(CheckpointFailed::Cursor(_))));
    disk.faults.clear();
    disk.faults.add(Fault { name: ".seg", ..Fault::always(Call::Remove, Fault::EIO) });
    assert!(matches!(queue.checkpoint(0), Err(CheckpointFailed::Reclaim(_))));
    disk.faults.clear();
    assert!(queue.checkpoint(0).unwrap().reclaimed_segments > 0);
}

#[test]
fn the_size_limit_counts_what_is_on_disk() {
    let disk = Disk::new();
    let limits = Options { size_bytes_max: 1 << 20, ..options() };
    let (mut queue, _) = disk.open_with(limits);
    let batch = Bytes::from(vec![7; 10_000]);
    let mut appended = 0;
    loop {
        match queue.append(BatchInfo::default(), std::slice::from_ref(&batch)) {
            Ok(_) => appended += 1,
            Err(AppendError::Full(reason)) => {
                assert_eq!(reason, FullReason::SizeMax);
                break;
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(queue.commit().unwrap().upto, Sequence(appended + 1));
        assert!(on_disk(disk.directory.path()) <= limits.size_bytes_max);
    }
    assert!(appended * 10_000 > limits.size_bytes_max * 3 / 4, "only {appended} batches");
    // Delivering makes room again, segment by segment.
    let mut reader = queue.reader(Sequence::FIRST);
    for _ in 0..20 {
        queue.ack(reader.next().unwrap().unwrap().sequence);
    }
    assert!(queue.checkpoint(0).unwrap().reclaimed_bytes >= 3 * (64 << 10) * 9 / 10);
    queue.append(BatchInfo::default(), &[batch]).unwrap();
    assert_eq!(queue.commit().unwrap().upto, Sequence(appended + 2));
    assert_eq!(
        queue.stats().disk_bytes,
        on_disk(disk.directory.path()) + lock_rounding(disk.directory.path())
    );
}

fn on_disk(directory: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    entries.map(|metadata| metadata.blocks() * 512).sum()
}

/// The lock is counted as a block; some file systems keep so short a file elsewhere.
fn lock_rounding(directory: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    4096 - std::fs::metadata(directory.join("LOCK")).unwrap().blocks() * 512
}

#[test]
fn readers_run_beside_the_writer() {
    const BATCHES: u64 = 3_000;
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 32 << 10, ..options() };
    let (mut queue, _) = Queue::open(Fs::create(directory.path()).unwrap(), options).unwrap();
    let batch = |sequence: u64| Bytes::from(sequence.to_string().repeat(sequence as usize % 90));
    let read_on = |mut reader: millpond_queue::Reader<Fs>, told: std::sync::mpsc::Sender<Sequence>| {
        move || {
            let mut last = 0;
            while last < BATCHES {
                match reader.next().unwrap() {
                    Some(frame) => {
                        // What was reclaimed meanwhile is passed over, never anything else.
                        assert!(frame.sequence.0 > last);
                        last = frame.sequence.0;
                        assert_eq!(frame.payload, batch(last));
                        if told.send(frame.sequence).is_err() {
                            continue; // Nobody listens to this one.
                        }
                    }
                    None => thread::yield_now(),
                }
            }
        }
    };
    let (told, acks) = std::sync::mpsc::channel();
    let (ignored, _nobody) = std::sync::mpsc::channel();
    let readers = [
        thread::spawn(read_on(queue.reader(Sequence::FIRST), told)),
        thread::spawn(read_on(queue.reader(Sequence::FIRST), ignored)),
    ];
    for sequence in 1..=BATCHES {
        queue.append(BatchInfo::default(), &[batch(sequence)]).unwrap();
        if sequence % 7 == 0 || sequence == BATCHES {
            assert_eq!(queue.commit().unwrap().upto, Sequence(sequence + 1));
            acks.try_iter().for_each(|sequence| queue.ack(sequence));
            queue.checkpoint(0).unwrap();
        }
    }
    acks.iter().for_each(|sequence| queue.ack(sequence));
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(queue.checkpoint(0).unwrap().acked, Sequence(BATCHES + 1));
    assert_eq!((queue.stats().segments, queue.stats().damaged_spans), (1, 0));
}

/// Says that the writing is over, also when it ends in a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A look beside an owner that appends, rolls, gives up, is refused by its disk and reclaims: nothing in it is ever
/// misread, and nothing is taken for damage.
#[test]
fn looking_beside_a_writer_misreads_nothing() {
    const ROUNDS: u64 = 1_000;
    let disk = Disk::new();
    let limits = Options { segment_bytes_max: 32 << 10, size_bytes_max: 512 << 10, ..options() };
    let (mut queue, _) = disk.open_with(limits);
    let batch = |sequence: u64| Bytes::from(sequence.to_string().repeat(1 + sequence as usize % 700));
    let writing = AtomicBool::new(true);
    let looks = thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let storage = Fs::existing(disk.directory.path()).unwrap();
            let mut looks = 0;
            while writing.load(Ordering::Relaxed) || looks == 0 {
                let overview = inspect::overview(&storage).unwrap();
                assert!(overview.segments.iter().all(|segment| segment.state != SegmentState::Damaged));
                let mut last = 0;
                for entry in inspect::entries(storage.clone(), Sequence::FIRST) {
                    let Entry::Frame(frame) = entry.unwrap() else { panic!("damage beside a writer") };
                    assert!(frame.sequence.0 > last);
                    last = frame.sequence.0;
                    assert_eq!(frame.payload, batch(last));
                }
                looks += 1;
            }
            looks
        });
        let over = Over(&writing);
        for round in 0..ROUNDS {
            for _ in 0..7 {
                let sequence = queue.durable().0 + queue.stats().staged_batches;
                while queue.append(BatchInfo::default(), &[batch(sequence)]).is_err() {
                    assert!(queue.drop_oldest().unwrap().is_some());
                }
            }
            if round % 20 == 7 {
                disk.faults.add(Fault { written: 300, ..Fault::next(Call::Write, Fault::EIO) });
            }
            // The fault may hit the making of a segment, or ask for another one; what is staged stays staged then.
            let durable = loop {
                match queue.commit() {
                    Ok(durable) => break durable.upto,
                    Err(CommitError::Full(_)) => assert!(queue.drop_oldest().unwrap().is_some()),
                    Err(CommitError::Failed(_)) => {}
                }
            };
            assert_eq!(durable, Sequence(7 * round + 8));
            let low = queue.acked().0;
            (low..low + 3).for_each(|sequence| queue.ack(Sequence(sequence)));
            queue.checkpoint(0).unwrap();
        }
        drop(over);
        looker.join().unwrap()
    });
    assert!(
        queue.stats().poisoned_segments > 5 && queue.stats().losses.full.batches > 0,
        "{:?}",
        queue.stats()
    );
    println!("{looks} looks beside {ROUNDS} commits");
}

#[test]
fn a_look_at_a_read_only_file_system_works() {
    const EROFS: i32 = 30;
    let disk = Disk::new();
    let (mut queue, _) = disk.open();
    append(&mut queue, "one").unwrap();
    assert_eq!(queue.commit().unwrap().upto, Sequence(2));
    drop(queue);
    let storage = Faulty::new(Fs::existing(disk.directory.path()).unwrap(), disk.faults.clone());
    for call in [
        Call::Create,
        Call::Rename,
        Call::Remove,
        Call::CreateDirectory,
        Call::SyncDirectory,
        Call::Write,
        Call::SyncData,
        Call::Allocate,
        Call::SetLen,
    ] {
        disk.faults.add(Fault::always(call, EROFS));
    }
    assert_eq!(inspect::overview(&storage).unwrap().pending_batches, 1);
    let entries: Vec<_> = inspect::entries(storage.clone(), Sequence::FIRST).map(Result::unwrap).collect();
    assert!(matches!(&entries[..], [Entry::Frame(frame)] if frame.payload == "one"), "{entries:?}");
    assert_eq!(repair::plan(&storage).unwrap(), []);
}
