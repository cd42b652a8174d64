//! What goes and what stays: limits, ages, retention, consumers, packing, on a real directory.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

use std::{fs, path::Path};

use bytes::Bytes;
use millpond_queue::{
    AppendError, BatchInfo, ConsumerError, Finding, Fs, FullReason, Options, Queue, Reader, Retain, Sequence,
};
use tempfile::TempDir;

const BATCH_BYTES: usize = 10_000;

fn options() -> Options {
    Options { segment_bytes_max: 64 << 10, size_bytes_max: 1 << 20, free_bytes_min: 0, ..Options::default() }
}

fn open(directory: &Path, options: Options) -> Queue<Fs> {
    Queue::open(Fs::create(directory).unwrap(), options).unwrap().0
}

fn queue(options: Options) -> (TempDir, Queue<Fs>) {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(directory.path(), options);
    (directory, queue)
}

fn payload(sequence: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(sequence);
    std::iter::repeat_with(|| random.u8(..)).take(BATCH_BYTES).collect()
}

fn info(sequence: u64) -> BatchInfo {
    BatchInfo {
        events: sequence as u32,
        raw_bytes: 7,
        appended_ms: 1_000 * sequence as i64,
        ..BatchInfo::default()
    }
}

/// Appends a batch that was handed in at `sequence` seconds, and commits it.
fn append(queue: &mut Queue<Fs>) -> Result<(), AppendError> {
    let sequence = queue.durable().0;
    queue.append(info(sequence), &[payload(sequence)])?;
    assert_eq!(queue.commit().unwrap().upto, Sequence(sequence + 1));
    Ok(())
}

fn fill(queue: &mut Queue<Fs>, batches: u64) {
    (0..batches).for_each(|_| append(queue).unwrap());
}

fn read(reader: &mut Reader<Fs>) -> Vec<u64> {
    let mut read = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        assert_eq!(frame.payload, payload(frame.sequence.0));
        read.push(frame.sequence.0);
    }
    read
}

fn deliver(queue: &mut Queue<Fs>, upto: u64) {
    (queue.acked().0..upto).for_each(|sequence| queue.ack(Sequence(sequence)));
}

fn segments(directory: &TempDir) -> usize {
    let entries = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).count()
}

#[test]
fn the_oldest_make_room_for_the_newest() {
    let (directory, mut queue) = queue(options());
    let mut lost = 0;
    for _ in 0..400 {
        while let Err(error) = append(&mut queue) {
            assert!(matches!(error, AppendError::Full(FullReason::SizeMax)), "{error}");
            let dropped = queue.drop_oldest().unwrap().expect("there are older segments");
            assert!(dropped.lost.batches > 0);
            lost += dropped.lost.batches;
        }
        assert!(queue.stats().disk_bytes <= options().size_bytes_max);
    }
    let stats = queue.stats();
    assert_eq!((stats.acked, stats.batches), (Sequence(1 + lost), 400 - lost));
    assert_eq!((stats.losses.full.batches, stats.losses.full.events), (lost, (1..=lost).sum::<u64>()));
    assert_eq!(stats.losses.full.payload_bytes, lost * BATCH_BYTES as u64);
    assert_eq!(stats.events, (lost + 1..=400).sum::<u64>());
    assert!(stats.batches as usize * BATCH_BYTES > 800 << 10, "no more than needed: {stats:?}");
    drop(queue);
    // It is known after a crash as well.
    let queue = open(directory.path(), options());
    assert_eq!(queue.stats().losses, stats.losses);
    assert_eq!(read(&mut queue.reader(queue.acked())), (lost + 1..=400).collect::<Vec<_>>());
}

#[test]
fn the_segment_that_is_written_to_is_never_dropped() {
    let (_directory, mut queue) = queue(options());
    assert_eq!(queue.drop_oldest().unwrap(), None);
    fill(&mut queue, 3);
    assert_eq!(queue.drop_oldest().unwrap(), None);
    assert_eq!((queue.stats().batches, queue.stats().losses.full.batches), (3, 0));
}

