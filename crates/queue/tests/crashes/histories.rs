//! Random histories with crashes, against a model that knows what may be there afterwards.
//!
//! `QUEUE_HISTORIES` sets how many, `QUEUE_SEED` runs one. A failure prints its seed.

use std::env;

use crate::world::{CAPACITY, Op, World};
use millpond_queue::storage::{
    faulty::{Call, Fault},
    mem::{Choose, Mem},
};

struct Dice(fastrand::Rng);

impl Choose for Dice {
    fn choose(&mut self, count: usize) -> usize {
        self.0.usize(..count)
    }

    fn scatters(&self) -> bool {
        true
    }
}

fn op(random: &mut fastrand::Rng) -> Op {
    match random.u32(..100) {
        0..35 => Op::Append { bytes: [0, 30, 400, 1_500, 3_000, 9_000][random.usize(..6)] },
        35..55 => Op::Commit,
        55..68 => Op::Read { batches: random.usize(1..6) },
        68..80 => Op::Ack { back: random.usize(..3) },
        80..85 => Op::Checkpoint,
        85..87 => Op::Close,
        87..89 => Op::Kill,
        89..93 => Op::Cut,
        93..97 => Op::Fail {
            call: [
                Call::Create,
                Call::Rename,
                Call::SyncDirectory,
                Call::Write,
                Call::Write,
                Call::SyncData,
                Call::SyncData,
                Call::Allocate,
                Call::SetLen,
                Call::Remove,
                Call::Read,
                Call::Open,
                Call::FreeBytes,
            ][random.usize(..13)],
            errno: [Fault::EIO, Fault::ENOSPC][random.usize(..2)],
            after: random.u64(..3),
            written: [0, 1, 100, 700][random.usize(..4)],
        },
        _ => Op::Free { bytes: [0, 10_000, 40_000, CAPACITY][random.usize(..4)] },
    }
}

/// Prints the history when it fails.
struct Trace(u64, Vec<Op>);

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("QUEUE_SEED={}: {:?}", self.0, self.1);
        }
    }
}

fn history(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut trace = Trace(seed, Vec::new());
    let mut world = World::new(Mem::new(CAPACITY));
    world.open();
    for _ in 0..random.usize(5..80) {
        let op = op(&mut random);
        trace.1.push(op);
        world.run(op, &mut Dice(random.fork()));
    }
    world.mem.set_capacity(CAPACITY);
    world.run(Op::Kill, &mut Dice(random));
}

#[test]
fn histories_with_crashes() {
    if let Ok(seed) = env::var("QUEUE_SEED") {
        return history(seed.parse().unwrap());
    }
    let histories = env::var("QUEUE_HISTORIES").map_or(3_000, |count| count.parse().unwrap());
    for seed in 0..histories {
        history(seed);
    }
    println!("{histories} histories");
}
