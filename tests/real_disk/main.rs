//! The program itself on real disks: killed at any moment, on disks that fail, fill up and lose power.
//!
//! `MILLPOND_KILLS` and `MILLPOND_CUTS` set the rounds, `MILLPOND_SEED` repeats the moments of a run.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs fails")]

#[path = "../support/disk.rs"]
mod disk;
#[path = "../support/harness.rs"]
mod harness;
#[path = "../end_to_end/world.rs"]
#[expect(dead_code, reason = "the end-to-end tests use more of it")]
mod world;

mod cuts;
mod faults;
mod full;
mod kills;
mod positions;
mod strace;

use std::process::ExitCode;

use self::harness::{Test, number};

fn main() -> ExitCode {
    disk::with_private_mounts();
    let mut tests: Vec<Test> = vec![
        ("kills", Box::new(kills::kills)),
        ("power_cuts", Box::new(cuts::power_cuts)),
        ("full_ext4", Box::new(full::full_ext4)),
        ("full_tmpfs", Box::new(full::full_tmpfs)),
        ("full_for_good", Box::new(full::full_for_good)),
        ("traces_are_understood", Box::new(strace::traces_are_understood)),
        ("lying_write", Box::new(faults::lying_write)),
    ];
    tests.extend(faults::tests());
    harness::main("real_disk", &tests)
}

/// Numbers to choose by; the seed that repeats them is said.
fn random(test: &str) -> fastrand::Rng {
    let seed = number("MILLPOND_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("     real_disk: {test}: MILLPOND_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Runs one test's tasks.
fn block_on<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(test)
}
