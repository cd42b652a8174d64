//! Random histories with crashes, against a model that knows what may be there afterwards.
//!
//! `QUEUE_HISTORIES` sets how many, `QUEUE_FROM` with which seed they begin, `QUEUE_SEED` runs one. A failure prints
//! its seed.

use std::{env, io::Write as _};

use crate::{
    told::Who,
    world::{CAPACITY, Op, World, keeping, options},
};
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
        0..32 => Op::Append { bytes: [0, 30, 400, 1_500, 3_000, 9_000][random.usize(..6)] },
        32..36 => Op::Write,
        36..51 => Op::Commit,
        51..64 => Op::Read { who: who(random), batches: random.usize(1..6) },
        64..76 => Op::Ack { who: who(random), back: random.usize(..3) },
        76..81 => Op::Checkpoint,
        81..83 => Op::Close,
        83..85 => Op::Kill,
        85..89 => Op::Cut,
        89..90 => Op::DropOldest,
        90..91 => Op::Purge { batches: random.u64(0..9) },
        91..93 => Op::Expire { age_ms: random.i64(0..12) },
        93..94 => Op::AddConsumer,
        94..95 => Op::RemoveConsumer,
        95..98 => Op::Fail {
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

fn who(random: &mut fastrand::Rng) -> Who {
    if random.u8(..3) == 0 { Who::Named } else { Who::Own }
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
    let mut world = World::new(Mem::new(CAPACITY), if random.bool() { options() } else { keeping() });
    world.open();
    for _ in 0..random.usize(5..80) {
        let op = op(&mut random);
        trace.1.push(op);
        world.run(op, &mut Dice(random.fork()));
    }
    world.look_around();
    world.mem.set_capacity(CAPACITY);
    world.run(Op::Kill, &mut Dice(random));
}

#[test]
fn histories_with_crashes() {
    let number = |name: &str| env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    if let Some(seed) = number("QUEUE_SEED") {
        return history(seed);
    }
    let (from, histories) = (number("QUEUE_FROM").unwrap_or(0), number("QUEUE_HISTORIES").unwrap_or(20_000));
    (from..from + histories).for_each(history);
    let mut out = std::io::stdout();
    writeln!(out, "histories with crashes: {histories}, from seed {from} on").unwrap();
}
