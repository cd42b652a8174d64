//! Lines, long and short, whole and half-written.

use std::io::Write;

use super::rig::Rig;

#[tokio::test]
async fn reads_what_is_there_and_what_is_written_later() {
    let rig = Rig::new(&["*.log"]);
    rig.write("a.log", "one\ntwo\n");
    rig.write("b.txt", "not mine\n");
    let mut input = rig.start();
    input.expect("a.log", &["one", "two"]).await;
    rig.append("a.log", "three\r\n");
    input.expect("a.log", &["three\r"]).await;
    rig.append("later.log", "four\n");
    input.expect("later.log", &["four"]).await;
    assert_eq!(input.counters.events.get(), 4);
    assert_eq!(input.counters.bytes.get(), 20);
    assert_eq!(input.counters.files.get(), 2);
    input.stop().await;
}

#[tokio::test]
async fn a_half_written_line_waits_for_its_end() {
    let rig = Rig::new(&["*.log"]);
    rig.write("a.log", "one\ntw");
    let mut input = rig.start();
    input.expect("a.log", &["one"]).await;
    let mut file = rig.append("a.log", "o");
    file.write_all(b" and").unwrap();
    rig.append("b.log", "a sign of life\n");
    input.expect("b.log", &["a sign of life"]).await;
    file.write_all(b" a half\nthree").unwrap();
    input.expect("a.log", &["two and a half"]).await;
    assert_eq!(input.stop().await["a.log"], ["one", "two and a half"]);
    rig.append("a.log", "\n");
    assert_eq!(rig.run_for(1).await["a.log"], ["three"]);
}

#[tokio::test]
async fn lines_that_are_too_long_are_cut_and_counted() {
    let mut rig = Rig::new(&["*.log"]);
    rig.max_line = 8;
    rig.write("a.log", "12345678\r\n123456789\nshort\n1234567890");
    let mut input = rig.start();
    input.expect("a.log", &["12345678\r", "12345678", "short", "12345678"]).await;
    // The last one was cut before it was whole; what follows belongs to it.
    rig.append("a.log", " and more\nnext\n");
    input.expect("a.log", &["next"]).await;
    assert_eq!(input.counters.lines_cut.get(), 2);
    assert_eq!(input.counters.bytes_cut.get(), 2 + 2 + 10);
    input.stop().await;
}

#[tokio::test]
async fn a_line_of_many_reads_is_one_line_and_one_without_end_is_not_held() {
    let mut rig = Rig::new(&["*.log"]);
    rig.max_line = 1 << 20;
    let long = "x".repeat(rig.max_line);
    rig.write("a.log", &format!("{long}\r\n{long}yyy\nend\n"));
    let mut input = rig.start();
    input.expect("a.log", &[&format!("{long}\r"), &long, "end"]).await;
    rig.append("a.log", &"z".repeat(5 << 20));
    input.expect("a.log", &[&"z".repeat(rig.max_line)]).await;
    rig.append("a.log", "z\nafter\n");
    input.expect("a.log", &["after"]).await;
    assert_eq!(input.counters.bytes_cut.get(), 4 + (4 << 20) + 2);
    input.stop().await;
}

#[tokio::test]
async fn files_and_directories_that_appear_later_are_read() {
    let rig = Rig::new(&["**/*.log", "deep/*/x.txt"]);
    let mut input = rig.start();
    for i in 0..20 {
        let dir = format!("new{i}/below");
        std::fs::create_dir_all(rig.path(&dir)).unwrap();
        rig.write(&format!("{dir}/a.log"), "one\n");
        input.expect(&format!("{dir}/a.log"), &["one"]).await;
    }
    std::fs::create_dir_all(rig.path("deep")).unwrap();
    std::fs::create_dir_all(rig.path("deep/down")).unwrap();
    rig.write("deep/down/x.txt", "two\n");
    input.expect("deep/down/x.txt", &["two"]).await;
    // A directory that was renamed is known by its new name.
    rig.rename("deep/down", "deep/up");
    rig.append("deep/up/x.txt", "three\n");
    input.take(1).await;
    rig.append("deep/up/x.txt", "four\n");
    input.take(1).await;
    input.stop().await;
}

#[tokio::test]
async fn a_notice_leads_to_reading_at_once() {
    let mut rig = Rig::new(&["*.log"]);
    // Nothing else wakes it.
    rig.timing.save_interval = std::time::Duration::from_secs(3600);
    let mut file = rig.append("a.log", "one\n");
    let mut input = rig.start();
    input.take(1).await;
    let mut delays = Vec::new();
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(7)).await;
        let written = tokio::time::Instant::now();
        file.write_all(b"again\n").unwrap();
        input.take(1).await;
        delays.push(input.last.unwrap() - written);
    }
    delays.sort();
    println!("from write to chunk: median {:?}, longest {:?}", delays[25], delays[49]);
    assert!(delays[25] < std::time::Duration::from_millis(20), "{delays:?}");
    input.stop().await;
}

#[tokio::test]
async fn without_notices_the_rescan_finds_everything() {
    let mut rig = Rig::new(&["*.log"]);
    rig.timing.notices = false;
    rig.config.rescan = std::time::Duration::from_millis(20);
    rig.write("a.log", "one\n");
    let mut input = rig.start();
    input.expect("a.log", &["one"]).await;
    rig.append("a.log", "two\n");
    input.expect("a.log", &["two"]).await;
    rig.write("b.log", "three\n");
    input.expect("b.log", &["three"]).await;
    rig.append("a.log", "four\n");
    rig.rename("a.log", "a.log.1");
    rig.write("a.log", "five\n");
    input.take(2).await;
    assert_eq!(input.lines["a.log"], ["one", "two", "four", "five"]);
    rig.remove("b.log");
    input.until("b.log is forgotten", |counters| counters.deletions.get() == 1).await;
    assert_eq!(input.counters.unwatched_dirs.get(), 1);
    input.stop().await;
}

#[tokio::test]
async fn a_file_with_several_names_is_read_once() {
    let rig = Rig::new(&["*.log", "a.*", "links/*"]);
    rig.write("a.log", "one\n");
    std::fs::hard_link(rig.path("a.log"), rig.path("b.log")).unwrap();
    std::os::unix::fs::symlink(rig.path("a.log"), rig.path("c.log")).unwrap();
    std::os::unix::fs::symlink(rig.path(""), rig.path("links")).unwrap();
    let mut input = rig.start();
    input.take(1).await;
    rig.append("b.log", "two\n");
    input.take(1).await;
    rig.write("d.log", "three\n");
    input.take(1).await;
    let lines = input.stop().await;
    assert_eq!(lines.values().map(Vec::len).sum::<usize>(), 3, "{lines:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_does_not_hold_up_others() {
    let mut rig = Rig::new(&["*/*.log", "loop.log"]);
    rig.config.rescan = std::time::Duration::from_millis(20);
    std::fs::create_dir(rig.path("x")).unwrap();
    std::os::unix::fs::symlink(rig.path("loop.log"), rig.path("loop.log")).unwrap();
    rig.write("x/b.log", "two\n");
    let mut input = rig.start();
    input.expect("x/b.log", &["two"]).await;
    input.until("it is tried again", |counters| counters.read_errors.get() > 1).await;
    rig.remove("loop.log");
    rig.write("loop.log", "good now\n");
    input.expect("loop.log", &["good now"]).await;
    input.stop().await;
}
