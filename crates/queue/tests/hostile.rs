//! Arbitrary bytes: whatever is in the files, opening and reading does not panic, does not run
//! away with memory, and delivers nothing that was not appended.
//!
//! `QUEUE_MUTATIONS` sets how many, `QUEUE_SEED` runs one.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

#[path = "support/mutate.rs"]
mod mutate;

use std::env;

use bytes::Bytes;
use millpond_queue::{
    BatchInfo, Options, Queue, Sequence,
    checkpoint::Checkpoint,
    inspect::{self, Entry},
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

/// Three segments and a cursor.
fn healthy(close: bool) -> Mem {
    let mem = Mem::new(1 << 22);
    let (mut queue, _) = Queue::open(mem.clone(), options()).unwrap();
    for sequence in 1..=22 {
        let given =
            queue.append(BatchInfo { events: 1, ..BatchInfo::default() }, &[payload(sequence)]).unwrap();
        assert_eq!(given, Sequence(sequence));
        if sequence % 3 == 0 {
            assert_eq!(queue.commit().unwrap().upto, Sequence(sequence + 1));
        }
    }
    assert_eq!(queue.commit().unwrap().upto, Sequence(23));
    queue.ack(Sequence(1));
    queue.checkpoint(0).unwrap();
    queue.ack(Sequence(2));
    queue.checkpoint(0).unwrap();
    if close {
        queue.close(0).unwrap();
    }
    mem.copy()
}

/// Gives the batches that were read; `None` if the queue refused to open.
fn hostile(seed: u64) -> Option<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mem = healthy(random.bool());
    let names = mem.names();
    let originals: Vec<_> = names.iter().map(|name| mem.content(name).unwrap()).collect();
    for _ in 0..random.usize(1..4) {
        let index = random.usize(..names.len());
        let mut bytes = mem.content(&names[index]).unwrap();
        mutate::mutate(&mut bytes, &originals, &mut random);
        mem.put(&names[index], bytes);
    }

    let mut seen = Vec::new();
    for entry in inspect::entries(mem.copy(), Sequence::FIRST) {
        if let Ok(Entry::Frame(frame)) = entry {
            assert_eq!(frame.payload, payload(frame.sequence.0));
            seen.push(frame.sequence);
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    drop(inspect::overview(&mem));
    drop(Checkpoint::open(mem.copy(), "cursor"));

    // A queue that refuses to open leaves everything as it is; one that opens works.
    let (mut queue, _) = Queue::open(mem.clone(), options()).ok()?;
    let mut reader = queue.reader(Sequence::FIRST);
    let (mut last, mut read) = (0, 0);
    while let Ok(Some(frame)) = reader.next() {
        assert!(frame.sequence.0 > last);
        last = frame.sequence.0;
        read += 1;
        assert_eq!(frame.payload, payload(last));
        if frame.sequence >= queue.acked() {
            queue.ack(frame.sequence);
        }
    }
    drop(queue.checkpoint(0));
    let next = queue.durable().0;
    assert_eq!(queue.append(BatchInfo::default(), &[payload(next)]).unwrap(), Sequence(next));
    assert_eq!(queue.commit().unwrap().upto, Sequence(next + 1));
    drop(queue.close(0));
    Some(read)
}

#[test]
fn arbitrary_bytes() {
    if let Ok(seed) = env::var("QUEUE_SEED") {
        hostile(seed.parse().unwrap());
        return;
    }
    let mutations = env::var("QUEUE_MUTATIONS").map_or(3_000, |count| count.parse().unwrap());
    let (mut opened, mut read) = (0, 0);
    for seed in 0..mutations {
        match std::panic::catch_unwind(|| hostile(seed)) {
            Ok(batches) => {
                opened += u64::from(batches.is_some());
                read += batches.unwrap_or(0);
            }
            Err(panic) => {
                eprintln!("QUEUE_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{mutations} mutations, {opened} opened, {read} of {} batches read", opened * 22);
    assert!(opened > mutations / 2 && read > opened * 10, "the test has lost its teeth");
}
