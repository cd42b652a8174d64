//! What can be seen of a queue from outside: its contents, one batch, all damage; beside a writer and on a dead disk.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bytes::Bytes;
use millpond_queue::{
    BatchInfo, Fs, Options, Queue, Sequence, Storage, Tally,
    inspect::{self, Checked, Damage, Entry, SegmentState, Verify, Whereabouts},
    storage::mem::Mem,
};

/// A queue of `fixtures/queue`.
fn fixture(case: &str) -> Mem {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/queue/v1").join(case);
    let mem = Mem::new(1 << 30);
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        mem.put(path.file_name().unwrap().to_str().unwrap(), fs::read(&path).unwrap());
    }
    mem
}

/// A segment's file in them.
fn segment(base: u64) -> String {
    format!("{base:020}.seg")
}

/// The batches `first` to `last` of the fixtures, whose batch n has n events.
fn tally(batches: impl Iterator<Item = u64>) -> Tally {
    batches.fold(Tally::default(), |sum, n| {
        let bytes = format!("batch {n} of the pond. ").len() as u64 * (1 + n % 3);
        sum.plus(Tally { batches: 1, events: n, payload_bytes: bytes, raw_bytes: 100 * n })
    })
}

/// All damage, and how many batches and segments are good.
fn verify(mem: &Mem) -> (Vec<Damage>, u64, u64) {
    let (mut damage, mut batches, mut segments, mut frames) = (Vec::new(), 0, 0, 0);
    for checked in Verify::new(mem.copy()).unwrap() {
        match checked.unwrap() {
            Checked::Frame { .. } => frames += 1,
            Checked::Damaged(found) => damage.push(found),
            Checked::Segment { batches: good, .. } => {
                batches += good;
                segments += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(frames, batches);
    (damage, batches, segments)
}

#[test]
fn what_is_pending_is_known_to_the_batch() {
    let check = |case: &str, pending: &[u64]| {
        let overview = inspect::overview(&fixture(case)).unwrap();
        assert_eq!(overview.pending, tally(pending.iter().copied()), "{case}");
        assert_eq!(overview.pending_batches, pending.len() as u64, "{case}");
        let sum = overview.segments.iter().map(|segment| segment.pending).fold(Tally::default(), Tally::plus);
        assert_eq!(sum, overview.pending, "{case}");
        assert_eq!(overview.oldest.map(|info| u64::from(info.events)), pending.first().copied(), "{case}");
        overview
    };
    let clean = check("clean", &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!((clean.end, clean.acked), (Sequence(13), Some(Sequence(3))));
    check("torn-tail", &[1, 2, 3, 4, 5, 6, 7, 8]);
    check("packed", &[1, 2, 3, 4, 5, 6, 7, 8]);
    let audit = inspect::overview(&fixture("losses-and-a-consumer")).unwrap();
    let [consumer] = &audit.consumers[..] else { panic!("{:?}", audit.consumers) };
    assert_eq!((&*consumer.name, consumer.acked), ("audit", Sequence(2)));
    assert_eq!(consumer.pending, tally(2..13));
    // 8, 10 and 11 are settled above the mark, and count as average ones of their segments.
    assert_eq!((audit.pending.batches, audit.oldest.unwrap().events), (3, 7));
    let [_, second, last] = &audit.segments[..] else { panic!("{:?}", audit.segments) };
    assert_eq!((second.pending.batches, second.pending.events), (1, (7 + 8) / 2 + 1));
    assert_eq!((last.pending.batches, last.pending.events), (2, (9 + 10 + 11 + 12) / 2));
}

#[test]
fn headers_tell_what_frames_do_but_for_payloads() {
    for case in ["clean", "packed", "given-up-segment"] {
        let headers: Vec<_> = inspect::headers(fixture(case), Sequence(3)).map(Result::unwrap).collect();
        let entries = inspect::entries(fixture(case), Sequence(3)).map(|entry| match entry.unwrap() {
            Entry::Frame(frame) => (frame.sequence, frame.info, frame.payload.len() as u64),
            other => panic!("{other:?}"),
        });
        let headers: Vec<_> = headers.iter().map(|one| (one.sequence, one.info, one.payload_bytes)).collect();
        assert_eq!(headers, entries.collect::<Vec<_>>(), "{case}");
    }
    // The header of what cannot be read is as good as ever.
    assert_eq!(inspect::headers(fixture("flipped-bit"), Sequence(1)).count(), 12);
}

#[test]
fn where_a_batch_is() {
    let find = |case: &str, sequence| inspect::find(&fixture(case), Sequence(sequence)).unwrap();
    for (case, sequence) in [("clean", 1), ("clean", 12), ("packed", 4), ("given-up-segment", 8)] {
        match find(case, sequence) {
            Whereabouts::Here { file, position, bytes, packed, frame } => {
                assert_eq!(frame.sequence, Sequence(sequence));
                assert!(frame.payload.starts_with(format!("batch {sequence} of").as_bytes()));
                assert_eq!(packed, case == "packed");
                let content = fixture(case).content(&file).unwrap();
                assert_eq!(content[position as usize..][..4], *b"\xf5mpF");
                let stored = u32::from_le_bytes(content[position as usize + 8..][..4].try_into().unwrap());
                assert_eq!(bytes, 80 + u64::from(stored));
            }
            other => panic!("{case} {sequence}: {other:?}"),
        }
    }
    assert_eq!(find("clean", 0), Whereabouts::Gone);
    assert_eq!(find("clean", 13), Whereabouts::NotYet { end: Sequence(13) });
    assert_eq!(find("clean", u64::MAX), Whereabouts::NotYet { end: Sequence(13) });
    assert_eq!(find("gap", 7), Whereabouts::Missing);
    let Whereabouts::Damaged(damage) = find("torn-tail", 9) else {
        // An interrupted commit: nobody was told of it.
        assert_eq!(find("torn-tail", 9), Whereabouts::NotYet { end: Sequence(9) });
        return;
    };
    panic!("{damage:?}");
}

#[test]
fn a_batch_that_cannot_be_read_is_told_from_one_that_has_gone() {
    let mem = fixture("flipped-bit");
    // 2 is acknowledged, and its segment is still there.
    match inspect::find(&mem, Sequence(2)).unwrap() {
        Whereabouts::Damaged(damage) => assert_eq!((damage.first, damage.end), (Sequence(2), Sequence(3))),
        other => panic!("{other:?}"),
    }
    mem.remove(&segment(1)).unwrap();
    assert_eq!(inspect::find(&mem, Sequence(2)).unwrap(), Whereabouts::Gone);
}

#[test]
fn a_check_names_every_damaged_place() {
    for (case, batches, segments) in
        [("clean", 12, 3), ("packed", 8, 2), ("given-up-segment", 10, 3), ("torn-tail", 8, 2)]
    {
        assert_eq!(verify(&fixture(case)), (Vec::new(), batches, segments), "{case}");
    }
    let (damage, batches, _) = verify(&fixture("gap"));
    assert!(
        matches!(&damage[..], [one] if (one.first, one.end, one.bytes) == (Sequence(6), Sequence(9), 0) && one.reason.contains("in no file"))
    );
    assert_eq!(batches, 9);

    let mem = fixture("flipped-bit");
    let mut first = mem.content(&segment(1)).unwrap();
    first[2048 + 20] ^= 1;
    mem.put(&segment(1), first);
    let mut last = mem.content(&segment(9)).unwrap();
    last[50] ^= 1;
    mem.put(&segment(9), last);
    let (damage, batches, segments) = verify(&mem);
    let places: Vec<_> =
        damage.iter().map(|one| (&*one.file, one.position, one.bytes, one.first.0, one.end.0)).collect();
    let (first, last) = (segment(1), segment(9));
    let position = 4096 + 80 + "batch 1 of the pond. ".len() as u64 * 2;
    assert_eq!(places, [(&*first, 2048, 96, 1, 1), (&*first, position, 143, 2, 3), (&*last, 0, 96, 9, 9)]);
    assert_eq!((batches, segments), (11, 3));
}

#[test]
fn a_seal_that_contradicts_its_frames_is_damage() {
    let mem = fixture("clean");
    let mut bytes = mem.content(&segment(6)).unwrap();
    // The seal of a segment whose frames are the same, but for one event more.
    let seal_at = bytes.len() - 240;
    bytes[seal_at + 80 + 96] ^= 1;
    let body = crc32fast::hash(&bytes[seal_at + 80..]);
    bytes[seal_at + 72..][..4].copy_from_slice(&body.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new_with_initial(0xA1B2_C3D4);
    hasher.update(&bytes[seal_at..seal_at + 76]);
    let header = hasher.finalize();
    bytes[seal_at + 76..][..4].copy_from_slice(&header.to_le_bytes());
    mem.put(&segment(6), bytes);
    let (damage, batches, segments) = verify(&mem);
    assert!(
        matches!(&damage[..], [one] if one.file == segment(6) && one.reason.contains("seal")),
        "{damage:?}"
    );
    assert_eq!((batches, segments), (12, 3));
}

/// Reclaiming removes the oldest first, and syncs the directory once: after a power cut any of them may be back.
#[test]
fn what_was_reclaimed_and_came_back_in_part_is_no_damage() {
    let mem = fixture("clean");
    let (mut queue, _) =
        Queue::open(mem.clone(), Options { free_bytes_min: 0, ..Options::default() }).unwrap();
    let mut reader = queue.reader(Sequence(1));
    while let Some(frame) = reader.next().unwrap() {
        queue.ack(frame.sequence);
    }
    let first = mem.content(&segment(1)).unwrap();
    queue.close(0).unwrap();
    assert_eq!(mem.content(&segment(6)), None, "reclaimed");
    mem.put(&segment(1), first);
    assert_eq!(verify(&mem).0, []);
    assert!(
        inspect::entries(mem.copy(), Sequence::FIRST).all(|entry| matches!(entry.unwrap(), Entry::Frame(_)))
    );
    assert_eq!(inspect::find(&mem, Sequence(7)).unwrap(), Whereabouts::Gone);
}

#[test]
fn the_last_two_saves_say_how_it_moves() {
    let marks = inspect::marks(&fixture("clean")).unwrap();
    let marks: Vec<_> =
        marks.iter().map(|mark| (&*mark.file, mark.generation, mark.acked, mark.settled)).collect();
    let expected = [("cursor.a", 3, Sequence(3), tally(1..3)), ("cursor.b", 2, Sequence(2), tally(1..2))];
    assert_eq!(marks, expected);
    assert_eq!(inspect::marks(&fixture("half-saved-cursor")).unwrap().len(), 1);
    assert_eq!(inspect::marks(&fixture("torn-tail")).unwrap(), []);
}

/// Says that the looking is over, also when it ends in a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A thousand looks beside a writer at full speed: no frame is misread, nothing is taken for damage, and no number goes back.
#[test]
fn a_thousand_looks_beside_a_writer() {
    const LOOKS: u64 = 1_000;
    let directory = tempfile::tempdir().unwrap();
    let limits = Options {
        segment_bytes_max: 512 << 10,
        size_bytes_max: 2 << 20,
        free_bytes_min: 0,
        ..Options::default()
    };
    let (mut queue, _) = Queue::open(Fs::create(directory.path()).unwrap(), limits).unwrap();
    let batch = |sequence: u64| Bytes::from(sequence.to_string().repeat(1 + sequence as usize % 7_000));
    let info = |sequence: u64| BatchInfo { events: sequence as u32 % 9, records: 1, ..BatchInfo::default() };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for _ in 0..7 {
                    let sequence = queue.durable().0 + queue.stats().staged_batches;
                    while queue.append(info(sequence), &[batch(sequence)]).is_err() {
                        assert!(queue.drop_oldest().unwrap().is_some());
                    }
                }
                assert_eq!(queue.commit().unwrap().upto, queue.durable());
                let low = queue.acked().0;
                (low..low + 3).for_each(|sequence| queue.ack(Sequence(sequence)));
                queue.checkpoint(0).unwrap();
            }
            queue.durable().0
        });
        let over = Over(&over);
        let storage = Fs::existing(directory.path()).unwrap();
        let (mut end, mut acked, mut seen, mut looks) = (0, None, 0, 0);
        while (looks < LOOKS || end < 3 * LOOKS) && !writer.is_finished() {
            looks += 1;
            let overview = inspect::overview(&storage).unwrap();
            assert!(
                overview.segments.iter().all(|segment| segment.state != SegmentState::Damaged),
                "{overview:?}"
            );
            assert!(
                overview.end.0 >= end && overview.acked >= acked,
                "{overview:?}, before: {end} {acked:?}"
            );
            (end, acked) = (overview.end.0, overview.acked);
            for checked in Verify::new(storage.clone()).unwrap() {
                let checked = checked.unwrap();
                assert!(!matches!(checked, Checked::Damaged(_)), "{checked:?}");
                seen += u64::from(matches!(checked, Checked::Frame { .. }));
            }
            let tail = overview.segments.last().map_or(Sequence::FIRST, |last| last.first);
            for entry in inspect::entries(storage.clone(), tail) {
                let Entry::Frame(frame) = entry.unwrap() else { panic!("damage beside a writer") };
                assert_eq!(frame.info, info(frame.sequence.0));
                assert_eq!(frame.payload, batch(frame.sequence.0));
            }
        }
        drop(over);
        let written = writer.join().unwrap();
        assert!(looks >= LOOKS);
        assert!(
            seen > 10 * LOOKS && written > LOOKS,
            "{seen} frames seen, {written} written: nothing was tried"
        );
    });
}
