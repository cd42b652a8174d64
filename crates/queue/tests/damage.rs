//! What is read from damaged files: every frame that is not damaged itself, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

use bytes::Bytes;
use millpond_queue::{BatchInfo, Finding, OpenError, Options, Queue, Sequence, storage::mem::Mem};

const FRAMES: u64 = 6;
const HEADER: usize = 4096;

fn options() -> Options {
    Options { segment_bytes_max: 16 << 10, free_bytes_min: 0, read_ahead_bytes: 700, ..Options::default() }
}

fn payload(sequence: u64) -> Bytes {
    format!("payload of {sequence} ").repeat(sequence as usize % 4 + 1).into()
}

fn frame_len(sequence: u64) -> usize {
    80 + payload(sequence).len()
}

/// Where a frame begins.
fn frame_at(sequence: u64) -> usize {
    HEADER + (1..sequence).map(frame_len).sum::<usize>()
}

fn append(queue: &mut Queue<Mem>, sequence: u64) {
    let info = BatchInfo { events: 1, ..BatchInfo::default() };
    assert_eq!(queue.append(info, &[payload(sequence)]).unwrap(), Sequence(sequence));
}

/// A queue with one segment; `groups` says how many frames each commit has.
fn disk(groups: &[u64], close: bool) -> Mem {
    let mem = Mem::new(1 << 20);
    let (mut queue, _) = Queue::open(mem.clone(), options()).unwrap();
    let mut sequence = 1;
    for &frames in groups {
        for _ in 0..frames {
            append(&mut queue, sequence);
            sequence += 1;
        }
        assert_eq!(queue.commit().unwrap().upto, Sequence(sequence));
    }
    if close {
        queue.close(0).unwrap();
    }
    mem.copy()
}

const SEGMENT: &str = "00000000000000000001.seg";

/// The sequences read, what opening found, and the queue.
type Read = (Vec<u64>, Vec<Finding>, Queue<Mem>);

/// Opens the queue, reads everything, and checks each frame against what was written.
fn read(mem: &Mem) -> Result<Read, OpenError> {
    let (queue, recovery) = Queue::open(mem.clone(), options())?;
    let mut reader = queue.reader(Sequence::FIRST);
    let mut read = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        assert_eq!(frame.payload, payload(frame.sequence.0), "{}", frame.sequence);
        assert_eq!(frame.info.events, 1);
        read.push(frame.sequence.0);
    }
    Ok((read, recovery.findings, queue))
}

/// After anything, the queue takes batches, and gives them back after another opening.
fn check_goes_on(mem: &Mem, mut queue: Queue<Mem>) {
    let next = queue.durable().0;
    append(&mut queue, next);
    assert_eq!(queue.commit().unwrap().upto, Sequence(next + 1));
    drop(queue);
    let (read, _, _) = read(&mem.copy()).unwrap();
    assert_eq!(read.last(), Some(&next));
}

#[test]
fn cut_at_every_byte() {
    let whole = disk(&[2, 1, 3], false);
    let bytes = whole.content(SEGMENT).unwrap();
    let end = frame_at(FRAMES + 1);
    assert_eq!(bytes.len(), end);
    for len in 0..end {
        let mem = whole.copy();
        mem.put(SEGMENT, bytes[..len].to_vec());
        let (read, findings, queue) = read(&mem).unwrap();
        let left = (1..=FRAMES).take_while(|&sequence| frame_at(sequence + 1) <= len);
        assert_eq!(read, left.collect::<Vec<_>>(), "cut at {len}: {findings:?}");
        let clean = len >= HEADER && (1..=FRAMES).any(|sequence| frame_at(sequence) == len);
        match findings.as_slice() {
            [] => assert!(clean, "cut at {len}"),
            [Finding::TornCreation { .. }] => assert!(len < HEADER, "cut at {len}"),
            [Finding::TornTail { bytes, .. }] => {
                let last = (1..=FRAMES).map(frame_at).rfind(|&at| at < len).unwrap();
                assert_eq!(*bytes as usize, len - last, "cut at {len}");
            }
            other => panic!("cut at {len}: {other:?}"),
        }
        check_goes_on(&mem, queue);
    }
}

