//! Repair, with the normal reader as its judge: a healthy queue is not changed, and of a damaged one every batch is
//! read that was read before.
//!
//! `QUEUE_MUTATIONS` sets how many queues are damaged, `QUEUE_SEED` runs one.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

#[path = "support/mutate.rs"]
mod mutate;

use std::{collections::BTreeMap, env};

use bytes::Bytes;
use millpond_queue::{
    BatchInfo, Fs, OpenError, Options, Queue, Sequence,
    inspect::{self, Entry},
    repair::{Step, plan, repair},
    storage::mem::Mem,
};

fn options() -> Options {
    Options { segment_bytes_max: 8 << 10, free_bytes_min: 0, read_ahead_bytes: 1500, ..Options::default() }
}

fn payload(sequence: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(sequence);
    let len = random.usize(..900);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

/// A queue with several segments, some of it acknowledged, with or without a consumer, closed or killed.
fn healthy(random: &mut fastrand::Rng) -> Mem {
    let mem = Mem::new(1 << 22);
    let pack = random.bool().then_some(3);
    let (mut queue, _) = Queue::open(mem.clone(), Options { pack, ..options() }).unwrap();
    let batches = random.u64(1..40);
    for sequence in 1..=batches {
        let info = BatchInfo { events: 1, ..BatchInfo::default() };
        assert_eq!(queue.append(info, &[payload(sequence)]).unwrap(), Sequence(sequence));
        if random.u8(..3) == 0 || sequence == batches {
            assert_eq!(queue.commit().unwrap().upto, Sequence(sequence + 1));
        }
        if random.u8(..5) == 0 && queue.acked() < queue.durable() {
            queue.ack(queue.acked());
            queue.checkpoint(0).unwrap();
        }
    }
    if random.bool() {
        assert_eq!(
            queue.add_consumer("other", Sequence(random.u64(1..9))).unwrap().acked(),
            queue_first(&mem)
        );
    }
    if random.bool() {
        queue.close(0).unwrap();
    }
    mem.copy()
}

/// The first sequence that is still there: where a consumer starts that wants an earlier one.
fn queue_first(mem: &Mem) -> Sequence {
    let overview = inspect::overview(mem).unwrap();
    overview.consumers[0].acked
}

fn files(mem: &Mem) -> BTreeMap<String, Vec<u8>> {
    mem.names().into_iter().map(|name| (name.clone(), mem.content(&name).unwrap())).collect()
}

/// Everything that a reader gives from the beginning, or why it does not.
fn read(mem: &Mem) -> Result<Vec<u64>, OpenError> {
    let (queue, _) = Queue::open(mem.copy(), options())?;
    let mut reader = queue.reader(Sequence::FIRST);
    let mut read = Vec::new();
    // A foreign file in the middle ends the reading, as it would have ended the opening at the end.
    while let Ok(Some(frame)) = reader.next() {
        assert_eq!(frame.payload, payload(frame.sequence.0));
        read.push(frame.sequence.0);
    }
    Ok(read)
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    if let Ok(seed) = env::var("QUEUE_SEED") {
        let seed = seed.parse().unwrap();
        return seed..seed + 1;
    }
    0..env::var("QUEUE_MUTATIONS").map_or(default, |count| count.parse().unwrap())
}

#[test]
fn a_healthy_queue_is_not_changed() {
    for seed in seeds(1_000) {
        let mem = healthy(&mut fastrand::Rng::with_seed(seed));
        let before = files(&mem);
        assert_eq!(plan(&mem).unwrap(), [], "seed {seed}");
        assert_eq!(repair(&mem).unwrap(), [], "seed {seed}");
        assert_eq!(files(&mem), before, "seed {seed}");
    }
}

/// Damages a queue, repairs it, and compares. Says how many batches were read before and after.
fn damage_and_repair(seed: u64) -> Option<(usize, usize)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mem = healthy(&mut random);
    let names = mem.names();
    let originals: Vec<_> = names.iter().map(|name| mem.content(name).unwrap()).collect();
    for _ in 0..random.usize(1..4) {
        let index = random.usize(..names.len());
        let mut bytes = mem.content(&names[index]).unwrap();
        mutate::mutate(&mut bytes, &originals, &mut random);
        mem.put(&names[index], bytes);
    }
    let before = read(&mem);
    let damaged = files(&mem);
    let planned = match plan(&mem) {
        Err(OpenError::Unsupported { .. }) => {
            assert!(matches!(repair(&mem), Err(OpenError::Unsupported { .. })));
            return None;
        }
        planned => planned.unwrap(),
    };
    assert_eq!(repair(&mem).unwrap(), planned, "what was said is what is done");
    check_steps(&mem, &damaged, &planned);
    assert_eq!(plan(&mem).unwrap(), [], "nothing is left to be done");
    let after = match read(&mem) {
        // A cursor of a newer version is not for a repair to touch.
        Err(OpenError::Unsupported { .. }) => return None,
        after => after.unwrap(),
    };
    if let Ok(before) = before {
        assert!(before.iter().all(|sequence| after.contains(sequence)), "{before:?}, then {after:?}");
        return Some((before.len(), after.len()));
    }
    Some((0, after.len()))
}

