//! A disk that fails while everything goes through the queue: nothing is missing, the log says what happened, the
//! process lives on, and no file is synced again after a sync of it has failed.

use std::time::{Duration, Instant};

use millpond::drill::Proof;
use millpond_local_kinesis::decode;

use crate::harness::{Outcome, Test};
use crate::positions::saved_position;
use crate::strace::{self, Strace};
use crate::world::{PATIENCE, World};

pub(crate) const RATE: u64 = 6_000;
const GIVEN_UP: &str = "the segment is given up";
const NOT_SAVED: &str = "positions are not saved";
const NOT_WRITTEN: &str = "cursor could not be written";
pub(crate) const FULL: &str = "the queue takes no more batches";
pub(crate) const AGAIN: &str = "the queue takes batches again";

/// The first segment, also while it is made.
const FIRST: &str = "data/queues/main/00000000000000000001.seg";
const MAKING: &str = "data/queues/main/segment.tmp";
const QUEUE: &str = "data/queues/main";
const CURSOR: [&str; 2] = ["data/queues/main/cursor.a", "data/queues/main/cursor.b"];
const POSITIONS: [&str; 2] = ["data/inputs/app/positions.a", "data/inputs/app/positions.b"];

/// A fault, and what the log says of it.
struct Fault {
    name: &'static str,
    /// For strace.
    inject: &'static str,
    files: &'static [&'static str],
    /// Said while the link is down …
    down: &'static [&'static str],
    /// … and once it is up again.
    up: &'static [&'static str],
}

const FAULTS: [Fault; 17] = [
    Fault::of_writing("sync_eio", "fdatasync:error=EIO:when=3", &[FIRST], &[GIVEN_UP]),
    Fault::of_writing("sync_enospc", "fdatasync:error=ENOSPC:when=3", &[FIRST], &[GIVEN_UP]),
    Fault::of_writing("first_sync_eio", "fdatasync:error=EIO:when=1", &[FIRST], &[GIVEN_UP]),
    Fault::of_writing(
        "sync_eio_twice",
        "fdatasync:error=EIO:when=3..4",
        &[FIRST, MAKING],
        &[GIVEN_UP, FULL, AGAIN],
    ),
    Fault::of_writing("write_eio", "pwritev:error=EIO:when=3", &[FIRST], &[GIVEN_UP]),
    Fault::of_writing("write_of_nothing", "pwritev:retval=0:when=3", &[FIRST], &[GIVEN_UP]),
    Fault::of_writing(
        "write_enospc",
        "pwritev:error=ENOSPC:when=3..4",
        &[FIRST],
        &[FULL, "no space left", AGAIN],
    ),
    Fault::of_writing("seal_eio", "ftruncate:error=EIO:when=1", &[FIRST], &["could not be sealed"]),
    Fault::of_writing(
        "reserve_enospc",
        "fallocate:error=ENOSPC:when=1..2",
        &[MAKING],
        &[FULL, "no space left", AGAIN],
    ),
    Fault::of_writing(
        "reserve_eio",
        "fallocate:error=EIO:when=2..3",
        &[MAKING],
        &[FULL, "Input/output error", AGAIN],
    ),
    Fault::of_writing("header_sync_enospc", "fdatasync:error=ENOSPC:when=2..3", &[MAKING], &[FULL, AGAIN]),
    Fault::of_writing("rename_eio", "?rename,?renameat:error=EIO:when=1..2", &[MAKING], &[FULL, AGAIN]),
    // The main thread syncs the directory twice, for the cursor; from then on it is the queue's thread.
    Fault::of_writing("directory_sync_eio", "fsync:error=EIO:when=3..4", &[QUEUE], &[FULL, AGAIN]),
    Fault::of_writing(
        "free_space_eio",
        "statfs:error=EIO:when=1..2",
        &[QUEUE],
        &[FULL, "asking the file system", AGAIN],
    ),
    // An input that starts syncs both of its files.
    Fault::of_writing("positions_eio", "fdatasync:error=EIO:when=3..4", &POSITIONS, &[NOT_SAVED, NOT_SAVED]),
    // Such failures are said once in a while, with how many were held back.
    Fault::of_reading("cursor_eio", "fdatasync:error=EIO:when=1..2", &CURSOR, &[NOT_WRITTEN]),
    Fault::of_reading(
        "read_eio",
        "pread64:error=EIO:when=1..2",
        &[FIRST],
        &["cannot be read now and is tried again"],
    ),
];