/// Flips every byte of the segment, one at a time.
#[track_caller]
fn check_flips(whole: &Mem, bits: u8, lost_finding: impl Fn(u64, &[Finding]) -> bool) {
    let bytes = whole.content(SEGMENT).unwrap();
    // Of the padding between header, its copy and the frames, some bytes stand for all.
    let padding = |at: usize| (64..2048).contains(&at) || (2112..HEADER).contains(&at);
    for at in (0..bytes.len()).filter(|&at| !padding(at) || at % 97 == 0) {
        let mut flipped = bytes.clone();
        flipped[at] ^= bits;
        let mem = whole.copy();
        mem.put(SEGMENT, flipped);
        let (read, findings, queue) = read(&mem).unwrap();
        let hit = (1..=FRAMES).find(|&sequence| (frame_at(sequence)..frame_at(sequence + 1)).contains(&at));
        let cut = hit.is_some_and(|hit| lost_finding(hit, &findings));
        let expected: Vec<u64> = match hit {
            Some(hit) if cut => (1..hit).collect(),
            hit => (1..=FRAMES).filter(|&sequence| Some(sequence) != hit).collect(),
        };
        assert_eq!(read, expected, "flipped {at}: {findings:?}");
        if let Some(hit) = hit.filter(|_| !cut) {
            assert_eq!(queue.stats().damaged_batches, 1, "flipped {at}");
            check_quarantine(&mem, queue, hit, at);
        } else {
            check_goes_on(&mem, queue);
        }
    }
}

/// The damaged bytes are set aside, and the segment goes once the rest is acknowledged.
fn check_quarantine(mem: &Mem, mut queue: Queue<Mem>, hit: u64, at: usize) {
    append(&mut queue, FRAMES + 1);
    assert_eq!(queue.commit().unwrap().upto, Sequence(FRAMES + 2));
    for sequence in (1..=FRAMES + 1).filter(|&sequence| sequence != hit) {
        queue.ack(Sequence(sequence));
    }
    let outcome = queue.checkpoint(0).unwrap();
    assert_eq!(outcome.acked, Sequence(FRAMES + 2), "flipped {at}");
    assert_eq!(outcome.reclaimed_segments, 1, "flipped {at}");
    let kept: Vec<_> = mem.names().into_iter().filter(|name| name.starts_with("quarantine/")).collect();
    assert_eq!(kept.len(), 1, "flipped {at}: {kept:?}");
    assert!(kept[0].contains(&format!("-{:012}-", frame_at(hit))), "flipped {at}: {kept:?}");
    assert_eq!(mem.content(&kept[0]).unwrap().len(), frame_len(hit));
}

#[test]
fn flip_every_byte_of_a_sealed_segment() {
    for bits in [0x01, 0x80, 0xFF] {
        // The last one is proven by the seal.
        check_flips(&disk(&[2, 1, 3], true), bits, |_, _| false);
    }
}

#[test]
fn flip_every_byte_of_the_tail() {
    for bits in [0x01, 0x80, 0xFF] {
        // Every frame is a commit of its own: a bad one is damage, but for the last one, which
        // cannot be told from a commit that was interrupted.
        check_flips(&disk(&[1; FRAMES as usize], false), bits, |hit, findings| {
            assert_eq!(hit == FRAMES, matches!(findings, [Finding::TornTail { .. }]), "{findings:?}");
            hit == FRAMES
        });
    }
}

#[test]
fn a_torn_group_is_cut_although_good_frames_follow() {
    let whole = disk(&[3, 3], false);
    let mut bytes = whole.content(SEGMENT).unwrap();
    bytes[frame_at(5) + 2] ^= 1;
    whole.put(SEGMENT, bytes);
    let (read, findings, queue) = read(&whole).unwrap();
    assert_eq!(read, [1, 2, 3, 4]);
    assert!(matches!(findings.as_slice(), [Finding::TornTail { .. }]), "{findings:?}");
    check_goes_on(&whole, queue);
}

