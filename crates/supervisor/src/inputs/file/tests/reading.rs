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
