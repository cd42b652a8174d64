//! Positions: what is read again after a stop or a crash, and what is not.

use std::fs;
use std::time::Duration;

use super::rig::Rig;
use crate::config::checked::ReadFrom;
use crate::inputs::InputError;

#[tokio::test]
async fn a_clean_stop_repeats_nothing_and_leaves_no_gap() {
    let mut lines = Vec::new();
    let rig = Rig::new(&["*.log"]);
    for run in 0..5 {
        let content: String = (0..30_000).map(|n| format!("{run} {n} {}\n", "x".repeat(40))).collect();
        rig.append("a.log", &content);
        let mut input = rig.start();
        for _ in 0..=run {
            let chunk = input.chunk().await;
            input.settle(chunk);
        }
        lines.extend(input.stop().await.remove("a.log").unwrap_or_default());
    }
    let rest = 150_000 - lines.len();
    lines.extend(rig.run_for(rest).await.remove("a.log").unwrap_or_default());
    let expected = (0..5).flat_map(|run| (0..30_000).map(move |n| format!("{run} {n} {}", "x".repeat(40))));
    assert!(lines.iter().cloned().eq(expected));
}

#[tokio::test]
async fn after_a_crash_what_was_not_acknowledged_is_read_again() {
    let rig = Rig::new(&["*.log"]);
    let line = "x".repeat(99);
    rig.append("a.log", &format!("{line}\n").repeat(10_000));
    let mut input = rig.start();
    let first = input.chunk().await;
    let second = input.chunk().await;
    let third = input.chunk().await;
    let taken = input.settle(first);
    // Out of order: the third is acknowledged, the second is not yet.
    input.settle(third);
    input.until("positions are saved", |counters| counters.positions_saved.get() > 0).await;
    let crashed = rig.keep_positions();
    input.settle(second);
    input.stop().await;
    crashed.put_back();
    assert_eq!(rig.run_for(10_000 - taken).await["a.log"].len(), 10_000 - taken);
}

#[tokio::test]
async fn a_stop_waits_for_every_receipt() {
    let rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    let mut input = rig.start();
    let chunk = input.chunk().await;
    input.stop.send(true).unwrap();
    // The outputs see the end while the input waits for them.
    assert!(input.chunks.recv().await.is_none());
    assert!(tokio::time::timeout(Duration::from_millis(100), input.ended()).await.is_err());
    chunk.receipt.settle();
    input.ended().await.unwrap();
    rig.append("a.log", "2\n");
    let mut input = rig.start();
    input.expect("a.log", &["2"]).await;
    input.stop().await;
}

#[tokio::test]
async fn lines_that_an_output_gives_back_are_read_again() {
    let rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    let mut input = rig.start();
    drop(input.chunk().await);
    input.expect("a.log", &["1"]).await;
    assert_eq!(input.counters.chunks_resent.get(), 1);
    rig.append("a.log", "2\n");
    input.expect("a.log", &["2"]).await;
    input.stop().await;
}

#[tokio::test]
async fn from_the_end_is_for_files_of_the_first_start_only() {
    let mut rig = Rig::new(&["*.log"]);
    rig.config.read_from = ReadFrom::End;
    rig.append("a.log", "old\nold half");
    let mut input = rig.start();
    input.until("it is known", |counters| counters.files.get() == 1).await;
    rig.append("a.log", " new half\n");
    input.expect("a.log", &["old half new half"]).await;
    rig.append("b.log", "1\n");
    input.expect("b.log", &["1"]).await;
    input.stop().await;
    rig.append("a.log", "2\n");
    rig.append("c.log", "3\n");
    let lines = rig.run_for(2).await;
    assert_eq!((&lines["a.log"][..], &lines["c.log"][..]), (&["2".to_owned()][..], &["3".to_owned()][..]));
}

#[tokio::test]
async fn from_the_end_is_remembered_before_anything_is_read() {
    let mut rig = Rig::new(&["*.log"]);
    rig.config.read_from = ReadFrom::End;
    rig.timing.save_interval = Duration::from_secs(3600);
    rig.append("a.log", "old\n");
    rig.append("b.log", "");
    let mut input = rig.start();
    input.until("they are known", |counters| counters.files.get() == 2).await;
    rig.append("b.log", "a sign of life\n");
    let chunk = input.chunk().await;
    let crashed = rig.keep_positions();
    chunk.receipt.settle();
    input.stop().await;
    crashed.put_back();
    rig.append("a.log", "1\n");
    let lines = rig.run_for(2).await;
    assert_eq!(lines["a.log"], ["1"]);
    assert_eq!(lines["b.log"], ["a sign of life"]);
}

