//! Every family shows the counter, gauge or histogram that it says.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_kinesis::output::Call;
use millpond_queue::storage::mem::Mem;
use millpond_queue::{Options, Queue, Sequence, Stats, Tally};
use tokio::sync::mpsc;

use super::*;
use crate::config::{self, Config, Environment};
use crate::counters::{Counter, OutputCounters};
use crate::dead_letters::{DeadLetters, Place};
use crate::forwarder::{Forwarder, Policy};
use crate::inputs::InputCounters;
use crate::moment::{Doing, InputMoment, Moment, OutputMoment};
use crate::output_state::{Condition, OutputState, Publisher};
use crate::processing::PipelineCounters;
use crate::puts::{APIS, OUTCOMES};
use crate::registry::{InputStage, OutputEntry, Registry, RunningOutput, Stage};

const CONFIG: &str = r#"
inputs:
  app: { type: file, include: ["/x"] }
  web: { type: http, listen: "127.0.0.1:0" }
  hosts: { type: syslog, listen: "127.0.0.1:0" }
  lines: { type: unix, path: /x }
outputs:
  main: { type: kinesis, stream_name: logs, region: eu-west-1, backpressure: queue, tags: [b, a, b] }
  other: { type: kinesis, stream_name: "logs", region: 'a\b"c', environment: elsewhere, endpoint: "http://x" }
"#;

fn config() -> Config {
    config::parse(CONFIG, "millpond.yaml", Path::new("/"), &Environment::default()).unwrap().0
}

/// Gives each counter a number of its own.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn add(&mut self, counters: &[&Counter]) {
        counters.iter().for_each(|counter| counter.add(self.next()));
    }
}

/// Each field is named, so that this does not compile when there is a new one: it needs a family of its own.
fn input_counters(numbers: &mut Numbers) -> InputCounters {
    let counters = InputCounters::default();
    let InputCounters {
        events,
        bytes,
        lines_cut,
        bytes_cut,
        chunks_resent,
        files,
        files_open,
        rotations,
        truncations,
        deletions,
        bytes_lost,
        read_errors,
        unwatched_dirs,
        positions_saved,
        position_errors,
        connections,
        connections_total,
        connections_refused,
        connection_errors,
        framing_errors,
        incomplete,
        unparsed,
        not_utf8,
        datagrams_dropped,
        events_lost,
        filtered,
        pipeline_failed,
        unrouted,
        requests: _,
        chunks_in_flight,
    } = &counters;
    let all = [
        events,
        bytes,
        lines_cut,
        bytes_cut,
        chunks_resent,
        files,
        files_open,
        rotations,
        truncations,
        deletions,
        bytes_lost,
        read_errors,
        unwatched_dirs,
        positions_saved,
        position_errors,
        connections,
        connections_total,
        connections_refused,
        connection_errors,
        framing_errors,
        incomplete,
        unparsed,
        not_utf8,
        datagrams_dropped,
        events_lost,
        filtered,
        pipeline_failed,
        unrouted,
        chunks_in_flight,
    ];
    all.into_iter().for_each(|counter| counter.set(numbers.next()));
    counters
}

/// The same.
fn output_counters(numbers: &mut Numbers) -> OutputCounters {
    let counters = OutputCounters::default();
    let OutputCounters {
        events,
        not_objects,
        not_utf8,
        delivered_events,
        delivered_bytes,
        repeated_events,
        spooled_batches,
        puts,
        retried_records,
        dead_letters,
        dropped_unhealthy,
        dropped_queue_full,
        dropped_oldest,
        expired,
        filtered,
        pipeline_failed,
        route_failures,
        dropped_oversize,
        truncated,
        abandoned_events,
    } = &counters;
    numbers.add(&[
        events,
        not_objects,
        not_utf8,
        delivered_events,
        delivered_bytes,
        repeated_events,
        spooled_batches,
        retried_records,
        dead_letters,
        dropped_unhealthy,
        dropped_queue_full,
        dropped_oldest,
        expired,
        filtered,
        pipeline_failed,
        route_failures,
        dropped_oversize,
        truncated,
        abandoned_events,
    ]);
    for (place, (api, outcome)) in
        APIS.iter().flat_map(|api| OUTCOMES.map(|outcome| (*api, outcome))).enumerate()
    {
        let call = Call { api, outcome, duration: Duration::from_millis(4 << place), records: 1, bytes: 1 };
        (0..=place).for_each(|_| puts.note(&call));
    }
    counters
}

fn stats(numbers: &mut Numbers) -> Stats {
    let (queue, _) = Queue::open(Mem::new(1 << 30), Options::default()).unwrap();
    let mut stats = queue.stats();
    // Not shown: sequences, what is staged for a moment, and bytes and times that nobody has asked for.
    stats.acked = Sequence(0);
    for number in [
        &mut stats.batches,
        &mut stats.events,
        &mut stats.payload_bytes,
        &mut stats.segments,
        &mut stats.delivered_bytes,
        &mut stats.disk_bytes,
        &mut stats.quarantine_bytes,
        &mut stats.damaged_spans,
        &mut stats.damaged_batches,
        &mut stats.damaged_bytes,
        &mut stats.missing_batches,
        &mut stats.poisoned_segments,
    ] {
        *number = numbers.next();
    }
    stats.losses.full = Tally { events: numbers.next(), ..Tally::default() };
    stats.losses.expired = Tally { events: numbers.next(), ..Tally::default() };
    stats.losses.purged = Tally { events: numbers.next(), ..Tally::default() };
    stats
}

