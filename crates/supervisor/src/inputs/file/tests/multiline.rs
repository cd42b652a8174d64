//! Events of several lines.

use std::time::Duration;

use super::rig::{Rig, SOON};
use crate::config::checked::MultilineSettings;
use crate::inputs::InputError;

/// So long that no event is finished by it.
const NEVER: Duration = Duration::from_secs(3600);

fn rig(timeout: Duration) -> Rig {
    let mut rig = Rig::new(&["*.log"]);
    rig.config.multiline = Some(MultilineSettings { start: r"^\d".to_owned(), timeout });
    rig
}

#[tokio::test]
async fn the_last_event_of_a_file_is_finished_by_silence() {
    let rig = rig(Duration::from_millis(200));
    rig.append("a.log", "1 a\n  at b\n2 c\n  at d\n");
    let mut input = rig.start();
    input.expect("a.log", &["1 a\n  at b", "2 c\n  at d"]).await;
    // Each of them has a silence of its own; a line without its end stays.
    rig.append("a.log", "3 e\n  at f\n  at");
    rig.append("b.log", "1 x\n");
    input.take(2).await;
    assert_eq!(input.lines["b.log"], ["1 x"]);
    rig.append("a.log", " g\n4 h\n");
    input.take(2).await;
    let all = ["1 a\n  at b", "2 c\n  at d", "3 e\n  at f", "  at g", "4 h"];
    assert_eq!(input.stop().await["a.log"], all);
}

#[tokio::test]
async fn a_restart_in_the_middle_of_an_event_neither_splits_nor_loses_it() {
    let rig = rig(NEVER);
    let mut all = Vec::new();
    for run in 0..4 {
        rig.append("a.log", &format!("  line {run}\n{run} event\n  of many\n"));
        let mut input = rig.start();
        // What is finished by now: the event of the run before, and of the first the lines before any start.
        input.take(1).await;
        all.extend(input.stop().await["a.log"].clone());
    }
    let mut input = rig.start();
    rig.append("a.log", "9\n");
    input.take(1).await;
    all.extend(input.stop().await["a.log"].clone());
    let expected = [
        "  line 0",
        "0 event\n  of many\n  line 1",
        "1 event\n  of many\n  line 2",
        "2 event\n  of many\n  line 3",
        "3 event\n  of many",
    ];
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_crash_repeats_whole_events() {
    let rig = rig(NEVER);
    rig.append("a.log", "1 a\n  b\n2 c\n  d\n3 e\n");
    let mut input = rig.start();
    let chunk = input.chunk().await;
    input.note(&chunk);
    drop(chunk);
    assert_eq!(input.crash().await["a.log"], ["1 a\n  b", "2 c\n  d"]);
    let mut input = rig.start();
    input.expect("a.log", &["1 a\n  b", "2 c\n  d"]).await;
    input.stop().await;
}

#[tokio::test]
async fn a_rotation_finishes_the_last_event_with_its_last_line() {
    let rig = rig(NEVER);
    rig.append("a.log", "1 a\n  b\n  c");
    let mut input = rig.start();
    input.until("it is read", |counters| counters.files_open.get() == 1).await;
    rig.rename("a.log", "a.1");
    rig.append("a.log", "  not of it\n2 d\n3 e\n");
    input.take(3).await;
    let mut lines = input.stop().await["a.log"].clone();
    lines.sort_unstable();
    assert_eq!(lines, ["  not of it", "1 a\n  b\n  c", "2 d"]);
}

#[tokio::test]
async fn events_larger_than_a_chunk_are_whole_and_larger_than_max_line_are_cut() {
    let mut rig = rig(NEVER);
    rig.max_line = 600_000;
    let lines = |count: usize| "  x".repeat(33).to_owned() + "\n" + &"  yyyyyy\n".repeat(count);
    let (large, too_large) = (format!("1 {}", lines(50_000)), format!("2 {}", lines(200_000)));
    rig.append("a.log", &format!("{large}{too_large}3\n4\n"));
    let mut input = rig.start();
    input.take(3).await;
    let counters = std::sync::Arc::clone(&input.counters);
    let events = input.stop().await["a.log"].clone();
    assert!(events[0] == large.trim_end_matches('\n'));
    assert!(events[1] == too_large[..600_000]);
    assert_eq!(events[2], "3");
    let left_out = too_large.len() as u64 - 600_000;
    assert_eq!((counters.lines_cut.get(), counters.bytes_cut.get()), (1, left_out));
}

#[tokio::test]
async fn a_pattern_that_is_none_is_an_error() {
    let mut rig = rig(NEVER);
    rig.config.multiline.as_mut().unwrap().start = "(".to_owned();
    let ended = tokio::time::timeout(SOON, rig.start().ended()).await.unwrap();
    assert!(matches!(ended, Err(InputError::Pattern { pattern, .. }) if pattern == "("));
}
