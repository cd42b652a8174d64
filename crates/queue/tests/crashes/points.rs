//! Every crash point: scripted histories are stopped after every single call that changes the
//! disk, and every allowed state of the disk is opened: each write that was not synced not at
//! all, whole, or torn at each 512-byte step from either end; each creation, rename and removal
//! that was not synced done or not, in every combination.
//!
//! The disk in memory has no catalog, so in each of these states the catalog is lost as well.
//!
//! With `QUEUE_THOROUGH` or `CI` set, the queue is also opened after a mere kill at each of these points, and crashes at
//! every call of that; otherwise at a quarter of them.

use std::io::Write as _;

use crate::{
    told::Who,
    world::{CAPACITY, Op, World, keeping, options},
};
use millpond_queue::{
    Options,
    storage::{
        faulty::{Call, Fault},
        mem::{Choose, Mem},
    },
};

/// Counts through all combinations of choices, however many each one has.
#[derive(Default)]
pub(crate) struct Odometer {
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
    pub(crate) fn next(&mut self) -> bool {
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
const READ: Op = Op::Read { who: Who::Own, batches: 100 };
const ACK: Op = Op::Ack { who: Who::Own, back: 0 };
const BIG: Op = Op::Append { bytes: 3_000 };

fn run(options: Options, script: &[Op], stop_after: Option<u64>) -> World {
    let mem = Mem::new(CAPACITY);
    if let Some(calls) = stop_after {
        mem.stop_after(calls);
    }
    let mut world = World::new(mem, options);
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
            for op in [APPEND, Op::Commit, READ, ACK, Op::Kill] {
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

/// Says how many states were visited, also when the test harness keeps what tests print.
pub(crate) fn say(name: &str, calls: u64, states: u64) {
    let mut out = std::io::stdout();
    writeln!(out, "crash points, {name}: {calls} calls, {states} states").unwrap();
}

#[track_caller]
fn check(name: &str, script: &[Op]) {
    check_with(name, options(), script);
}

#[track_caller]
fn check_with(name: &str, options: Options, script: &[Op]) {
    let calls = run(options, script, None).mem.calls();
    let mut states = 0;
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let thorough = is_set("QUEUE_THOROUGH") || is_set("CI");
    for stop_after in 0..=calls {
        let world = run(options, script, Some(stop_after));
        states += check_states(&world, true);
        // The process alone dies, another one opens what is in memory, and then the power fails.
        if thorough || stop_after % 4 == 1 {
            states += check_opening(&world, &world.mem.copy());
        }
    }
    say(name, calls, states);
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
    check(
        "acknowledge and reclaim",
        &[
            BIG,
            Op::Commit,
            BIG,
            Op::Commit,
            BIG,
            Op::Commit,
            READ,
            ACK,
            Op::Checkpoint,
            ACK,
            ACK,
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

#[test]
fn the_oldest_are_dropped() {
    check(
        "drop oldest",
        &[
            BIG,
            Op::Commit,
            BIG,
            Op::Commit,
            BIG,
            Op::Commit,
            READ,
            ACK,
            Op::DropOldest,
            APPEND,
            Op::Commit,
            ACK,
            Op::DropOldest,
            Op::Checkpoint,
        ],
    );
    check_with(
        "drop oldest when full",
        Options { size_bytes_max: 40 << 10, ..options() },
        &[
            BIG,
            BIG,
            Op::Commit,
            BIG,
            BIG,
            Op::Commit,
            BIG,
            BIG,
            Op::Commit,
            Op::DropOldest,
            BIG,
            Op::Commit,
            Op::Fail { call: Call::Remove, errno: Fault::EIO, after: 0, written: 0 },
            Op::DropOldest,
            Op::DropOldest,
            BIG,
            Op::Commit,
        ],
    );
}

#[test]
fn the_old_expire() {
    check(
        "expire",
        &[
            BIG,
            Op::Commit,
            BIG,
            APPEND,
            Op::Commit,
            READ,
            ACK,
            BIG,
            Op::Commit,
            Op::Expire { age_ms: 3 },
            Op::Checkpoint,
            APPEND,
            Op::Commit,
            Op::Expire { age_ms: 1 },
            ACK,
            Op::Checkpoint,
        ],
    );
}

#[test]
fn a_person_purges() {
    check(
        "purge",
        &[
            BIG,
            Op::Commit,
            BIG,
            APPEND,
            Op::Commit,
            READ,
            ACK,
            BIG,
            Op::AddConsumer,
            Op::Commit,
            Op::Purge { batches: 3 },
            Op::Checkpoint,
            APPEND,
            Op::Commit,
            Op::Purge { batches: 100 },
            ACK,
            Op::Checkpoint,
        ],
    );
}

#[test]
fn several_consumers() {
    let read = Op::Read { who: Who::Named, batches: 100 };
    let ack = Op::Ack { who: Who::Named, back: 0 };
    check(
        "several consumers",
        &[
            BIG,
            Op::Commit,
            BIG,
            Op::AddConsumer,
            Op::Commit,
            READ,
            ACK,
            ACK,
            Op::Checkpoint,
            read,
            ack,
            Op::Checkpoint,
            APPEND,
            Op::Commit,
            Op::RemoveConsumer,
            Op::Checkpoint,
        ],
    );
}

#[test]
fn what_was_delivered_is_kept_and_gives_way() {
    check_with(
        "retain",
        Options { size_bytes_max: 40 << 10, ..keeping() },
        &[
            BIG,
            BIG,
            Op::Commit,
            BIG,
            BIG,
            Op::Commit,
            READ,
            ACK,
            ACK,
            ACK,
            Op::Checkpoint,
            BIG,
            BIG,
            Op::Commit,
            ACK,
            Op::Checkpoint,
            BIG,
            BIG,
            Op::Commit,
            BIG,
            Op::Commit,
        ],
    );
}

#[test]
fn writes_without_a_sync() {
    check(
        "write, sync later",
        &[
            APPEND,
            Op::Write,
            APPEND,
            Op::Write,
            Op::Commit,
            BIG,
            Op::Write,
            BIG,
            Op::Write,
            APPEND,
            Op::Fail { call: Call::SyncData, errno: Fault::EIO, after: 0, written: 0 },
            Op::Commit,
            APPEND,
            Op::Write,
            Op::Kill,
            APPEND,
            Op::Commit,
        ],
    );
}
