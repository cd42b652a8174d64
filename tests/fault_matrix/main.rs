//! The program through every fault that the embedded endpoint knows, with each API and each kind of backpressure.
//!
//! [`table`] says what has to come of each, [`cell`] plays it, [`outcome`] compares. docs/faults.md is the same table.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs fails")]

#[expect(dead_code, reason = "nothing here is skipped or repeated by a number")]
#[path = "../support/harness.rs"]
mod harness;
#[expect(dead_code, reason = "nothing is killed here, and an end in which events are missing can be right")]
#[path = "../end_to_end/world.rs"]
mod world;

mod cell;
mod outcome;
mod page;
mod table;

use std::process::ExitCode;

use self::cell::Cell;
use self::harness::Test;
use self::table::{Api, Policy, ROWS, Row};

/// Cells mostly wait: for probes, for time-outs.
const AT_A_TIME: usize = 12;

fn main() -> ExitCode {
    let mut rows: Vec<&'static Row> = ROWS.iter().collect();
    // What waits longest begins first.
    rows.sort_by_key(|row| std::cmp::Reverse(row.takes));
    let mut tests: Vec<Test> = vec![
        ("page", Box::new(page::is_what_the_table_says)),
        ("every_fault_has_a_row", Box::new(table::every_fault_has_a_row)),
    ];
    for row in rows {
        for api in Api::ALL {
            tests.extend(Policy::ALL.map(|policy| test(Cell { row, api, policy })));
        }
    }
    harness::main_in_parallel("fault_matrix", &tests, AT_A_TIME)
}

fn test(cell: Cell) -> Test {
    (cell.to_string().leak(), Box::new(move || Ok(cell.play())))
}
