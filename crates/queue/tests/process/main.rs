//! Processes that die and disks that lose power, for real.
//!
//! `kills` runs everywhere, `QUEUE_KILLS` rounds of it; `power_cuts`, `QUEUE_CUTS` rounds for each file system, needs
//! root, loop devices and xfsprogs. `QUEUE_SEED` repeats the habits and the moments of a run.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

mod child;
#[path = "../../../../tests/support/disk.rs"]
mod disk;
#[path = "../../../../tests/support/harness.rs"]
mod harness;

use std::{collections::BTreeSet, path::Path, process::ExitCode, thread, time::Duration};

use millpond_queue::{Finding, Fs, Queue};

use self::child::{Habits, Running, Said, payload};
use self::disk::Disk;
use self::harness::{Outcome, needs_program, number};

fn main() -> ExitCode {
    child::run_if_child();
    disk::with_private_mounts();
    harness::main("process", &[("kills", Box::new(kills)), ("power_cuts", Box::new(power_cuts))])
}

/// Numbers to choose by; the seed that repeats them is said.
fn random(test: &str) -> fastrand::Rng {
    let seed = number("QUEUE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("     process: {test}: QUEUE_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// What was found in all rounds.
#[derive(Debug, Default)]
struct Tally {
    read: u64,
    torn: u64,
}

impl Tally {
    fn figures(&self, said: &Said) -> String {
        format!(
            "{} batches confirmed, {} segments reclaimed, {} torn tails cut, {} batches read back",
            said.durable, said.reclaimed, self.torn, self.read
        )
    }

    /// Opens what is left, and compares it with what was said: all that was confirmed is there, what is not there was
    /// acknowledged.
    fn check(&mut self, directory: &Path, habits: Habits, said: &Said, what: &str) {
        let (queue, recovery) = Queue::open(Fs::create(directory).unwrap(), habits.options()).unwrap();
        let context = || format!("{what}: {habits:?}, durable {}, acked {}", said.durable, said.acked);
        assert!(recovery.durable.0 >= said.durable, "{}, but {recovery:?}", context());
        assert!(recovery.acked.0 >= said.acked, "{}, but {recovery:?}", context());
        assert!(!recovery.findings.iter().any(Finding::is_loss), "{}, but {recovery:?}", context());
        let mut missing: BTreeSet<u64> = (recovery.acked.0..recovery.durable.0).collect();
        let mut reader = queue.reader(queue.acked());
        let mut last = 0;
        while let Some(frame) = reader.next().unwrap() {
            let sequence = frame.sequence.0;
            assert!(sequence > last && missing.remove(&sequence), "{}: {sequence} after {last}", context());
            last = sequence;
            assert_eq!(frame.payload, payload(sequence), "{}: {sequence}", context());
            self.read += 1;
        }
        let lost: Vec<_> = missing.difference(&said.offered).collect();
        assert!(lost.is_empty(), "{}: {lost:?} are gone and were never acknowledged", context());
        assert_eq!(queue.stats().damaged_spans, 0, "{}", context());
        let is_torn = |finding: &&Finding| matches!(finding, Finding::TornTail { .. });
        self.torn += recovery.findings.iter().filter(is_torn).count() as u64;
    }
}

/// Lets a child live for a while: one in four dies in its first moments, the others once they have confirmed something.
fn live(child: &Running, random: &mut fastrand::Rng) {
    if random.u32(..4) == 0 {
        thread::sleep(Duration::from_micros(random.u64(..15_000)));
    } else {
        child.wait_for_progress();
        thread::sleep(Duration::from_millis(random.u64(..150)));
    }
    child.must_live();
}

fn kills() -> Outcome {
    let rounds = number("QUEUE_KILLS").unwrap_or(100);
    let mut random = random("kills");
    let root = tempfile::tempdir().unwrap();
    let queue = root.path().join("queue");
    let (mut said, mut tally) = (Said::default(), Tally::default());
    for round in 0..rounds {
        let habits = Habits::of(random.u64(..));
        let child = Running::start(&queue, habits, &root.path().join("words"), said);
        live(&child, &mut random);
        said = child.kill();
        tally.check(&queue, habits, &said, &format!("round {round}"));
    }
    Ok(format!("{rounds} kills, {}", tally.figures(&said)))
}

fn power_cuts() -> Outcome {
    const KINDS: [&str; 2] = ["ext4", "xfs"];
    disk::needs(&KINDS)?;
    needs_program("xfs_io", "xfsprogs")?;
    let rounds = number("QUEUE_CUTS").unwrap_or(50);
    let mut random = random("power_cuts");
    Ok(KINDS.map(|kind| cuts_of(kind, rounds, &mut random)).join("; "))
}

fn cuts_of(kind: &str, rounds: u64, random: &mut fastrand::Rng) -> String {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::new(kind, 400);
    let queue = disk.at().join("queue");
    let (mut said, mut tally) = (Said::default(), Tally::default());
    for round in 0..rounds {
        let habits = Habits::of(random.u64(..));
        let child = Running::start(&queue, habits, &root.path().join("words"), said);
        live(&child, random);
        // Only what was said before the cut is promised. What it says on a dead disk does not count.
        said = child.said();
        disk.cut_power();
        said.offered = child.kill().offered;
        disk.remount();
        tally.check(&queue, habits, &said, &format!("{kind}, round {round}"));
    }
    format!("{kind}: {rounds} power cuts, {}", tally.figures(&said))
}