fn state(numbers: &mut Numbers) -> OutputState {
    let mut small = || numbers.next() as u32;
    OutputState {
        condition: Condition::Recovering,
        since_ms: 1_700_000_000_250,
        unwell_since_ms: None,
        last_failure: None,
        open_shards: Some(small()),
        shards_seen_ms: Some(1),
        puts_in_flight: small(),
        puts_max: small(),
        live_waiting: small(),
        spooling: true,
        queue_full: Some("it is full".into()),
    }
}

fn running(counters: OutputCounters) -> RunningOutput {
    let policy = Policy {
        backpressure: Default::default(),
        queue_mode: Default::default(),
        strict_ordering: true,
        on_full: Default::default(),
        concurrency: 1,
        drain: Default::default(),
    };
    let view = Publisher::new(&Forwarder::new(policy, 0, 1)).view(None);
    let nowhere = Place { directory: "/nonexistent".into(), size_bytes_max: 0, free_bytes_min: 0 };
    RunningOutput {
        counters: Arc::new(counters),
        state: view,
        control: mpsc::channel(1).0,
        dead_letters: DeadLetters::new("main".to_owned(), nowhere).view(),
        chunks: mpsc::channel(1).0.downgrade(),
    }
}

/// Four inputs and two outputs, of which one is inactive, with a number of its own for everything that is counted.
fn moment() -> Moment {
    let (config, mut numbers) = (config(), Numbers(100));
    let registry = Registry::new("edge \"1\"\\\n");
    let inputs = config.inputs.iter().zip([
        InputStage::Accepting,
        InputStage::Failing("x".to_owned()),
        InputStage::Starting,
        InputStage::Accepting,
    ]);
    let inputs = inputs.map(|(input, stage)| {
        let entry = registry.enter_input(input, Arc::new(input_counters(&mut numbers)));
        InputMoment { entry, stage }
    });
    let inputs = inputs.collect();
    let [main, other] = &config.outputs[..] else { panic!("two outputs") };
    let entry = |settings: &config::checked::Output, running| {
        Arc::new(OutputEntry {
            id: settings.id.as_str().into(),
            settings: Arc::new(settings.clone()),
            running,
        })
    };
    let doing = Doing {
        state: state(&mut numbers),
        queue: Ok(Some(stats(&mut numbers))),
        dead_letters: Some(numbers.next()),
    };
    let outputs = vec![
        OutputMoment { entry: entry(main, Ok(running(output_counters(&mut numbers)))), doing: Some(doing) },
        OutputMoment { entry: entry(other, Err("elsewhere".to_owned())), doing: None },
    ];
    let held_back = Arc::new(Counter::default());
    held_back.add(numbers.next());
    registry.enter_log(held_back);
    let pipeline = registry.pipeline(&"tidy".into());
    let PipelineCounters { received, made, filtered, failed } = &*pipeline;
    numbers.add(&[received, made, filtered, failed]);
    registry.reloads().succeeded.add(numbers.next());
    registry.reloads().refuse();
    Moment { registry, stage: Stage::Running, at: Instant::now(), inputs, outputs }
}

/// Times of the process, which differ from run to run.
fn without_times(text: &str) -> String {
    let is_time = |line: &&str| {
        line.starts_with("millpond_start_time") || line.starts_with("millpond_config_last_reload_success_t")
    };
    text.lines().filter(|line| !is_time(line)).fold(String::new(), |text, line| text + line + "\n")
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/metrics").join(name);
    if std::env::var_os("MILLPOND_WRITE_METRICS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "not as in {}; now it is:\n{text}", path.display());
}

/// What stands in the files was looked at by a person, family by family, and by `promtool check metrics`.
#[test]
fn each_family_shows_what_it_says() {
    for (name, exposition) in [("all.txt", Exposition::Text), ("all.openmetrics", Exposition::OpenMetrics)] {
        golden(name, &without_times(&encode(moment(), exposition)));
    }
}

#[test]
fn every_family_has_a_series() {
    let moment = moment();
    for family in families() {
        // Nobody has set the clock of a queue in memory.
        let shows = !family.series(&moment).is_empty() || family.name == "millpond_queue_oldest_seconds";
        assert!(shows, "{} has no series although everything runs", family.name);
    }
}

/// Names as Prometheus wants them.
#[test]
fn names_follow_the_rules() {
    let mut names = BTreeSet::new();
    for family in families() {
        let name = family.name;
        assert!(names.insert(name), "{name} is there twice");
        let good = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        assert!(name.starts_with("millpond_") && good(name), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
        assert!(family.labels.iter().all(|label| good(label) && *label != "le"), "{name}");
        assert!(family.about.ends_with('.') && !family.about.contains('\n'), "{name}: {}", family.about);
        if family.unit.starts_with("seconds") || family.unit == "bytes" {
            assert!(name.contains(family.unit.split(' ').next().unwrap()), "{name} is in {}", family.unit);
        }
    }
}

#[test]
fn openmetrics_is_for_those_who_ask_for_it() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for (accept, expected) in [
        (prometheus, Exposition::OpenMetrics),
        ("text/plain", Exposition::Text),
        ("*/*", Exposition::Text),
        ("", Exposition::Text),
        ("application/openmetrics-text;q=0", Exposition::Text),
    ] {
        assert_eq!(Exposition::accepted(accept), expected, "{accept}");
    }
}
