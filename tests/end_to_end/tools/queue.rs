//! `millpond queue`: what it says of a queue that a forwarder fills, of one that is dead, and of one that is damaged.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::world::World;

const SETTINGS: &str = "flush_period: 50ms\nmax_record_size: \"16 KiB\"\nbackpressure: queue\n\
                        queue: { max_segment_size: \"1 MiB\", min_free: \"0 B\" }";

/// Runs `millpond queue …` where the configuration is, with nobody at the terminal.
fn queue(world: &World, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.arg("queue").args(arguments.split(' ')).current_dir(world.path("")).stdin(Stdio::null());
    command.env("LANG", "C.UTF-8").env_remove("LC_ALL").output().unwrap()
}

/// What it prints, and its exit code.
fn said(world: &World, arguments: &str) -> (String, i32) {
    let output = queue(world, arguments);
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code().unwrap())
}

/// The JSON documents that it prints, one a line.
fn json(world: &World, arguments: &str) -> Vec<Value> {
    let output = queue(world, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn one_json(world: &World, arguments: &str) -> Value {
    let mut documents = json(world, arguments);
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

fn sum(documents: &[Value], name: &str) -> u64 {
    documents.iter().map(|document| document[name].as_u64().unwrap()).sum()
}

/// A world whose link is down, with all lines in the queue; the forwarder runs.
async fn outage(lines: u64) -> World {
    outage_with(SETTINGS, lines).await
}

async fn outage_with(settings: &str, lines: u64) -> World {
    let mut world = World::new(2, settings).await;
    world.fault("down");
    world.write_lines(lines);
    world.start();
    world.hear("the outage", |said| said.state.as_deref() == Some("unhealthy")).await;
    queued(&mut world, lines).await;
    world
}

/// Waits until so many events are in the queue.
async fn queued(world: &mut World, events: u64) {
    let until = tokio::time::Instant::now() + crate::world::PATIENCE;
    loop {
        let has_queue = world.path("data/queues/main/cursor.a").exists();
        if has_queue && one_json(world, "stat --json")["pending"]["events"] == events {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "{:?}", queue(world, "stat"));
        world.live(Duration::from_millis(50), 0).await;
    }
}

/// Everything that can be told of the files below a directory.
fn files(directory: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let modified = path.metadata().unwrap().modified().unwrap();
            all.insert(path.display().to_string(), (std::fs::read(&path).unwrap(), modified));
        }
    }
    all.insert(
        directory.display().to_string(),
        (Vec::new(), directory.metadata().unwrap().modified().unwrap()),
    );
    all
}

const LOOKS: [&str; 10] = [
    "ls",
    "ls --json",
    "stat",
    "stat --json",
    "stat --measure 10ms",
    "show 1",
    "show 1 --json",
    "verify",
    "repair --dry-run",
    "purge --dry-run",
];

#[tokio::test(flavor = "multi_thread")]
async fn all_of_them_say_the_same_of_a_live_queue() {
    let mut world = outage(3_000).await;
    let segments = json(&world, "ls --json");
    assert!(segments.len() > 1 || segments[0]["state"] == "active", "{segments:?}");
    assert_eq!((sum(&segments, "events"), sum(&segments, "pending_events")), (3_000, 3_000));
    let stat = one_json(&world, "stat --json");
    assert_eq!(stat["pending"]["events"], 3_000);
    assert_eq!(stat["pending"]["batches"], sum(&segments, "batches"));
    assert_eq!(stat["pending"]["payload_bytes"], sum(&segments, "payload_bytes"));
    assert_eq!(stat["drain"]["state"], "still");
    assert!(stat["process"].as_u64().is_some(), "{stat}");
    assert_eq!(stat["end_seq"], segments.last().unwrap()["end_seq"]);
    let verify = one_json(&world, "verify --json");
    assert_eq!(
        (&verify["events"], &verify["batches"]),
        (&stat["pending"]["events"], &stat["pending"]["batches"])
    );
    let mut events = 0;
    for sequence in 1..stat["end_seq"].as_u64().unwrap() {
        let batch = one_json(&world, &format!("show {sequence} --json"));
        assert_eq!(
            (&batch["seq"], &batch["settled"], &batch["format"]),
            (&sequence.into(), &false.into(), &"gzip".into())
        );
        let records = batch["records"].as_array().unwrap();
        assert_eq!(sum(records, "events"), batch["events"]);
        assert!(records[0]["first_event"].as_str().unwrap().starts_with("{\"_raw\":\"#"), "{batch}");
        events += batch["events"].as_u64().unwrap();
    }
    assert_eq!(events, 3_000);
    for look in LOOKS {
        let (text, code) = said(&world, look);
        assert_eq!(code, 0, "{look}: {text}");
        let wide =
            |line: &&str| line.chars().count() > 80 && !look.contains("json") && !line.starts_with("queue  ");
        assert_eq!(text.lines().find(wide), None, "{look}");
    }
    assert!(said(&world, "stat").0.contains("3,000 events in"));
    // What needs the queue alone says who has it.
    let process = stat["process"].to_string();
    for arguments in ["repair", "purge --yes"] {
        let (text, code) = said(&world, arguments);
        assert!(
            code == 1 && text.contains(&format!("in use by process {process}")),
            "{arguments}: {code} {text}"
        );
    }
    assert_eq!(one_json(&world, "stat --json")["pending"]["events"], 3_000);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_seen_and_its_end_foretold() {
    let settings = SETTINGS.replace("queue: {", "queue: { drain_rate: 400,");
    let mut world = outage_with(&settings, 8_000).await;
    world.server.faults().clear_all();
    let until = tokio::time::Instant::now() + crate::world::PATIENCE;
    loop {
        let (text, _) = said(&world, "stat");
        if text.contains(" events/s out ") && text.contains(": through in ") {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "{text}");
        world.live(Duration::from_millis(50), 0).await;
    }
    let measured = &one_json(&world, "stat --json --measure 2s")["drain"];
    assert!(measured["events_per_sec"].as_f64().is_some_and(|rate| rate > 0.0), "{measured}");
    assert!(measured["left_secs"].as_f64().is_some_and(|left| left > 0.0), "{measured}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_a_dead_queue_changes_nothing() {
    let mut world = outage(2_000).await;
    world.kill_9().await;
    let directory = world.path("data/queues/main");
    let set = |mode_of_files: u32, mode: u32| {
        for entry in std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
            let mode = if entry.is_dir() { mode } else { mode_of_files };
            std::fs::set_permissions(entry, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (mode_of_files, mode) in [(0o644, 0o755), (0o444, 0o555)] {
        set(mode_of_files, mode);
        let before = files(&directory);
        for look in LOOKS {
            let (text, code) = said(&world, look);
            assert_eq!(code, 0, "{look}: {text}");
        }
        assert!(before == files(&directory), "something has changed");
    }
    set(0o644, 0o755);
    let elsewhere = one_json(&world, "stat --json --path data/queues/main");
    assert_eq!((&elsewhere["pending"]["events"], &elsewhere["process"]), (&2_000.into(), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_set_aside() {
    let mut world = outage(2_000).await;
    world.kill_9().await;
    let batch = one_json(&world, "show 2 --json");
    let (file, position) = (batch["file"].as_str().unwrap(), batch["position"].as_u64().unwrap());
    let path = world.path("data/queues/main").join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[position as usize + 200] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let (text, code) = said(&world, "verify");
    assert!(
        code == 1 && text.contains(&format!("{file} at {position}, ")) && text.contains("batch 2 cannot"),
        "{text}"
    );
    let found = json(&world, "verify --json");
    let [damage, totals] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&damage["first_seq"], &damage["end_seq"]), (&2.into(), &3.into()));
    assert_eq!((&damage["bytes"], &totals["lost_batches"]), (&batch["frame_bytes"], &1.into()));
    assert_eq!((&damage["set_aside"], &totals["set_aside_places"]), (&false.into(), &0.into()));
    let (text, code) = said(&world, "show 2");
    assert!(code == 1 && text.contains("batch 2 cannot be read"), "{text}");
    assert_eq!(said(&world, "show 1").1, 0);

    let (text, code) = said(&world, "repair --dry-run");
    assert!(code == 1 && text.contains("would be copied"), "{text}");
    assert!(!world.path("data/queues/main/quarantine").exists());
    let (text, code) = said(&world, "repair");
    assert!(code == 0 && text.contains("; batch 2 is lost: copied"), "{text}");
    assert_eq!(said(&world, "repair --dry-run"), ("there is nothing to repair\n".to_owned(), 0));
    let found = json(&world, "verify --json");
    assert_eq!((&found[0]["set_aside"], &found[1]["set_aside_places"]), (&true.into(), &1.into()));
    let stat = one_json(&world, "stat --json");
    assert_eq!((&stat["quarantined_files"], &stat["damaged_segments"]), (&1.into(), &1.into()));
    assert_eq!(json(&world, "ls --json")[0]["state"], "damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_is_asked_for_counted_and_never_sent() {
    let mut world = outage(2_000).await;
    world.stop().await;
    let whole = one_json(&world, "stat --json");
    let end = whole["end_seq"].as_u64().unwrap();
    assert!(end > 8, "{whole}");
    for (arguments, words) in [
        ("purge", "say --yes"),
        ("purge --json", "say --yes"),
        ("purge --yes --from-seq 4", "first in, first out"),
        ("purge --yes --until 2h --to-seq 4", "cannot be used with"),
        ("purge --yes --until yesterday", "not a time"),
    ] {
        let (text, code) = said(&world, arguments);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 2 && text.contains(words), "{arguments}: {code} {text}");
    }
    assert_eq!(one_json(&world, "stat --json")["pending"], whole["pending"]);

    let batches: Vec<Value> =
        (1..=3).map(|sequence| one_json(&world, &format!("show {sequence} --json"))).collect();
    let plan = one_json(&world, "purge --dry-run --json --to-seq 3");
    assert_eq!(
        (&plan["done"], &plan["batches"], &plan["events"]),
        (&false.into(), &3.into(), &sum(&batches, "events").into())
    );
    let purged = one_json(&world, "purge --yes --json --to-seq 3 --from-seq 1");
    assert_eq!(
        (&purged["done"], &purged["batches"], &purged["events"]),
        (&true.into(), &3.into(), &plan["events"])
    );
    let stat = one_json(&world, "stat --json");
    assert_eq!(
        (&stat["acked_seq"], &stat["given_up_ever"]["purged"]["events"]),
        (&4.into(), &plan["events"])
    );
    assert_eq!(stat["pending"]["events"].as_u64().unwrap() + sum(&batches, "events"), 2_000);
    assert_eq!(one_json(&world, "purge --yes --json --to-seq 3")["batches"], 0, "once");
    // By time: all that is wholly older than a batch, and no more.
    let fifth = one_json(&world, "show 5 --json")["newest_event_ms"].as_f64().unwrap() / 1000.0;
    let plan = one_json(&world, &format!("purge --dry-run --json --until @{fifth:.3}"));
    assert!(plan["end_seq"].as_u64().unwrap() <= 5, "{plan}");
    assert_eq!(one_json(&world, "purge --dry-run --json --until 10d")["batches"], 0);

    // What is left arrives, what was purged does not, and the log tells of it.
    world.server.faults().clear_all();
    world.start();
    let lost = sum(&batches, "events");
    let until = tokio::time::Instant::now() + crate::world::PATIENCE;
    while world.server.counts().events < 2_000 - lost {
        assert!(tokio::time::Instant::now() < until, "{:?}", world.said);
        world.live(Duration::from_millis(50), 0).await;
    }
    world.stop().await;
    assert_eq!(world.server.counts().events, 2_000 - lost);
    let told = |said: &&millpond::drill::Said| said.reason.as_deref() == Some("purged");
    let told: Vec<_> = world.said.iter().filter(told).collect();
    assert!(told.iter().any(|said| said.fields["events"] == lost), "{told:?}");
    assert_eq!(said(&world, "purge --yes").0, "nothing in this range is to be delivered\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said() {
    let mut world = outage(100).await;
    world.stop().await;
    for (arguments, code, words) in [
        ("show 99999", 1, "there is no batch 99,999 yet"),
        ("show 0", 1, "has gone"),
        ("ls --path data", 1, "but there is in it: data/queues/main"),
        ("ls --path nowhere", 1, "there is no such directory"),
        ("stat --output other", 2, "no output `other`; it has: main"),
        ("verify --config nowhere.yaml", 2, "nowhere.yaml"),
    ] {
        let (text, found) = said(&world, arguments);
        assert!(found == code && text.contains(words), "{arguments}: {found} {text}");
    }
}
