//! docs/faults.md, made from the table.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::harness::Outcome;
use crate::table::{Arrives, DeadLetters, Policy, ROWS, Repeated, Row, Worst};

const BEGIN: &str = "<!-- faults -->\n";
const END: &str = "<!-- /faults -->";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md")
}

/// With `MILLPOND_WRITE_DOCS` set the page is written instead of compared.
pub(crate) fn is_what_the_table_says() -> Outcome {
    let page = std::fs::read_to_string(path()).unwrap();
    let fresh = refresh(&page).expect("the page has the markers of the table");
    if std::env::var_os("MILLPOND_WRITE_DOCS").is_some() {
        std::fs::write(path(), fresh).unwrap();
        return Ok("written".to_owned());
    }
    assert!(
        page == fresh,
        "docs/faults.md is out of step: MILLPOND_WRITE_DOCS=1 cargo test -p millpond --test fault_matrix -- page"
    );
    Ok(format!("{} rows", ROWS.len()))
}

/// The page with a fresh table between its markers.
fn refresh(page: &str) -> Option<String> {
    let from = page.find(BEGIN)? + BEGIN.len();
    let to = from + page[from..].find(END)?;
    let mut fresh = page.to_owned();
    fresh.replace_range(from..to, &table());
    Some(fresh)
}

fn table() -> String {
    let mut table =
        "| when … | the output | `block` | `drop` | `queue` | twice | in the log | PutRecord, PutRecords |\n\
                     |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for row in ROWS {
        let [block, drop, queue] = Policy::ALL.map(|policy| becomes(row, policy));
        let (state, twice, said) = (state(row), twice(row), said(row));
        let by_api = if row.by_api.is_empty() { "the same" } else { row.by_api };
        let line =
            format!("| {} | {state} | {block} | {drop} | {queue} | {twice} | {said} | {by_api} |", row.when);
        writeln!(table, "{line}").expect("a String takes all text");
    }
    table
}

fn state(row: &Row) -> &'static str {
    match (row.worst, row.arrives) {
        (Worst::Healthy, _) => "healthy",
        (Worst::Unhealthy, Arrives::Afterwards) => "unhealthy",
        (Worst::Unhealthy, Arrives::Meanwhile) => "unhealthy in the outage, then healthy",
    }
}

/// What becomes of new events.
fn becomes(row: &Row, policy: Policy) -> &'static str {
    match (row.worst, row.dead_letters, policy) {
        (Worst::Healthy, DeadLetters::OneRecord, _) => "dead letter",
        (Worst::Healthy, DeadLetters::None, _) if row.arrives == Arrives::Afterwards => "wait",
        (Worst::Healthy, DeadLetters::None, _) => "sent",
        (Worst::Unhealthy, _, Policy::Block) => "wait",
        (Worst::Unhealthy, _, Policy::Drop) => "dropped",
        (Worst::Unhealthy, _, Policy::Queue) => "queued",
    }
}

fn twice(row: &Row) -> &'static str {
    match row.repeated {
        Repeated::Nothing => "no",
        Repeated::InFlight => "at most what was in flight",
        Repeated::Unanswered => "what got no answer",
    }
}

fn said(row: &Row) -> String {
    match row.words {
        [] => "–".to_owned(),
        words => words.iter().map(|words| format!("`{words}`")).collect::<Vec<_>>().join(", "),
    }
}
