//! The journal of systemd, as its own tools write and show it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::web::replace_input;
use crate::world::{PATIENCE, World};

/// Makes journal files of entries in the export format.
const REMOTE: &str = "/usr/lib/systemd/systemd-journal-remote";

/// Writes a journal file of so many numbered entries; false where the tools are not installed.
fn write_journal(directory: &Path, first: u64, count: u64) -> bool {
    std::fs::create_dir_all(directory).unwrap();
    let boot = "0123456789abcdef0123456789abcdef";
    let entries: String = (first..first + count)
        .map(|n| {
            let unit = if n % 10 == 9 { "other.service" } else { "app.service" };
            format!(
                "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={n}\n_BOOT_ID={boot}\nMESSAGE=#{n} of a journal\n\
                 _SYSTEMD_UNIT={unit}\n_HOSTNAME=edge1\nPRIORITY=6\n\n",
                1_795_521_600_000_000 + n
            )
        })
        .collect();
    let file = directory.join(format!("from-{first}.journal"));
    let remote =
        Command::new(REMOTE).arg("-o").arg(file).arg("-").stdin(Stdio::piped()).stderr(Stdio::null()).spawn();
    let has_journalctl = Command::new("journalctl").arg("--version").stdout(Stdio::null()).status().is_ok();
    let (Ok(mut remote), true) = (remote, has_journalctl) else {
        println!("{REMOTE} or journalctl is not here: a real journal is not tried");
        return false;
    };
    remote.stdin.take().unwrap().write_all(entries.as_bytes()).unwrap();
    assert!(remote.wait().unwrap().success());
    true
}

/// The entries that have arrived, by number, once there are so many.
async fn arrived(world: &mut World, count: usize) -> Vec<u64> {
    let until = Instant::now() + PATIENCE;
    while (world.server.counts().events as usize) < count && Instant::now() < until {
        world.live(Duration::from_millis(50), 0).await;
    }
    let mut numbers = Vec::new();
    millpond_local_kinesis::verify(&world.server.records(), |_, event| {
        let event: serde_json::Value = serde_json::from_slice(event).unwrap();
        let raw = event["_raw"].as_str().unwrap();
        assert_eq!((&event["host"], &event["source"]), (&"edge1".into(), &"journald".into()));
        assert!(event["_time"].as_f64().unwrap() >= 1_795_521_600.0 && event["MESSAGE"] == raw);
        assert!(event.as_object().unwrap().keys().all(|name| !name.starts_with("__")), "{event}");
        numbers.push(raw.trim_start_matches('#').split(' ').next().unwrap().parse().unwrap());
    });
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_followed_over_stops_and_kills() {
    let mut world = World::new(2, "flush_period: 50ms\nbackpressure: queue").await;
    let journal = world.path("journal");
    replace_input(&world, "{ type: journald, directory: journal, units: [app.service] }");
    if !write_journal(&journal, 0, 1_000) {
        return;
    }
    let of_app = |last: u64| (0..last).filter(|n| n % 10 != 9).collect::<Vec<_>>();
    world.start();
    assert_eq!(arrived(&mut world, 900).await, of_app(1_000));
    // It grows while it is followed, and while nobody does.
    write_journal(&journal, 1_000, 1_000);
    assert_eq!(arrived(&mut world, 1_800).await, of_app(2_000));
    world.stop().await;
    write_journal(&journal, 2_000, 1_000);
    world.start();
    assert_eq!(arrived(&mut world, 2_700).await, of_app(3_000), "a stop repeats nothing");
    write_journal(&journal, 3_000, 1_000);
    arrived(&mut world, 2_701).await;
    world.kill_9().await;
    world.start();
    let mut numbers = arrived(&mut world, 3_600).await;
    world.live(Duration::from_millis(500), 0).await;
    numbers.extend(arrived(&mut world, 0).await);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, of_app(4_000), "a kill loses nothing");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_journalctl_the_log_says_so_and_the_configuration_is_good() {
    let mut world = World::new(1, "").await;
    replace_input(&world, "{ type: journald }");
    let mut nowhere = Command::new("/usr/bin/env");
    nowhere.arg("PATH=/nonexistent");
    world.under = Some(nowhere);
    world.start();
    let words = "cannot run journalctl";
    let says =
        |text: Option<&str>| text.is_some_and(|text| text.contains(words) && text.contains("install it"));
    let in_fields = |said: &millpond::drill::Said| {
        said.fields.values().any(|value| says(value.as_str()))
            || says(Some(&said.message))
            || says(said.reason.as_deref())
    };
    world.hear("what is missing", in_fields).await;
    let checked =
        Command::new(env!("CARGO_BIN_EXE_millpond")).args(["check", "--config"]).arg(world.config()).output();
    assert!(checked.unwrap().status.success());
}