#[tokio::test]
async fn what_happened_to_files_while_nobody_watched() {
    // What is done, and the lines that must come then.
    type Case = (&'static str, fn(&Rig), &'static [&'static str]);
    let cases: &[Case] = &[
        ("nothing", |_| {}, &[]),
        ("appended", |rig| drop(rig.append("app.log", "3\n")), &["3"]),
        ("truncated", |rig| rig.write("app.log", "3\n"), &["3"]),
        ("written anew", |rig| rig.write("app.log", "3\n4\n5\n6\n"), &["3", "4", "5", "6"]),
        (
            "rotated",
            |rig| {
                rig.append("app.log", "3\n");
                rig.rename("app.log", "app.log.1");
                rig.append("app.log", "4\n");
            },
            &["3", "4"],
        ),
        (
            "rotated, with a last line that has no end",
            |rig| {
                rig.append("app.log", "3");
                rig.rename("app.log", "app.log.1");
            },
            &["3"],
        ),
        (
            "rotated twice, nothing new",
            |rig| {
                rig.rename("app.log", "app.log.1");
                rig.rename("app.log.1", "app.log.2");
            },
            &[],
        ),
        (
            "deleted and made again",
            |rig| {
                rig.remove("app.log");
                rig.append("app.log", "3\n4\n5\n6\n");
            },
            &["3", "4", "5", "6"],
        ),
        ("deleted", |rig| rig.remove("app.log"), &[]),
    ];
    for include in ["app.log", "app*"] {
        for (what, change, expected) in cases {
            let rig = Rig::new(&[include, "sign"]);
            rig.append("app.log", "1\n2\n");
            assert_eq!(rig.run_for(2).await["app.log"], ["1", "2"]);
            change(&rig);
            let mut input = rig.start();
            input.take(expected.len()).await;
            rig.append("sign", "of life\n");
            input.expect("sign", &["of life"]).await;
            let mut lines = input.stop().await.remove("app.log").unwrap_or_default();
            lines.sort();
            assert_eq!(&lines, expected, "{what}, {include}");
            // And a third run has nothing left to read.
            rig.append("sign", "again\n");
            let lines = rig.run_for(1).await;
            assert_eq!(lines.keys().collect::<Vec<_>>(), ["sign"], "{what}, {include}");
        }
    }
}

#[tokio::test]
async fn a_place_inside_a_cut_line_survives_a_restart() {
    let mut rig = Rig::new(&["*.log"]);
    rig.max_line = 4;
    rig.append("a.log", "123456");
    assert_eq!(rig.run_for(1).await["a.log"], ["1234"]);
    rig.append("a.log", "78\nnext\n");
    assert_eq!(rig.run_for(1).await["a.log"], ["next"]);
}

#[tokio::test]
async fn unreadable_positions_are_an_error_and_never_a_new_beginning() {
    let rig = Rig::new(&["*.log"]);
    rig.append("a.log", "1\n");
    rig.run_for(1).await;
    let files = ["a", "b"].map(|slot| rig.data_dir().join(format!("in/positions.{slot}")));
    let good = files.each_ref().map(|file| fs::read(file).unwrap());
    for file in &files {
        let mut bad = fs::read(file).unwrap();
        bad.iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(file, bad).unwrap();
    }
    let error = rig.start().ended().await.unwrap_err();
    let InputError::Positions { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.contains("positions.a") && error.to_string().contains("data/in"), "{error}");
    // One good file is enough; it may be the older one, which repeats a little.
    rig.append("a.log", "2\n");
    for damaged in 0..2 {
        for (file, body) in files.iter().zip(&good) {
            fs::write(file, body).unwrap();
        }
        fs::write(&files[damaged], "damaged").unwrap();
        let mut input = rig.start();
        while input.lines.get("a.log").is_none_or(|lines| lines.last().unwrap() != "2") {
            let chunk = input.chunk().await;
            input.settle(chunk);
        }
        input.stop().await;
    }
}

#[tokio::test]
async fn a_directory_for_positions_that_cannot_be_used_is_an_error() {
    let rig = Rig::new(&["*.log"]);
    fs::write(rig.data_dir(), "in the way").unwrap();
    let error = rig.start().ended().await.unwrap_err();
    assert!(matches!(error, InputError::Positions { .. }), "{error}");
    fs::remove_file(rig.data_dir()).unwrap();
    let input = rig.start();
    input.until("it runs", |counters| counters.unwatched_dirs.get() == 0).await;
    let error = loop {
        // The first one may not have come so far as to take the directory.
        let mut second = rig.start();
        match tokio::time::timeout(Duration::from_millis(200), second.ended()).await {
            Ok(ended) => break ended.unwrap_err(),
            Err(_) => drop(second),
        }
    };
    assert!(error.to_string().contains("process"), "{error}");
    drop(input);
}
