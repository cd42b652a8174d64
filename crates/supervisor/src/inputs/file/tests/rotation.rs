//! Files that are renamed, truncated, replaced and deleted.

use std::io::Write;
use std::time::Duration;

use super::rig::Rig;

#[tokio::test]
async fn a_renamed_file_is_read_to_its_end_and_its_successor_from_the_beginning() {
    for include in ["app.log", "app.log*"] {
        let rig = Rig::new(&[include]);
        let mut old = rig.append("app.log", "1\n2\n");
        let mut input = rig.start();
        input.expect("app.log", &["1", "2"]).await;
        rig.rename("app.log", "app.log.1");
        // Whoever writes it goes on for a while.
        old.write_all(b"3\n").unwrap();
        rig.append("app.log", "4\n");
        input.take(2).await;
        old.write_all(b"5\nhalf").unwrap();
        input.take(2).await;
        let mut lines = input.lines["app.log"].clone();
        lines.sort();
        assert_eq!(lines, ["1", "2", "3", "4", "5", "half"], "{include}");
        assert_eq!(input.counters.rotations.get(), 1, "{include}");
        assert_eq!(input.stop().await.len(), 1, "{include}");
        // Nothing of it is read again.
        rig.append("app.log", "6\n");
        assert_eq!(rig.run_for(1).await["app.log"], ["6"], "{include}");
    }
}

#[tokio::test]
async fn a_file_that_keeps_its_new_name_bears_it() {
    let rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    let mut input = rig.start();
    input.expect("a.log", &["1"]).await;
    rig.rename("a.log", "b.log");
    input.until("it is noticed", |counters| counters.rotations.get() == 1).await;
    tokio::time::sleep(rig.timing.gone_quiet * 3).await;
    rig.append("b.log", "2\n");
    input.expect("b.log", &["2"]).await;
    input.stop().await;
}

#[tokio::test]
async fn rotations_in_chains_that_are_faster_than_looking() {
    for include in ["log", "log*"] {
        let rig = Rig::new(&[include]);
        rig.append("log", "");
        let mut input = rig.start();
        input.until("it watches", |counters| counters.files.get() == 1).await;
        for round in 0..20 {
            let line = |n: u32| format!("{}\n", round * 3 + n);
            rig.append("log", &line(0));
            rig.rename("log", "log.1");
            rig.append("log", &line(1));
            rig.rename("log.1", "log.2");
            rig.rename("log", "log.1");
            rig.append("log", &line(2));
            input.take(3).await;
            rig.rename("log", "log.0");
        }
        let mut numbers: Vec<u32> =
            input.stop().await.values().flatten().map(|line| line.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..60), "{include}: {numbers:?}");
    }
}

#[tokio::test]
async fn a_closed_file_that_was_renamed_is_found_near_its_old_path() {
    let mut rig = Rig::new(&["app.log"]);
    rig.timing.notices = false;
    rig.timing.idle_close = Duration::ZERO;
    rig.config.rescan = Duration::from_millis(20);
    rig.append("app.log", "1\n");
    let mut input = rig.start();
    input.take(1).await;
    input.until("it is closed", |counters| counters.files_open.get() == 0).await;
    // One change for the rescan: it must not see the longer file under its old name.
    rig.rename("app.log", "app.log.1");
    rig.append("app.log.1", "2\n");
    input.expect("app.log", &["2"]).await;
    input.until("it is done", |counters| counters.files.get() == 0).await;
    input.stop().await;
}

#[tokio::test]
async fn a_truncated_file_is_read_from_its_beginning() {
    let rig = Rig::new(&["app.log"]);
    let mut file = rig.append("app.log", "1\n2\n");
    let mut input = rig.start();
    input.expect("app.log", &["1", "2"]).await;
    // Shorter than before, longer than before, and as long as before.
    for (n, content) in ["3\n", "4 is longer\n5\n", "6 is longer\n7\n"].iter().enumerate() {
        file.set_len(0).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let lines: Vec<&str> = content.lines().collect();
        input.expect("app.log", &lines).await;
        assert_eq!(input.counters.truncations.get(), n as u64 + 1);
    }
    input.stop().await;
    rig.append("app.log", "8\n");
    assert_eq!(rig.run_for(1).await["app.log"], ["8"]);
}

/// A file of three chunks and a half-written line, of which the output has taken one only.
async fn half_read(rig: &mut Rig) -> super::rig::Input {
    rig.room = 1;
    let line = "x".repeat(1023) + "\n";
    rig.append("app.log", &(line.repeat(700) + "half"));
    let mut input = rig.start();
    let chunk = input.chunk().await;
    assert_eq!(input.settle(chunk), 256);
    input
}

#[tokio::test]
async fn a_file_that_is_deleted_is_read_to_its_end_and_forgotten() {
    let mut rig = Rig::new(&["app.log"]);
    let mut input = half_read(&mut rig).await;
    rig.remove("app.log");
    input.until("it is noticed", |counters| counters.deletions.get() == 1).await;
    rig.append("app.log", "new\n");
    input.take(700 - 256 + 2).await;
    let lines = &input.lines["app.log"];
    assert!(lines.contains(&"new".to_owned()) && lines.contains(&"half".to_owned()));
    input.until("the old one is forgotten", |counters| counters.files.get() == 1).await;
    assert_eq!(input.counters.bytes_lost.get(), 0);
    input.stop().await;
}

#[tokio::test]
async fn what_is_left_of_a_deleted_file_is_handed_on_at_a_stop() {
    let mut rig = Rig::new(&["app.log"]);
    rig.timing.stop_deleted = super::rig::SOON;
    let input = half_read(&mut rig).await;
    rig.remove("app.log");
    input.until("it is noticed", |counters| counters.deletions.get() == 1).await;
    assert_eq!(input.stop().await["app.log"].len(), 701);
}

#[tokio::test]
async fn what_is_lost_of_a_deleted_file_at_a_stop_is_counted() {
    let mut rig = Rig::new(&["app.log"]);
    rig.timing.stop_deleted = Duration::from_millis(1);
    let input = half_read(&mut rig).await;
    rig.remove("app.log");
    input.until("it is noticed", |counters| counters.deletions.get() == 1).await;
    input.stop.send(true).unwrap();
    input.until("the loss is counted", |counters| counters.bytes_lost.get() > 0).await;
    let counters = std::sync::Arc::clone(&input.counters);
    let read: usize = input.stop().await["app.log"].iter().map(|line| line.len() + 1).sum();
    assert_eq!(read as u64 + counters.bytes_lost.get(), 700 * 1024 + 4);
}

#[tokio::test]
async fn a_file_that_is_deleted_and_made_again_is_new() {
    let rig = Rig::new(&["app.log"]);
    rig.append("app.log", "1\n");
    let mut input = rig.start();
    for n in 1..30 {
        input.expect("app.log", &[&n.to_string()]).await;
        rig.remove("app.log");
        rig.append("app.log", &format!("{}\n", n + 1));
    }
    input.expect("app.log", &["30"]).await;
    input.stop().await;
}
