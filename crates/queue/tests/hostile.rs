//! Arbitrary bytes: whatever is in the files, opening, reading, looking and repairing do not panic, and do not allocate
//! more than the files are large.
//!
//! Two kinds of bytes: changed ones, of which no checksum is right any more, so that nothing may be read that was not
//! appended; and forged ones, in which any field has any value and the checksums are right, so that nothing stands
//! between it and the code that believes it.
//!
//! Runs for `QUEUE_FUZZ_SECS` seconds (5, and 60 with `CI` set), from the seed `QUEUE_FUZZ_FROM` (0) on; `QUEUE_SEED`
//! runs one seed of each kind.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/mutate.rs"]
mod mutate;

use std::{
    env,
    io::Write as _,
    panic::catch_unwind,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millpond_queue::{
    AppendError, BatchInfo, Options, Queue, Sequence,
    checkpoint::Checkpoint,
    inspect::{self, Entry},
    repair,
    storage::mem::Mem,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const BATCHES: u64 = 22;

fn options() -> Options {
    Options { segment_bytes_max: 8 << 10, free_bytes_min: 0, read_ahead_bytes: 1500, ..Options::default() }
}

fn payload(sequence: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(sequence);
    let len = random.usize(..900);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

/// Three segments and a cursor, or (`rich`) also packed frames, losses and a consumer.
fn healthy(close: bool, rich: bool) -> Mem {
    let mem = Mem::new(1 << 22);
    let pack = rich.then_some(1);
    let (mut queue, _) = Queue::open(mem.clone(), Options { pack, ..options() }).unwrap();
    for sequence in 1..=BATCHES {
        let info = BatchInfo { events: 1, appended_ms: sequence as i64, ..BatchInfo::default() };
        let payload = if rich && sequence % 2 == 0 { vec![7; 800].into() } else { payload(sequence) };
        assert_eq!(queue.append(info, &[payload]).unwrap(), Sequence(sequence));
        if sequence % 3 == 0 {
            assert_eq!(queue.commit().unwrap().upto, Sequence(sequence + 1));
        }
    }
    assert_eq!(queue.commit().unwrap().upto, Sequence(BATCHES + 1));
    queue.ack(Sequence(1));
    queue.checkpoint(0).unwrap();
    if rich {
        queue.ack(Sequence(4));
        assert_eq!(queue.add_consumer("other", Sequence(2)).unwrap().acked(), Sequence(2));
        queue.expire(4).unwrap();
    }
    queue.ack(Sequence(2));
    queue.checkpoint(0).unwrap();
    if close {
        queue.close(0).unwrap();
    }
    mem.copy()
}

/// Everything that reads files, beside the queue itself. Gives what was seen.
fn look_around(mem: &Mem) -> Vec<(Sequence, Bytes)> {
    let frame = |entry| match entry {
        Ok(Entry::Frame(frame)) => Some((frame.sequence, frame.payload)),
        _ => None,
    };
    let seen: Vec<_> = inspect::entries(mem.copy(), Sequence::FIRST).filter_map(frame).collect();
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
    drop(inspect::overview(mem));
    drop(inspect::standing(mem));
    drop(inspect::marks(mem));
    drop(inspect::find(mem, Sequence(BATCHES / 2)));
    inspect::headers(mem.copy(), Sequence::FIRST).for_each(drop);
    inspect::Verify::new(mem.copy()).into_iter().flatten().for_each(drop);
    inspect::salvage::salvage(mem.copy()).into_iter().flatten().for_each(drop);
    drop(Checkpoint::open(mem.copy(), "cursor"));
    drop(repair::repair(&mem.copy()));
    seen
}

/// Opens the queue, if it lets itself be opened, and uses it. Gives what was read.
fn use_queue(mem: &Mem) -> Option<Vec<(Sequence, Bytes)>> {
    // A queue that refuses to open leaves everything as it is; one that opens works.
    let (mut queue, _) = Queue::open(mem.clone(), options()).ok()?;
    let mut reader = queue.reader(Sequence::FIRST);
    let mut read = Vec::new();
    while let Ok(Some(frame)) = reader.next() {
        if frame.sequence >= queue.acked() {
            queue.ack(frame.sequence);
        }
        read.push((frame.sequence, frame.payload));
    }
    assert!(read.is_sorted_by(|a, b| a.0 < b.0));
    drop(queue.expire(5));
    drop(queue.checkpoint(0));
    drop(queue.drop_oldest());
    let next = queue.durable();
    match queue.append(BatchInfo::default(), &[payload(next.0)]) {
        Ok(given) => {
            assert_eq!(given, next);
            assert_eq!(queue.commit().unwrap().upto, next.next());
        }
        Err(error) => assert!(matches!(error, AppendError::Full(_) | AppendError::UsedUp), "{error}"),
    }
    assert!(queue.stats().durable >= queue.acked());
    drop(queue.close(0));
    Some(read)
}

/// Runs something and sees to it that memory stays within what the files explain.
fn bounded<T>(mem: &Mem, run: impl FnOnce() -> T) -> T {
    let on_disk: usize = mem.names().iter().map(|name| mem.content(name).unwrap().len()).sum();
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let result = run();
    let used = MEMORY.peak_usage().saturating_sub(before);
    // The disk is in memory as well, and is copied; a packed payload may become a thousand times as large.
    assert!(used <= 16 * on_disk + (1 << 20), "{used} bytes of memory for {on_disk} bytes of files");
    result
}

/// Gives the batches that were read; `None` if the queue refused to open.
fn changed(seed: u64) -> Option<usize> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mem = healthy(random.bool(), false);
    let names = mem.names();
    let originals: Vec<_> = names.iter().map(|name| mem.content(name).unwrap()).collect();
    for _ in 0..random.usize(1..4) {
        let index = random.usize(..names.len());
        let mut bytes = mem.content(&names[index]).unwrap();
        mutate::mutate(&mut bytes, &originals, &mut random);
        mem.put(&names[index], bytes);
    }
    let (seen, read) = bounded(&mem, || (look_around(&mem), use_queue(&mem)));
    for (sequence, payload_read) in seen.iter().chain(read.iter().flatten()) {
        assert_eq!(payload_read, &payload(sequence.0), "{sequence}");
    }
    read.map(|read| read.len())
}

fn forged(seed: u64) -> Option<usize> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mem = healthy(random.bool(), true);
    let names = mem.names();
    for _ in 0..random.usize(1..4) {
        let name = &names[random.usize(..names.len())];
        let mut bytes = mem.content(name).unwrap();
        if name.ends_with(".seg") {
            forge::segment(&mut bytes, &mut random);
        } else {
            forge::checkpoint(&mut bytes, &mut random);
        }
        mem.put(name, bytes);
    }
    bounded(&mem, || {
        look_around(&mem);
        use_queue(&mem)
    })
    .map(|read| read.len())
}

#[test]
fn arbitrary_bytes() {
    let number = |name| env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    if let Some(seed) = number("QUEUE_SEED") {
        changed(seed);
        forged(seed);
        return;
    }
    let in_ci = env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    let patience = Duration::from_secs(number("QUEUE_FUZZ_SECS").unwrap_or(if in_ci { 60 } else { 5 }));
    let start = Instant::now();
    let first = number("QUEUE_FUZZ_FROM").unwrap_or(0);
    let (mut seed, mut opened, mut read) = (first, [0, 0], [0, 0]);
    while start.elapsed() < patience {
        for (kind, run) in [changed, forged].into_iter().enumerate() {
            match catch_unwind(|| run(seed)) {
                Ok(batches) => {
                    opened[kind] += usize::from(batches.is_some());
                    read[kind] += batches.unwrap_or(0);
                }
                Err(panic) => {
                    eprintln!("QUEUE_SEED={seed}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
        seed += 1;
    }
    let rounds = seed - first;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "arbitrary bytes: {rounds} queues with changed bytes ({} opened, {} of {} batches read), {rounds} with forged \
         ones ({} opened)",
        opened[0],
        read[0],
        opened[0] as u64 * BATCHES,
        opened[1]
    )
    .unwrap();
    assert!(
        opened[0] as u64 > rounds / 2 && opened[1] as u64 > rounds / 3,
        "hardly any queue opens: no test"
    );
    assert!(read[0] > opened[0] * 10, "hardly any batch is read: no test");
}
