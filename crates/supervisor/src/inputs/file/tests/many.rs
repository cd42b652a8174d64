//! Many files, fast rotation, and how fast it is.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use super::rig::{Rig, quick};

#[tokio::test]
async fn two_thousand_files_with_few_open_at_a_time() {
    let mut rig = Rig::new(&["**/*.log"]);
    rig.timing.open_files_max = 50;
    for n in 0..2000 {
        let dir = rig.path(&format!("d{}", n % 20));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("{n}.log")), format!("{n} one\n{n} two\n")).unwrap();
    }
    let mut input = rig.start();
    input.take(4000).await;
    assert_eq!(input.counters.files.get(), 2000);
    assert!(input.counters.files_open.get() <= 50);
    for n in 0..2000 {
        rig.append(&format!("d{}/{n}.log", n % 20), &format!("{n} three\n"));
    }
    input.take(2000).await;
    for (source, lines) in input.stop().await {
        let n = source.split(['/', '.']).nth(1).unwrap();
        assert_eq!(lines, [format!("{n} one"), format!("{n} two"), format!("{n} three")]);
    }
    rig.append("d0/0.log", "only this\n");
    assert_eq!(rig.run_for(1).await.len(), 1);
}

#[tokio::test]
async fn large_files_take_turns() {
    let mut rig = Rig::new(&["*.log"]);
    rig.room = 1;
    for name in ["a.log", "b.log", "c.log"] {
        rig.write(name, &("x".repeat(99) + "\n").repeat(20_000));
    }
    let mut input = rig.start();
    let mut turns: HashMap<String, usize> = HashMap::new();
    for n in 1..=21 {
        let chunk = input.chunk().await;
        assert!(chunk.data.len() <= 256 << 10);
        *turns.entry(chunk.source.to_string()).or_default() += 1;
        input.settle(chunk);
        let counts = turns.values();
        assert!(counts.clone().max().unwrap() - (n / 3) <= 1, "{turns:?}");
    }
    input.crash().await;
}

/// Writes lines with running numbers as fast as it goes, rotating after every few; returns how many.
fn write_and_rotate(rig: &Rig, rotations: u32, rotate: &dyn Fn(u32)) -> usize {
    let mut n = 0;
    for rotation in 0..rotations {
        let mut file = OpenOptions::new().append(true).create(true).open(rig.path("app.log")).unwrap();
        for _ in 0..(rotation * 7919) % 300 {
            // In one piece, as logs are written.
            file.write_all(format!("{n} {}\n", "x".repeat(n % 100)).as_bytes()).unwrap();
            n += 1;
        }
        rotate(rotation);
        // The writer has not noticed yet.
        for _ in 0..rotation % 5 {
            file.write_all(format!("{n}\n").as_bytes()).unwrap();
            n += 1;
        }
    }
    n
}

async fn rotate_fast(include: &str) {
    let rig = Rig::new(&[include]);
    rig.append("app.log", "");
    let mut input = rig.start();
    input.until("it watches", |counters| counters.files.get() == 1).await;
    let written = std::thread::scope(|scope| {
        let writer =
            scope.spawn(|| write_and_rotate(&rig, 300, &|n| rig.rename("app.log", &format!("app.log.{n}"))));
        while !writer.is_finished() {
            while let Ok(chunk) = input.chunks.try_recv() {
                input.settle(chunk);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        writer.join().unwrap()
    });
    let taken: usize = input.lines.values().map(Vec::len).sum();
    input.take(written - taken).await;
    // Long enough for anything that would be read twice.
    tokio::time::sleep(quick().gone_quiet * 2).await;
    let mut numbers: Vec<usize> = input
        .stop()
        .await
        .values()
        .flatten()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers.len(), written);
    assert!(numbers.into_iter().eq(0..written));
}

#[tokio::test]
async fn fast_rotation_by_rename_within_the_pattern_loses_and_repeats_nothing() {
    rotate_fast("app.log*").await;
}

#[tokio::test]
async fn fast_rotation_by_rename_out_of_the_pattern_loses_and_repeats_nothing() {
    rotate_fast("app.log").await;
}

#[tokio::test]
async fn fast_rotation_by_copy_and_truncate_repeats_nothing_and_goes_on() {
    let rig = Rig::new(&["app.log"]);
    rig.append("app.log", "");
    let mut input = rig.start();
    input.until("it watches", |counters| counters.files.get() == 1).await;
    let truncate = |_| {
        fs::copy(rig.path("app.log"), rig.path("copy")).unwrap();
        OpenOptions::new().write(true).truncate(true).open(rig.path("app.log")).unwrap();
    };
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_and_rotate(&rig, 200, &truncate));
        while !writer.is_finished() {
            while let Ok(chunk) = input.chunks.try_recv() {
                input.settle(chunk);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        writer.join().unwrap()
    });
    // What was cut off before it was read is gone; what is written after the last truncation is not.
    rig.append("app.log", "the end\n");
    while input.lines.get("app.log").is_none_or(|lines| lines.last().unwrap() != "the end") {
        let chunk = input.chunk().await;
        input.settle(chunk);
    }
    let mut lines = input.stop().await.remove("app.log").unwrap();
    lines.pop();
    let number = |line: &String| line.split(' ').next().and_then(|number| number.parse().ok());
    let whole = |line: &&String| number(line).is_some();
    let torn: Vec<&String> = lines.iter().filter(|line| !whole(line)).collect();
    assert!(torn.is_empty(), "{torn:?}");
    let mut numbers: Vec<usize> = lines.iter().filter_map(number).collect();
    let read = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    println!("read {read} of {written} lines, {} of them twice", read - numbers.len());
    assert!(numbers.last().is_some_and(|last| *last < written));
    assert_eq!(numbers.len(), read, "nothing twice");
}