/// What was copied or moved is in quarantine as it was, and nothing else has changed.
fn check_steps(mem: &Mem, damaged: &BTreeMap<String, Vec<u8>>, steps: &[Step]) {
    let after = files(mem);
    let mut expected = damaged.clone();
    for step in steps {
        match step {
            Step::Copy { file, position, bytes, .. } => {
                let (from, end) = (*position as usize, (*position + *bytes) as usize);
                let kept = &damaged[file][from..end];
                let start = format!("quarantine/{}-{position:012}-", file.trim_end_matches(".seg"));
                let mut copies =
                    after.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
                assert!(copies.any(|(_, copy)| copy == kept), "{step}");
            }
            Step::Move { file, .. } => {
                assert_eq!(
                    expected.remove(file).as_ref(),
                    after.get(&format!("quarantine/{file}")),
                    "{step}"
                );
            }
            Step::Remove { file } => drop(expected.remove(file)),
            other => panic!("{other:?}"),
        }
    }
    let others: BTreeMap<_, _> =
        after.into_iter().filter(|(name, _)| !name.starts_with("quarantine/")).collect();
    assert_eq!(others, expected);
}

#[test]
fn every_undamaged_batch_of_a_damaged_queue_is_still_read() {
    let (mut opened, mut before, mut after) = (0, 0, 0);
    let seeds = seeds(3_000);
    for seed in seeds.clone() {
        match std::panic::catch_unwind(|| damage_and_repair(seed)) {
            Ok(Some((read_before, read_after))) => {
                opened += 1;
                before += read_before;
                after += read_after;
            }
            Ok(None) => {}
            Err(panic) => {
                eprintln!("QUEUE_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{opened} of {seeds:?} repaired: {before} batches read before, {after} after");
    if seeds.end - seeds.start > 100 {
        assert!(opened * 2 > seeds.end && after > before, "the test has lost its teeth");
    }
}

#[test]
fn what_keeps_a_queue_from_opening_is_moved_away() {
    let mem = healthy(&mut fastrand::Rng::with_seed(3));
    let before = read(&mem).unwrap();
    mem.put("00000000000000000777.seg", b"holiday pictures".repeat(1000));
    assert!(matches!(read(&mem), Err(OpenError::Foreign { .. })));
    let steps = repair(&mem).unwrap();
    assert!(
        matches!(&steps[..], [Step::Move { file, .. }] if file == "00000000000000000777.seg"),
        "{steps:?}"
    );
    assert_eq!(read(&mem).unwrap(), before);
    // Another one of that name does not take its place.
    mem.put("00000000000000000777.seg", b"more of them".repeat(1000));
    repair(&mem).unwrap();
    assert!(mem.content("quarantine/00000000000000000777.seg.2").unwrap().starts_with(b"more of them"));
    assert!(mem.content("quarantine/00000000000000000777.seg").unwrap().starts_with(b"holiday"));
}

/// A slot of a cursor that belongs to another queue: the disks in memory all draw the same numbers for an id.
fn of_another_queue(mut slot: Vec<u8>) -> Vec<u8> {
    const BODY_AT: usize = 32;
    slot[BODY_AT + 8] ^= 1;
    let body_len = u32::from_le_bytes(slot[16..20].try_into().unwrap()) as usize;
    let body = crc32fast::hash(&slot[BODY_AT..BODY_AT + body_len]);
    slot[24..28].copy_from_slice(&body.to_le_bytes());
    let header = crc32fast::hash(&slot[..28]);
    slot[28..32].copy_from_slice(&header.to_le_bytes());
    slot
}

#[test]
fn the_cursor_of_another_queue_does_not_cost_the_segments() {
    let mem = Mem::new(1 << 20);
    let (mut queue, _) = Queue::open(mem.clone(), options()).unwrap();
    for sequence in 1..=20 {
        queue.append(BatchInfo::default(), &[payload(sequence)]).unwrap();
        assert_eq!(queue.commit().unwrap().upto, Sequence(sequence + 1));
    }
    queue.ack(Sequence(1));
    queue.checkpoint(0).unwrap();
    drop(queue);
    assert!(mem.content("cursor.b").unwrap().iter().all(|&byte| byte == 0), "it was saved once");
    let strange = of_another_queue(mem.content("cursor.a").unwrap());
    mem.put("cursor.a", strange.clone());
    assert!(matches!(read(&mem), Err(OpenError::Foreign { .. })));
    // However many cursors there are: it is the segments that say which queue this is.
    let outvoted = mem.copy();
    outvoted
        .names()
        .iter()
        .filter(|name| name.ends_with(".seg"))
        .skip(1)
        .for_each(|name| outvoted.take(name));
    ["x", "y", "z"].iter().for_each(|name| outvoted.put(&format!("consumer-{name}.a"), strange.clone()));
    let moved = repair(&outvoted).unwrap();
    assert!(moved.iter().all(|step| !step.to_string().contains(".seg")), "{moved:?}");
    let steps = repair(&mem).unwrap();
    assert!(
        matches!(&steps[..], [Step::Move { file: a, .. }, Step::Move { file: b, .. }] if (&a[..], &b[..]) == ("cursor.a", "cursor.b")),
        "{steps:?}"
    );
    assert_eq!(read(&mem).unwrap(), (1..=20).collect::<Vec<_>>(), "from the beginning");
}

#[test]
fn an_owned_queue_is_not_repaired() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, _) = Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
    let storage = Fs::existing(directory.path()).unwrap();
    match repair(&storage) {
        Err(OpenError::Locked { pid }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    queue.close(0).unwrap();
    assert_eq!(repair(&storage).unwrap(), []);
}

#[test]
fn a_catalog_that_makes_no_sense_is_built_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut queue, _) = Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
    for sequence in 1..=20 {
        let info = BatchInfo { first_time_ms: sequence, last_time_ms: sequence, ..BatchInfo::default() };
        queue.append(info, &[payload(sequence as u64)]).unwrap();
        assert!(queue.commit().unwrap().upto > Sequence(1));
    }
    queue.close(0).unwrap();
    let storage = Fs::existing(directory.path()).unwrap();
    assert_eq!(repair(&storage).unwrap(), [], "healthy");
    std::fs::write(directory.path().join("catalog/db"), vec![0xAB; 70_000]).unwrap();
    let steps = repair(&storage).unwrap();
    assert!(matches!(&steps[..], [Step::Catalog { .. }]), "{steps:?}");
    assert!(directory.path().join("catalog.bad").exists(), "it is set aside");
    assert_eq!(repair(&storage).unwrap(), []);
    let (mut queue, _) = Queue::open(storage, options()).unwrap();
    assert_eq!(queue.first_since(1), Sequence(1));
    assert!(queue.first_since(20) > Sequence(10));
}

#[test]
fn a_torn_commit_is_no_damage() {
    let mem = Mem::new(1 << 20);
    let (mut queue, _) = Queue::open(mem.clone(), options()).unwrap();
    for sequence in 1..=4 {
        queue.append(BatchInfo::default(), &[payload(sequence)]).unwrap();
    }
    assert_eq!(queue.commit().unwrap().upto, Sequence(5));
    drop(queue);
    // The second of four frames of a commit that nobody was told of, as a power cut could leave it.
    let segment = "00000000000000000001.seg";
    let mut bytes = mem.content(segment).unwrap();
    let at = 4096 + 80 + payload(1).len() + 10;
    bytes[at..at + 20].fill(0);
    mem.put(segment, bytes);
    assert_eq!(plan(&mem).unwrap(), []);
    let damage = |entry: &std::io::Result<Entry>| matches!(entry, Ok(Entry::Damaged { .. }));
    assert_eq!(inspect::entries(mem.copy(), Sequence::FIRST).filter(damage).count(), 0);
}
