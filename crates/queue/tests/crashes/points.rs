//! Every crash point: scripted histories are stopped after every single call that changes the
//! disk, and every allowed state of the disk is opened: each write that was not synced not at
//! all, whole, or torn at each 512-byte step from either end; each creation, rename and removal
//! that was not synced done or not, in every combination.
//!
//! `QUEUE_THOROUGH=1` also opens the queue after a mere kill at each of these points, and crashes
//! at every call of that; without it, a quarter of them.

use crate::world::{CAPACITY, Op, World};
use millpond_queue::storage::{
    faulty::{Call, Fault},
    mem::{Choose, Mem},
};

/// Counts through all combinations of choices, however many each one has.
#[derive(Default)]
struct Odometer {
    digits: Vec<(usize, usize)>,
    at: usize,
}

impl Choose for Odometer {
    fn choose(&mut self, count: usize) -> usize {
        if self.at == self.digits.len() {
            self.digits.push((0, count));
        }
        let (value, known) = self.digits[self.at];
        assert_eq!(known, count, "the same choices lead to the same questions");
        self.at += 1;
        value
    }
}

impl Odometer {
    /// Goes on to the next combination; false after the last one.
    fn next(&mut self) -> bool {
        assert_eq!(self.at, self.digits.len());
        self.at = 0;
        while let Some((value, count)) = self.digits.pop() {
            if value + 1 < count {
                self.digits.push((value + 1, count));
                return true;
            }
        }
        false
    }
}

/// Nothing is left to chance here.
struct Never;

impl Choose for Never {
    fn choose(&mut self, _count: usize) -> usize {
        unreachable!("only the end of a script is a crash")
    }
}

const APPEND: Op = Op::Append { bytes: 700 };
const BIG: Op = Op::Append { bytes: 3_000 };

fn run(script: &[Op], stop_after: Option<u64>) -> World {
    let mem = Mem::new(CAPACITY);
    if let Some(calls) = stop_after {
        mem.stop_after(calls);
    }
    let mut world = World::new(mem);
    world.open();
    for &op in script {
        world.run(op, &mut Never);
    }
    world
}

/// Opens every state that a crash of this world could leave. `deep`: crash again while the queue
/// is being opened, at every call.
fn check_states(world: &World, deep: bool) -> u64 {
    let mut states = 0;
    let mut odometer = Odometer::default();
    loop {
        let disk = world.mem.crash(&mut odometer);
        let mut after = world.on(disk.copy());
        after.open();
        states += 1;
        // Now and then, go on with it as well.
        if states % 5 == 0 {
            for op in [APPEND, Op::Commit, Op::Read { batches: 100 }, Op::Ack { back: 0 }, Op::Kill] {
                after.run(op, &mut Never);
            }
        }
        if deep && states % 50 == 1 {
            states += check_opening(world, &disk);
        }
        if !odometer.next() {
            return states;
        }
    }
}

/// Stops the opening of this disk after every call, and opens what that can leave.
fn check_opening(world: &World, disk: &Mem) -> u64 {
    let mut states = 0;
    for calls in 0.. {
        let disk = disk.copy();
        disk.stop_after(disk.calls() + calls);
        let mut opening = world.on(disk.clone());
        opening.open();
        if !disk.is_stopped() {
            return states;
        }
        // What was found may have become durable by being found.
        states += check_states(&world.on(disk), false);
    }
    unreachable!()
}

#[track_caller]
fn check(name: &str, script: &[Op]) {
    let calls = run(script, None).mem.calls();
    let mut states = 0;
    let thorough = std::env::var_os("QUEUE_THOROUGH").is_some();
    for stop_after in 0..=calls {
        let world = run(script, Some(stop_after));
        states += check_states(&world, true);
        // The process alone dies, another one opens what is in memory, and then the power fails.
        if thorough || stop_after % 4 == 1 {
            states += check_opening(&world, &world.mem.copy());
        }
    }
    println!("{name}: {calls} calls, {states} states");
    assert!(calls > 20 && states > calls, "the script did not run");
}

#[test]
fn append_and_roll() {
    check(
        "append and roll",
        &[APPEND, Op::Commit, APPEND, APPEND, Op::Commit, BIG, Op::Commit, APPEND, Op::Commit],
    );
}

#[test]
fn acknowledge_and_reclaim() {
    let read = Op::Read { batches: 10 };
    let ack = Op::Ack { back: 0 };
    check(
        "acknowledge and reclaim",
        &[
            BIG,
            Op::Commit,
            BIG,
            Op::Commit,
            BIG,
            Op::Commit,
            read,
            ack,
            Op::Checkpoint,
            ack,
            ack,
            Op::Checkpoint,
            APPEND,
            Op::Commit,
            Op::Checkpoint,
        ],
    );
}

#[test]
fn close_and_open() {
    check(
        "close and open",
        &[APPEND, Op::Commit, Op::Close, APPEND, Op::Commit, Op::Kill, APPEND, Op::Commit, Op::Close],
    );
}

#[test]
fn failed_syncs_and_writes() {
    let fail = |call, written| Op::Fail { call, errno: Fault::EIO, after: 0, written };
    check(
        "failed syncs and writes",
        &[
            APPEND,
            Op::Commit,
            APPEND,
            APPEND,
            fail(Call::SyncData, 0),
            Op::Commit,
            APPEND,
            fail(Call::Write, 900),
            Op::Commit,
            APPEND,
            Op::Commit,
        ],
    );
    check(
        "a failed sync on a fresh segment",
        &[
            APPEND,
            Op::Fail { call: Call::SyncData, errno: Fault::EIO, after: 1, written: 0 },
            Op::Commit,
            APPEND,
            Op::Commit,
        ],
    );
    check(
        "a failed creation",
        &[
            APPEND,
            Op::Commit,
            BIG,
            BIG,
            fail(Call::SyncDirectory, 0),
            Op::Commit,
            APPEND,
            BIG,
            Op::Commit,
            APPEND,
            Op::Commit,
        ],
    );
}

#[test]
fn a_full_disk() {
    check(
        "a full disk",
        &[
            APPEND,
            Op::Commit,
            BIG,
            Op::Free { bytes: 0 },
            BIG,
            Op::Commit,
            Op::Free { bytes: CAPACITY },
            BIG,
            Op::Commit,
            Op::Fail { call: Call::Write, errno: Fault::ENOSPC, after: 0, written: 800 },
            APPEND,
            Op::Commit,
            APPEND,
            Op::Commit,
        ],
    );
}
