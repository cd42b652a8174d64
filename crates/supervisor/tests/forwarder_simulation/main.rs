//! The forwarder's machine against a simulated queue and service in virtual time: one seed a run, thousands of runs.
//! Each failure prints its seed; `MILLPOND_SEED=n` repeats that run alone.

mod checks;
mod course;
mod examples;
mod fairness;
mod plan;
mod world;

use plan::Plan;
use world::World;

fn run(seed: u64, plan: fn(u64) -> Plan) -> Result<(), String> {
    let outcome = std::panic::catch_unwind(|| {
        let mut world = World::new(seed, plan(seed));
        world.run();
        world.check_fates();
    });
    outcome.map_err(|_| format!("seed {seed} failed: MILLPOND_SEED={seed} repeats it"))
}

fn run_all(seeds: std::ops::Range<u64>, plan: fn(u64) -> Plan) -> Result<(), String> {
    if let Ok(seed) = std::env::var("MILLPOND_SEED") {
        return run(seed.parse().map_err(|_| format!("MILLPOND_SEED={seed} is not a number"))?, plan);
    }
    seeds.into_iter().try_for_each(|seed| run(seed, plan))
}

#[test]
fn nothing_is_lost_reordered_or_stuck() -> Result<(), String> {
    run_all(0..6_000, Plan::moody)
}

/// Every policy, ordering and limit is met in some of these days.
#[test]
fn a_day_of_a_link_that_flaps_every_few_seconds() -> Result<(), String> {
    run_all(0..24, Plan::flapping)
}

/// Other seeds of the day that flaps, for as long as somebody likes to wait.
#[test]
#[ignore = "takes minutes: 400 simulated days"]
fn a_year_of_a_link_that_flaps_every_few_seconds() -> Result<(), String> {
    run_all(24..424, Plan::flapping)
}