#[test]
fn the_cursor_tells_a_torn_commit_from_lost_data() {
    let mem = Mem::new(1 << 20);
    let (mut queue, _) = Queue::open(mem.clone(), options()).unwrap();
    for sequence in 1..=FRAMES {
        append(&mut queue, sequence);
    }
    assert_eq!(queue.commit().unwrap().upto, Sequence(FRAMES + 1));
    queue.checkpoint(0).unwrap();
    let whole = mem.copy();
    let bytes = whole.content(SEGMENT).unwrap();
    for len in HEADER..bytes.len() {
        let mem = whole.copy();
        mem.put(SEGMENT, bytes[..len].to_vec());
        let (read, findings, queue) = read(&mem).unwrap();
        let left = (1..=FRAMES).take_while(|&sequence| frame_at(sequence + 1) <= len).count() as u64;
        assert_eq!(read, (1..=left).collect::<Vec<_>>(), "cut at {len}");
        assert!(findings.iter().any(Finding::is_loss), "cut at {len}: {findings:?}");
        assert_eq!(queue.stats().damaged_batches, FRAMES - left, "cut at {len}: {findings:?}");
        assert_eq!(queue.durable(), Sequence(FRAMES + 1));
        check_goes_on(&mem, queue);
    }
}

#[test]
fn zeros_behind_the_last_frame_are_unwritten_space() {
    let mem = disk(&[1, 1], false);
    let mut bytes = mem.content(SEGMENT).unwrap();
    bytes.resize(bytes.len() + 5_000, 0);
    mem.put(SEGMENT, bytes);
    let (read, findings, queue) = read(&mem).unwrap();
    assert_eq!((read, findings), (vec![1, 2], vec![]));
    check_goes_on(&mem, queue);
}

#[test]
fn a_newer_version_is_named_and_nothing_is_changed() {
    let mem = disk(&[1], false);
    let mut bytes = mem.content(SEGMENT).unwrap();
    bytes[8] = 2;
    bytes[2048 + 8] = 2;
    mem.put(SEGMENT, bytes.clone());
    match read(&mem) {
        Err(OpenError::Unsupported { file, version: 2, known: 1 }) => assert_eq!(file, SEGMENT),
        other => panic!("{other:?}"),
    }
    assert_eq!(mem.content(SEGMENT).unwrap(), bytes);
}

#[test]
fn a_file_that_only_has_the_name_of_a_segment_is_refused() {
    let mem = disk(&[1], true);
    mem.put("00000000000000000002.seg", b"holiday pictures".repeat(1000));
    match read(&mem) {
        Err(OpenError::Foreign { file, .. }) => assert_eq!(file, "00000000000000000002.seg"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_segment_is_counted_and_passed() {
    let mem = Mem::new(1 << 20);
    let (mut queue, _) =
        Queue::open(mem.clone(), Options { segment_bytes_max: 8 << 10, ..options() }).unwrap();
    for sequence in 1..=200 {
        append(&mut queue, sequence);
        assert_eq!(queue.commit().unwrap().upto, Sequence(sequence + 1));
    }
    queue.close(0).unwrap();
    let segments: Vec<_> = mem.names().into_iter().filter(|name| name.ends_with(".seg")).collect();
    assert!(segments.len() > 4);
    let base = |name: &str| name.trim_end_matches(".seg").parse::<u64>().unwrap();
    mem.take(&segments[2]);
    let (gone, end) = (base(&segments[2]), base(&segments[3]));
    let (read, findings, mut queue) = read(&mem).unwrap();
    assert_eq!(findings, []);
    assert_eq!(read, (1..gone).chain(end..=200).collect::<Vec<_>>());
    assert_eq!((queue.stats().damaged_batches, queue.stats().damaged_bytes), (end - gone, 0));
    for sequence in read {
        queue.ack(Sequence(sequence));
    }
    assert_eq!(queue.checkpoint(0).unwrap().acked, Sequence(201));
}
