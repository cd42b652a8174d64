//! A clock that jumps while the forwarder runs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::world::World;

/// The library that gives a process another clock, of Debian's package `faketime`.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// An hour forward in the middle of an outage, two hours back after it: nothing is lost, nothing repeated, and no batch
/// expires that is not old, since ages go by a clock that does not jump.
#[tokio::test(flavor = "multi_thread")]
async fn an_hour_forward_and_an_hour_back_change_nothing() {
    if !Path::new(FAKETIME).exists() {
        assert!(std::env::var_os("CI").is_none(), "with CI set this needs `apt-get install faketime`");
        println!("skipped: {FAKETIME} is not there (apt-get install faketime)");
        return;
    }
    let settings = "backpressure: queue\nqueue: { mode: error, max_age: 20m }\nflush_period: 50ms";
    let mut world = World::new(2, settings).await;
    let offset = world.path("offset");
    let jump = |to: &str| std::fs::write(&offset, to).unwrap();
    jump("+0s");
    let mut under = Command::new("env");
    under
        .arg(format!("LD_PRELOAD={FAKETIME}"))
        .arg(format!("FAKETIME_TIMESTAMP_FILE={}", offset.display()))
        .args(["FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1"]);
    world.under = Some(under);
    world.start();
    world.live(Duration::from_secs(2), 500).await;
    let down = world.fault("down");
    world.live(Duration::from_secs(3), 500).await;
    jump("+1h");
    world.live(Duration::from_secs(3), 500).await;
    world.clear(down);
    world.live(Duration::from_secs(3), 500).await;
    let down = world.fault("down");
    world.live(Duration::from_secs(3), 500).await;
    jump("-1h");
    world.live(Duration::from_secs(3), 500).await;
    world.clear(down);
    world.live(Duration::from_secs(3), 500).await;
    world.arrived().await;
    let times: Vec<_> = world.said.iter().filter_map(|said| said.fields["timestamp"].as_str()).collect();
    assert!(!times.is_sorted(), "the clock has not jumped back: {times:?}");
    world.finish(0).await;
}