impl Fault {
    const fn of_writing(
        name: &'static str,
        inject: &'static str,
        files: &'static [&'static str],
        down: &'static [&'static str],
    ) -> Self {
        Self { name, inject, files, down, up: &[] }
    }

    const fn of_reading(
        name: &'static str,
        inject: &'static str,
        files: &'static [&'static str],
        up: &'static [&'static str],
    ) -> Self {
        Self { name, inject, files, down: &[], up }
    }

    fn run(&self) -> Outcome {
        strace::needs()?;
        // Side by side: mostly they wait.
        let (always, error) = crate::block_on(async {
            tokio::join!(self.strikes("always", false), self.strikes("error", true))
        });
        Ok(format!("{always}; {error}"))
    }

    /// The link is down, the fault strikes, the link comes up: everything arrives, once. Where the process is killed
    /// after the fault, what it left on disk is good.
    async fn strikes(&self, mode: &str, killed: bool) -> String {
        let mut world = world(mode).await;
        let down = world.fault("down");
        let strace = Strace::on(&mut world, self.inject, self.files);
        world.start();
        live_until_all_said(&mut world, self.down).await;
        world.live(Duration::from_millis(500), RATE).await;
        if !self.up.is_empty() {
            world.clear(down);
        }
        live_until_all_said(&mut world, self.up).await;
        if killed {
            world.kill_9().await;
            world.start();
        }
        if self.up.is_empty() {
            world.clear(down);
        }
        // All of it may be read again, since positions follow, and all of it may be sent again by the queue, whose cursor
        // follows too.
        let repeated_max = if killed { 2 * world.written } else { 0 };
        let proof = world.finish(repeated_max).await;
        let strikes = strace.strikes();
        assert!(strikes > 0, "{}: the fault did not strike", self.name);
        let (killed, lines) = (if killed { ", killed" } else { "" }, proof.written);
        format!(
            "{mode}: struck {strikes} times{killed}, {lines} lines, {} missing, {} repeated",
            proof.missing, proof.repeated
        )
    }
}

/// Small batches as they are, in small segments.
pub(crate) async fn world(mode: &str) -> World {
    let settings = format!(
        "flush_period: 50ms\nmax_record_size: \"16 KiB\"\ncompression: none\nbackpressure: queue\n\
         queue: {{ mode: {mode}, max_size: \"64 MiB\", max_segment_size: \"1 MiB\", min_free: \"0 B\" }}"
    );
    World::new(2, &settings).await
}

/// Writes lines until the forwarder has said something.
pub(crate) async fn live_until_said(world: &mut World, words: &str) {
    live_until_all_said(world, &[words]).await;
}

/// Writes lines until the forwarder has said all of this; what is in it twice has to be said twice.
async fn live_until_all_said(world: &mut World, all: &[&str]) {
    let until = Instant::now() + PATIENCE;
    for words in all {
        let wanted = all.iter().filter(|other| other == &words).count();
        while world.times_said(words) < wanted {
            assert!(Instant::now() < until, "not said {wanted} times: {words}; but: {:#?}", world.said);
            world.live(Duration::from_millis(50), RATE).await;
        }
    }
}

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    FAULTS.iter().map(|fault| -> Test { (fault.name, Box::new(|| fault.run())) })
}

/// Waits until all that was written is read, and all that was queued has left.
async fn settled(world: &mut World) {
    let until = Instant::now() + PATIENCE;
    let written = std::fs::metadata(world.path("app.log")).unwrap().len();
    let read = |world: &World| saved_position(&world.path("data/inputs/app")) == written;
    while !read(world) || world.gauge.look().unwrap().batches > 0 {
        assert!(Instant::now() < until, "not settled: {:#?}", world.said);
        world.live(Duration::from_millis(50), 0).await;
    }
}

/// A disk that takes a write and does not keep all of it. What it lied about is lost, which is said and counted; all
/// else arrives.
pub(crate) fn lying_write() -> Outcome {
    strace::needs()?;
    Ok(crate::block_on(lying_write_in_mode("always")))
}

async fn lying_write_in_mode(mode: &str) -> String {
    let mut world = world(mode).await;
    let down = world.fault("down");
    let strace = Strace::on(&mut world, "pwritev:retval=100:when=3", &[FIRST]);
    world.start();
    world.live(Duration::from_secs(1), RATE).await;
    world.clear(down);
    live_until_said(&mut world, "damage in the queue").await;
    let lost_batches = world.number("batches");
    settled(&mut world).await;
    world.stop().await;
    let records = world.server.records();
    let batch_events_max =
        records.iter().map(|record| decode(&record.data).unwrap().count).max().unwrap() as u64;
    let proof = Proof::take(world.written, &records);
    let missing_max = lost_batches * batch_events_max;
    assert!(proof.missing > 0 && proof.missing <= missing_max, "at most {missing_max}: {proof:#?}");
    assert_eq!((proof.malformed, proof.repeated), (0, 0), "{proof:#?}");
    assert!(std::fs::read_dir(world.path("data/queues/main/quarantine")).unwrap().count() > 0);
    format!(
        "{mode}: struck {} times, {} lines, {} missing in {lost_batches} batches that are said to be lost",
        strace.strikes(),
        proof.written,
        proof.missing
    )
}
