//! An outage of half a minute, with each input and each way to bear it; and a table of what became of every event.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs fails")]

#[expect(dead_code, reason = "nothing here is skipped or repeated by a number")]
#[path = "../support/harness.rs"]
mod harness;
#[expect(dead_code, reason = "nothing is killed here")]
#[path = "../end_to_end/world.rs"]
mod world;

mod cell;
mod sender;
mod table;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use self::cell::Cell;
use self::harness::Test;
use self::sender::Kind;
use self::table::{Policy, Row};

/// Cells mostly wait for the outage to be over.
const AT_A_TIME: usize = 12;

fn main() -> ExitCode {
    let rows: Arc<Mutex<Vec<Row>>> = Arc::default();
    let cells = Kind::ALL.iter().flat_map(|kind| Policy::ALL.map(|policy| Cell { kind: *kind, policy }));
    let tests: Vec<Test> = cells
        .map(|cell| -> Test {
            let rows = Arc::clone(&rows);
            let name: &'static str = cell.to_string().leak();
            let play = move || {
                let row = cell.play();
                let figures = row.to_string();
                rows.lock().unwrap().push(row);
                Ok(figures)
            };
            (name, Box::new(play))
        })
        .collect();
    let code = harness::main_in_parallel("outage", &tests, AT_A_TIME);
    table::print(&mut rows.lock().unwrap());
    code
}