#[test]
fn a_batch_that_was_given_out_is_lost_only_if_it_is_not_acknowledged() {
    let (directory, mut queue) = queue(options());
    fill(&mut queue, 20);
    let mut reader = queue.reader(queue.acked());
    for sequence in 1..=2 {
        assert_eq!(reader.next().unwrap().unwrap().sequence, Sequence(sequence));
    }
    let dropped = queue.drop_oldest().unwrap().unwrap();
    let in_segment = dropped.lost.batches + 2;
    assert_eq!(queue.acked(), Sequence(1 + in_segment), "all of the segment");
    assert_eq!(queue.stats().losses.full.batches, in_segment - 2);
    assert_eq!(
        reader.next().unwrap().unwrap().sequence,
        queue.acked(),
        "the others are not given out any more"
    );
    queue.ack(Sequence(1));
    queue.checkpoint(0).unwrap();
    assert_eq!(queue.stats().losses.full.batches, in_segment - 2);
    drop(queue);
    let queue = open(directory.path(), options());
    assert_eq!(queue.stats().losses.full.batches, in_segment - 1, "nobody acknowledged 2");
}

#[test]
fn what_is_too_old_expires() {
    let (_directory, mut queue) = queue(options());
    fill(&mut queue, 50);
    let expired = queue.expire(20_000).unwrap();
    assert_eq!((expired.lost.batches, expired.lost.events), (19, (1..20).sum::<u64>()));
    assert_eq!(expired.oldest_appended_ms, Some(20_000));
    assert_eq!(
        (queue.acked(), queue.stats().oldest_appended_ms),
        (Sequence(20), Some(19_000)),
        "to the segment"
    );
    let again = queue.expire(20_000).unwrap();
    assert_eq!((again.lost.batches, again.oldest_appended_ms), (0, Some(20_000)));
    assert_eq!(read(&mut queue.reader(Sequence::FIRST)), (20..=50).collect::<Vec<_>>());
    assert!(queue.checkpoint(0).unwrap().reclaimed_segments >= 2);
    let all = queue.expire(i64::MAX).unwrap();
    assert_eq!((all.lost.batches, all.oldest_appended_ms), (0, None), "all of them were given out");
    assert_eq!((queue.stats().batches, queue.stats().events), (0, 0));
    assert_eq!(queue.stats().losses.expired.batches, 19);
}

#[test]
fn a_person_gives_up_a_range() {
    let (directory, mut queue) = queue(options());
    fill(&mut queue, 50);
    queue.add_consumer("audit", Sequence(31)).unwrap();
    deliver(&mut queue, 6);
    let purged = queue.purge(Sequence(31)).unwrap();
    assert_eq!((purged.lost.batches, purged.lost.events), (25, (6..31).sum::<u64>()));
    assert_eq!(purged.lost.payload_bytes, 25 * BATCH_BYTES as u64);
    assert_eq!(queue.purge(Sequence(31)).unwrap().lost.batches, 0, "once");
    assert!(queue.checkpoint(0).unwrap().reclaimed_segments >= 4);
    drop(queue);
    let mut queue = open(directory.path(), options());
    let stats = queue.stats();
    assert_eq!((stats.losses.purged, stats.losses.full.batches), (purged.lost, 0));
    assert_eq!((queue.acked(), stats.batches), (Sequence(31), 20));
    assert_eq!(read(&mut queue.consumer("audit").unwrap().reader(Sequence::FIRST)).len(), 20);
    // Everything, for everybody, and nothing that is not there yet.
    assert_eq!(queue.purge(Sequence(u64::MAX)).unwrap().lost.batches, 20);
    assert_eq!(queue.consumer("audit").unwrap().acked(), Sequence(51));
    queue.checkpoint(0).unwrap();
    fill(&mut queue, 1);
    assert_eq!(read(&mut queue.reader(Sequence::FIRST)), [51]);
    assert_eq!(queue.stats().batches, 1);
}

#[test]
fn what_is_damaged_is_not_counted_as_purged() {
    let (directory, mut queue) = queue(options());
    fill(&mut queue, 20);
    queue.close(0).unwrap();
    let first = directory.path().join(format!("{:020}.seg", 1));
    let mut bytes = fs::read(&first).unwrap();
    bytes[4096] ^= 1; // The header of the first frame.
    fs::write(&first, bytes).unwrap();
    let mut queue = open(directory.path(), options());
    assert_eq!(queue.purge(Sequence(3)).unwrap().lost.batches, 1);
    let stats = queue.stats();
    assert_eq!((stats.damaged_batches, stats.losses.purged.batches, stats.acked), (1, 1, Sequence(3)));
}

