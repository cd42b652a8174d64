//! The program as a service, where that needs something of the machine: the unit file, process 1 of a container.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs fails")]

#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other targets use the rest of it")]
mod harness;
#[path = "../end_to_end/world.rs"]
#[expect(dead_code, reason = "other targets use the rest of it")]
mod world;

mod process_1;
mod unit;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::main(
        "service",
        &[
            ("unit_verifies", Box::new(unit::verifies)),
            ("unit_allows_its_system_calls", Box::new(unit::allows_its_system_calls)),
            ("process_1_stops", Box::new(process_1::stops)),
            ("process_1_stops_during_its_start", Box::new(process_1::stops_during_its_start)),
            ("process_1_leaves_no_zombies", Box::new(process_1::leaves_no_zombies)),
        ],
    )
}
