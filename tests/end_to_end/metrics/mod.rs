//! Every metric is moved: by something that happens to a forwarder, from nothing to a value that is known.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::admin_client::{ADMIN, Metrics};
use crate::world::World;

mod flow;
mod outputs;
mod queues;
mod sockets;

/// What a series shows in the end.
enum Shows {
    /// It showed nothing, or 0, and shows this.
    Is(f64),
    /// It showed nothing, or 0, and shows this or more.
    AtLeast(f64),
    /// It has always shown something, and shows this or more.
    Always(f64),
    /// It has shown something else, and shows 0.
    Zero,
}
use Shows::{Always, AtLeast, Is, Zero};

type Expected = &'static [(&'static str, Shows)];

#[track_caller]
fn check(expected: Expected, before: &Metrics, after: &Metrics) {
    for (series, shows) in expected {
        let (was, is) = (before.get(series), after.get(series));
        let good = match shows {
            Is(value) => was.unwrap_or(0.0) == 0.0 && is == Some(*value),
            AtLeast(value) => was.unwrap_or(0.0) == 0.0 && is.is_some_and(|is| is >= *value),
            Always(value) => was.is_some() && is.is_some_and(|is| is >= *value),
            Zero => was.is_some_and(|was| was != 0.0) && is == Some(0.0),
        };
        assert!(good, "{series}: {was:?}, then {is:?}");
    }
}

/// A world with an admin address, running.
async fn world(settings: &str) -> (World, SocketAddr, Metrics) {
    let mut world = World::new(2, &format!("flush_period: 50ms\n{settings}")).await;
    world.configure(|config| {
        let input = "{ type: file, include: [\"*.log\"], max_line: \"64 KiB\", rescan: 100ms }";
        config.replace("{ type: file, include: [\"*.log\"] }", input) + ADMIN + "\n"
    });
    let address = world.start_with_admin().await;
    // From here on it waits for its first batch.
    let verified = |metrics: &Metrics| metrics.get("millpond_shards_open").is_some();
    let before = world.metrics_when(address, "the look at the shards", verified).await;
    (world, address, before)
}
/// What cannot be made to happen here at will. That they show what they say is tested in the crate, as for all others.
const NOT_FROM_OUTSIDE: [&str; 8] = [
    // Counted at the very end of a stop that runs out of time.
    "millpond_output_unacknowledged_events_total",
    // An output lets go of events only at such a stop, or when it fails.
    "millpond_input_resent_chunks_total",
    // A race between whoever writes and truncates a file and the reader.
    "millpond_input_lost_bytes_total",
    "millpond_input_lost_events_total",
    // Disks and limits of the system that fail; the tests may run as root, whom no permission stops.
    "millpond_input_read_errors_total",
    "millpond_input_unwatched_directories",
    "millpond_input_position_errors_total",
    "millpond_queue_poisoned_segments_total",
];

#[test]
fn every_metric_is_moved() {
    let scenarios = [
        flow::FLOW,
        queues::OUTAGE,
        queues::RECOVERY,
        queues::FULL,
        queues::OLDEST_DROPPED,
        outputs::DROPPED,
        outputs::FAILED_ALONE,
        outputs::REPEATED,
        outputs::CUT,
        outputs::TOO_LARGE,
        outputs::REFUSED,
        outputs::TAKEN,
        outputs::NO_OBJECT,
        outputs::IN_FLIGHT,
        outputs::PAUSED,
        queues::DAMAGED,
        sockets::REQUESTS,
        sockets::CONNECTIONS,
        sockets::DATAGRAMS,
    ];
    let family = |series: &'static str| {
        let name = series.split('{').next().unwrap_or(series);
        name.strip_suffix("_count").unwrap_or(name)
    };
    let mut moved: BTreeSet<_> = scenarios.into_iter().flatten().map(|(series, _)| family(series)).collect();
    moved.extend(crate::pipelines::COUNTED.iter().map(|(series, _)| family(series)));
    for name in NOT_FROM_OUTSIDE {
        assert!(moved.insert(name), "{name} is moved after all");
    }
    let declared: BTreeSet<_> = millpond::metrics::families().map(|family| family.name).collect();
    let unmoved: Vec<_> = declared.difference(&moved).collect();
    assert!(unmoved.is_empty(), "declared, and moved by no test: {unmoved:?}");
    let unknown: Vec<_> = moved.difference(&declared).collect();
    assert!(unknown.is_empty(), "moved, and not declared: {unknown:?}");
}

#[test]
fn alert_rules() {
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/alerts.yml");
    promtool(&["check", "rules", rules.to_str().unwrap()], "");
}

/// Prometheus itself says whether it is right; where it is not installed, that is left out and said.
fn promtool(arguments: &[&str], text: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = match command.spawn() {
        Ok(promtool) => promtool,
        Err(error) => {
            eprintln!("skip promtool {}: {error} (Debian: apt-get install prometheus)", arguments.join(" "));
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