#[test]
fn batches_of_unknown_age_go_with_an_older_one_behind_them_or_stay() {
    let (_directory, mut queue) = queue(options());
    let append = |queue: &mut Queue<Fs>, appended_ms| {
        let sequence = queue.durable().0;
        let info = BatchInfo { appended_ms, ..BatchInfo::default() };
        queue.append(info, &[payload(sequence)]).unwrap();
        assert_eq!(queue.commit().unwrap().upto, Sequence(sequence + 1));
    };
    // Over several segments.
    (0..10).for_each(|_| append(&mut queue, 0));
    assert_eq!(queue.expire(i64::MAX).unwrap().lost.batches, 0);
    append(&mut queue, 500);
    (0..10).for_each(|_| append(&mut queue, 0));
    append(&mut queue, 900);
    let expired = queue.expire(600).unwrap();
    assert_eq!((expired.lost.batches, expired.oldest_appended_ms), (11, Some(900)));
    assert_eq!(queue.acked(), Sequence(12));
}

#[test]
fn what_was_delivered_is_kept_for_a_time() {
    const HOUR: i64 = 3_600_000;
    let retain = Retain { for_ms: Some(HOUR as u64), bytes_max: None };
    let (directory, mut queue) = queue(Options { retain, ..options() });
    fill(&mut queue, 30);
    deliver(&mut queue, 20);
    assert_eq!(queue.checkpoint(HOUR).unwrap().reclaimed_segments, 0);
    assert!(queue.stats().delivered_bytes > 100_000);
    deliver(&mut queue, 31);
    assert_eq!(queue.checkpoint(HOUR + HOUR / 2).unwrap().reclaimed_segments, 0);
    assert_eq!(read(&mut queue.reader(Sequence::FIRST)), (1..=30).collect::<Vec<_>>());
    drop(queue);
    // The time goes on while nobody has the queue open.
    let mut queue = open(directory.path(), Options { retain, ..options() });
    assert_eq!(queue.checkpoint(2 * HOUR - 1).unwrap().reclaimed_segments, 0);
    let before = segments(&directory);
    assert_eq!(
        queue.checkpoint(2 * HOUR + HOUR / 30).unwrap().reclaimed_segments,
        3,
        "those of the first 19"
    );
    assert_eq!(segments(&directory), before - 3);
    assert!(queue.checkpoint(2 * HOUR + HOUR * 2 / 3).unwrap().reclaimed_segments > 0);
    assert_eq!(segments(&directory), 1);
}

#[test]
fn what_was_delivered_is_kept_up_to_a_size_and_gives_way() {
    let retain = Retain { for_ms: None, bytes_max: Some(300 << 10) };
    let (_directory, mut queue) = queue(Options { retain, ..options() });
    fill(&mut queue, 60);
    deliver(&mut queue, 61);
    queue.checkpoint(0).unwrap();
    let kept = queue.stats().delivered_bytes;
    assert!((230 << 10..=300 << 10).contains(&kept), "{kept}");
    // Whatever is kept goes before the queue says that it is full.
    let mut appended = 0;
    while append(&mut queue).is_ok() {
        appended += 1;
    }
    assert_eq!(queue.stats().delivered_bytes, 0);
    assert!(appended * BATCH_BYTES > 800 << 10, "only {appended} batches");
}

#[test]
fn nothing_is_kept_without_being_asked_for() {
    let (directory, mut queue) = queue(options());
    fill(&mut queue, 60);
    deliver(&mut queue, 61);
    queue.checkpoint(0).unwrap();
    assert_eq!((segments(&directory), queue.stats().delivered_bytes), (1, 0));
}

#[test]
fn each_consumer_has_its_own_place() {
    let (directory, mut queue) = queue(options());
    fill(&mut queue, 30);
    let mut audit = queue.add_consumer("audit", Sequence(5)).unwrap();
    let mut reader = audit.reader(audit.acked());
    assert_eq!(read(&mut reader), (5..=30).collect::<Vec<_>>());
    for sequence in [5, 6, 8] {
        audit.ack(Sequence(sequence));
    }
    assert_eq!(audit.acked(), Sequence(7));
    deliver(&mut queue, 31);
    queue.checkpoint(0).unwrap();
    assert_eq!(queue.stats().batches, 0);
    drop(queue);

    let mut queue = open(directory.path(), options());
    assert_eq!(queue.acked(), Sequence(31));
    assert_eq!(queue.consumers().collect::<Vec<_>>(), ["audit"]);
    let audit = queue.consumer("audit").unwrap();
    let expected: Vec<_> = [7].into_iter().chain(9..=30).collect();
    assert_eq!(read(&mut audit.reader(audit.acked())), expected);
    assert_eq!(queue.checkpoint(0).unwrap().reclaimed_segments, 0, "what one has not seen stays");
    assert!(queue.remove_consumer("audit").unwrap());
    assert!(queue.checkpoint(0).unwrap().reclaimed_segments >= 3);
    assert!(!queue.remove_consumer("audit").unwrap());
    assert!(queue.consumer("audit").is_none());
    assert_eq!(segments(&directory), 1);
}

