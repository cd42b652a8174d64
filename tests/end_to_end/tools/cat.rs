//! `millpond queue cat` and `export`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use millpond::drill::Proof;
use millpond_local_kinesis::KeptRecord;
use serde_json::Value;

use crate::world::World;

/// What a command has said, and how it has ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ran {
    #[track_caller]
    pub(super) fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Every line of its output.
    pub(super) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }
}

/// The program with these arguments, in this directory.
pub(super) fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.args(args).current_dir(directory).stdin(Stdio::null());
    command
}

pub(super) fn run(directory: &Path, args: &[&str]) -> Ran {
    Ran::from(command(directory, args).output().unwrap())
}

/// The numbers that the lines of the log file were given.
fn numbers(lines: &[Value]) -> Vec<u64> {
    let number = |line: &Value| {
        let raw = line["_raw"].as_str().unwrap_or_else(|| panic!("{line}"));
        raw.strip_prefix('#').unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    lines.iter().map(number).collect()
}

/// A forwarder whose link is down, with so many lines in its queue.
async fn cut_off(lines: u64, settings: &str) -> World {
    let settings =
        if settings.contains("flush_period") { settings } else { &format!("flush_period: 20ms\n{settings}") };
    let queue = "backpressure: queue\nqueue: { mode: always, max_segment_size: \"1 MiB\" }";
    let mut world = World::new(2, &format!("{settings}\n{queue}")).await;
    world.fault("down");
    world.start();
    // Batches at several times, and of several sizes.
    for part in 1..=10 {
        world.write_lines(lines * part / 10 - world.written);
        world.live(Duration::from_millis(50), 0).await;
    }
    while events_in(&world) < lines {
        world.live(Duration::from_millis(20), 0).await;
    }
    world
}

fn events_in(world: &World) -> u64 {
    let ran = run(&world.path(""), &["queue", "cat"]);
    if ran.code == Some(0) { ran.out.lines().count() as u64 } else { 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_shown_in_their_order_and_chosen() {
    // Batches of lines that were read at several times.
    let mut world = cut_off(2_000, "flush_period: 150ms").await;
    let directory = world.path("");
    let cat = |args: &[&str]| run(&directory, &[&["queue", "cat"], args].concat()).well().lines();
    let all = cat(&[]);
    assert_eq!(numbers(&all), (0..2_000).collect::<Vec<_>>());
    assert_eq!(numbers(&cat(&["--limit", "10"])), (0..10).collect::<Vec<_>>());
    assert_eq!(numbers(&cat(&["--grep", "#1977 "])), [1_977]);
    let host = all[0]["host"].as_str().unwrap();
    let (here, there) = (format!("host={host}"), format!("host={host}.not"));
    assert_eq!(cat(&["--where", &here, "--grep", "#19[0-9]{2} "]).len(), 100);
    assert_eq!(cat(&["--where", &there]).len(), 0);
    assert_eq!((cat(&["--since", "1h"]).len(), cat(&["--until", "1h"]).len()), (2_000, 0));

    // Lines that were read together have the same time; from one such time on is from the first of them on.
    let middle = all[1_000]["_time"].as_f64().unwrap();
    let time = format!("@{middle:.3}");
    let before = cat(&["--until", &time]);
    let since = cat(&["--since", &time]);
    assert_eq!(numbers(&[before.clone(), since.clone()].concat()), (0..2_000).collect::<Vec<_>>());
    assert!(before.iter().all(|event| event["_time"].as_f64().unwrap() < middle) && !before.is_empty());
    assert!(since.iter().all(|event| event["_time"].as_f64().unwrap() >= middle));

    let (front, back) = (cat(&["--to-seq", "2"]), cat(&["--from-seq", "3"]));
    assert!(!front.is_empty() && !back.is_empty());
    assert_eq!(numbers(&[front, back].concat()), (0..2_000).collect::<Vec<_>>());
    world.stop().await;
    assert_eq!(cat(&[]), all, "it is there without a forwarder as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_seen_enough_ends_it_well() {
    let world = cut_off(4_000, "").await;
    let mut child = command(&world.path(""), &["queue", "cat"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(100, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("#0 "), "{first}");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_is_shown_only_if_asked_for() {
    let settings = "backpressure: queue\nqueue: { mode: always, retain: 1h }\nflush_period: 20ms";
    let mut world = World::new(1, settings).await;
    world.start();
    world.write_lines(500);
    world.arrived().await;
    world.stop().await;
    let directory = world.path("");
    assert_eq!(run(&directory, &["queue", "cat"]).well().lines(), [] as [Value; 0]);
    let all = run(&directory, &["queue", "cat", "--all"]).well().lines();
    assert_eq!(numbers(&all), (0..500).collect::<Vec<_>>());
}

/// The largest file of a queue.
fn segment(directory: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_the_rest_is_shown() {
    let mut world = cut_off(2_000, "").await;
    world.stop().await;
    let copy = world.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(world.path("data/queues/main")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    let segment = segment(&copy);
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&segment, &bytes).unwrap();
    // The environment of whoever looks has nothing to do with it.
    let mut looking = command(&world.path(""), &["queue", "cat", "--path", "copy"]);
    let ran = Ran::from(looking.env("MILLPOND_ENVIRONMENT", "lab").output().unwrap());
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("cannot be read") && ran.err.contains(".seg, byte "), "{}", ran.err);
    let shown = numbers(&ran.lines());
    assert!(shown.is_sorted() && shown.len() > 1_000 && shown.len() < 2_000, "{}", shown.len());
    assert_eq!((shown[0], shown[shown.len() - 1]), (0, 1_999));

    let ran = run(&world.path(""), &["queue", "export", "--path", "copy", "some.ndjson"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(std::fs::read_to_string(world.path("some.ndjson")).unwrap().lines().count(), shown.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_records_are_exported_whole_or_not_at_all() {
    for settings in ["", "compression: none\nsend_batched: false"] {
        let world = cut_off(1_000, settings).await;
        let directory = world.path("");
        let export = |args: &[&str]| run(&directory, &[&["queue", "export"], args].concat());
        let shown = run(&directory, &["queue", "cat"]).well().out;
        let said = export(&["events.ndjson"]).well().err;
        assert!(said.contains("1,000 events of "), "{said}");
        assert_eq!(std::fs::read_to_string(world.path("events.ndjson")).unwrap(), shown);

        let refused = export(&["events.ndjson"]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("--force"), "{}", refused.err);
        export(&["--force", "--limit", "3", "events.ndjson"]).well();
        assert_eq!(std::fs::read_to_string(world.path("events.ndjson")).unwrap().lines().count(), 3);

        export(&["events.ndjson.gz"]).well();
        let packed = std::fs::File::open(world.path("events.ndjson.gz")).unwrap();
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, shown);
        assert_eq!(export(&["-"]).well().out, shown);

        let records = export(&["--format", "records", "-"]).well().lines();
        let kept: Vec<KeptRecord> = records.iter().map(put_elsewhere).collect();
        let proof = Proof::take(1_000, &kept);
        assert!(proof.holds() && proof.repeated == 0, "{proof:#?}");
        assert_eq!(records.iter().map(|record| record["events"].as_u64().unwrap()).sum::<u64>(), 1_000);
        let wrong = export(&["--format", "records", "--grep", "x", "-"]);
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
    }
}

/// What a stream would hold if somebody had put an exported record there.
fn put_elsewhere(record: &Value) -> KeptRecord {
    let data = base64_simd::STANDARD.decode_to_vec(record["data"].as_str().unwrap()).unwrap();
    let partition_key = record["partition_key"].as_str().unwrap().into();
    KeptRecord {
        stream: "logs".into(),
        shard_id: "shardId-000000000000".into(),
        sequence_number: record["sequence"].to_string(),
        partition_key,
        arrived_ms: 0,
        data: data.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_nothing_behind() {
    let world = cut_off(5_000, "").await;
    // Files of this process may not be larger than 64 KiB; without the trap the system would kill it for that.
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" queue export events.ndjson";
    let mut shell = Command::new("bash");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_millpond")]).current_dir(world.path(""));
    let output = shell.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("events.ndjson: ") && said.contains("nothing of it was kept"), "{said}");
    let left: Vec<_> =
        std::fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("events")), "{left:?}");
}