#[test]
fn a_consumer_whose_making_was_interrupted_is_none() {
    let (directory, mut queue) = queue(options());
    fill(&mut queue, 3);
    drop(queue);
    for slot in ["a", "b"] {
        fs::write(directory.path().join(format!("consumer-half.{slot}")), [0; 4096]).unwrap();
    }
    let (queue, recovery) = Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
    assert_eq!(recovery.findings, [Finding::Leftover { file: "consumer-half".to_owned() }]);
    assert_eq!(queue.consumers().count(), 0);
    assert!(!directory.path().join("consumer-half.a").exists());
}

#[test]
fn a_consumer_needs_a_name_and_room() {
    let (_directory, mut queue) = queue(options());
    for name in ["", "a/b", "..\\x", "é", &"n".repeat(65)] {
        assert!(matches!(queue.add_consumer(name, Sequence(1)), Err(ConsumerError::Name { .. })), "{name}");
    }
    while append(&mut queue).is_ok() {}
    let mut added = 0;
    while queue.add_consumer(&format!("c{added}"), Sequence(1)).is_ok() {
        added += 1;
    }
    assert!(matches!(
        queue.add_consumer("one-more", Sequence(1)),
        Err(ConsumerError::Full(FullReason::SizeMax))
    ));
    assert!(queue.stats().disk_bytes <= options().size_bytes_max);
}

#[test]
fn packed_batches_take_less_space_and_come_back_as_they_were() {
    let (directory, mut queue) = queue(Options { pack: Some(3), ..options() });
    let lines: Bytes = "GET /index.html 200 12ms\n".repeat(2_000).into();
    for sequence in 1..=20 {
        // What cannot be packed is stored as it is.
        let batch = if sequence % 2 == 0 { payload(sequence) } else { lines.clone() };
        queue.append(info(sequence), &[batch.slice(..1_000), batch.slice(1_000..)]).unwrap();
        assert_eq!(queue.commit().unwrap().upto, Sequence(sequence + 1));
    }
    let stats = queue.stats();
    assert_eq!(stats.payload_bytes, (10 * BATCH_BYTES + 10 * lines.len()) as u64, "as they will be sent");
    queue.close(0).unwrap();
    let queue = open(directory.path(), options());
    assert_eq!(queue.stats().payload_bytes, stats.payload_bytes);
    assert!(queue.stats().disk_bytes < stats.payload_bytes / 3, "{:?}", queue.stats());
    let mut reader = queue.reader(Sequence::FIRST);
    for sequence in 1..=20 {
        let expected = if sequence % 2 == 0 { payload(sequence) } else { lines.clone() };
        assert_eq!(reader.next().unwrap().unwrap().payload, expected);
    }
}

#[test]
fn what_is_written_is_read_after_the_process_died_and_shown_only_when_synced() {
    let (directory, mut queue) = queue(options());
    for sequence in 1..=3 {
        queue.append(info(sequence), &[payload(sequence)]).unwrap();
        assert_eq!(queue.write().unwrap().upto, Sequence(sequence + 1));
    }
    assert_eq!((queue.durable(), queue.written()), (Sequence(1), Sequence(4)));
    assert_eq!(read(&mut queue.reader(Sequence::FIRST)), []);
    assert_eq!(queue.commit().unwrap().upto, Sequence(4));
    assert_eq!(read(&mut queue.reader(Sequence::FIRST)), [1, 2, 3]);
    queue.append(info(4), &[payload(4)]).unwrap();
    assert_eq!(queue.write().unwrap().upto, Sequence(5));
    drop(queue); // Like a kill: what the kernel has stays.
    let queue = open(directory.path(), options());
    assert_eq!(read(&mut queue.reader(Sequence::FIRST)), [1, 2, 3, 4]);
}

#[test]
fn a_reader_that_keeps_up_reads_nothing_back() {
    let (directory, mut queue) = queue(options());
    let mut reader = queue.reader(Sequence::FIRST);
    assert_eq!(read(&mut reader), []);
    append(&mut queue).unwrap();
    // Nobody could read this file now.
    let path = directory.path().join(format!("{:020}.seg", 1));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, vec![0; bytes.len()]).unwrap();
    assert_eq!(read(&mut reader), [1]);
    fs::write(&path, bytes).unwrap();
    let mut another = queue.reader(Sequence::FIRST);
    assert_eq!(read(&mut another), [1], "it was handed over once, and is on disk");
    fill(&mut queue, 10);
    assert_eq!(read(&mut reader), (2..=11).collect::<Vec<_>>());
}
