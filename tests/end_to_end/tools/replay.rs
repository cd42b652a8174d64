//! `millpond replay`.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use millpond::drill::Proof;
use millpond_local_kinesis::{FaultId, Options, Server, StreamSpec, start};
use millpond_queue::{Fs, inspect};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::world::{PATIENCE, World};

/// Small batches, and many of them.
const QUEUE: &str = "flush_period: 100ms\nmax_record_size: \"4 KiB\"\nbackpressure: queue\n\
                     queue: { mode: always, max_size: \"64 MiB\", max_segment_size: \"1 MiB\", retain: \"1h\" }";
const CONCURRENCY: usize = 3;

/// What is in the queue of a world.
fn look(world: &World) -> Option<(u64, u64)> {
    let overview = inspect::overview(&Fs::existing(&world.path("data/queues/main")).ok()?).ok()?;
    Some((overview.segments.iter().map(|segment| segment.events).sum(), overview.pending_batches))
}

/// Waits until it is true of the queue: its events, and the batches that are pending.
async fn until(world: &mut World, wanted: impl Fn(u64, u64) -> bool) {
    let late = Instant::now() + PATIENCE;
    while !look(world).is_some_and(|(events, pending)| wanted(events, pending)) {
        assert!(Instant::now() < late, "never: {:?}", look(world));
        world.live(Duration::from_millis(50), 0).await;
    }
}

/// A box in an outage: all that was written is in its queue, and nothing of it has arrived.
async fn outage(lines: u64, settings: &str) -> (World, FaultId) {
    let mut world = World::new(2, settings).await;
    let down = world.fault("down");
    world.start();
    world.write_lines(lines);
    until(&mut world, |events, _| events == lines).await;
    assert_eq!(world.server.counts().events, 0);
    (world, down)
}

/// It died, and the link is back.
async fn dead_box(lines: u64, settings: &str) -> World {
    let (mut world, down) = outage(lines, settings).await;
    world.kill_9().await;
    world.clear(down);
    world
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Every file below, and what is in it; but for the lock, which says who has it.
fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(
                tree(&entry.path()).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)),
            );
        } else if name != "LOCK" {
            files.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn replay(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.arg("replay").args(arguments).arg("--json");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("XDG_STATE_HOME", world.path("state")).current_dir(world.path("."));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A directory goes to a stream of this endpoint.
fn elsewhere<'a>(path: &'a str, endpoint: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let to = ["--path", path, "--stream", "logs", "--region", "us-east-1", "--endpoint", endpoint];
    [&to, more].concat()
}

struct Said {
    code: i32,
    summary: Value,
    errors: String,
}

fn said(output: Output) -> Said {
    let errors = String::from_utf8(output.stderr).unwrap();
    let summary = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Said { code: output.status.code().unwrap_or(-1), summary, errors }
}

async fn run(world: &World, arguments: &[&str]) -> Said {
    let running = replay(world, arguments).output();
    said(timeout(PATIENCE, running).await.expect("it ends").unwrap())
}

impl Said {
    /// It ended like this.
    fn was(&self, code: i32, outcome: &str) -> &Self {
        assert_eq!((self.code, self.summary["outcome"].as_str()), (code, Some(outcome)), "{self:?}");
        self
    }

    fn number(&self, pointer: &str) -> u64 {
        self.summary
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no {pointer}: {self:?}"))
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n{:#}\n{}", self.code, self.summary, self.errors)
    }
}

/// Records that arrived more than once.
fn repeated_records(server: &Server) -> usize {
    let records = server.records();
    let distinct: HashSet<_> = records.iter().map(|record| record.data.clone()).collect();
    records.len() - distinct.len()
}

/// Waits until so many events have arrived.
async fn arrived(server: &Server, events: u64) {
    let late = Instant::now() + PATIENCE;
    while server.counts().events < events {
        assert!(Instant::now() < late, "only {} of {events} have arrived", server.counts().events);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn start_replay(world: &World, arguments: &[&str]) -> Child {
    replay(world, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn other_stream(spec: &str) -> Server {
    let streams = vec![spec.parse::<StreamSpec>().unwrap()];
    start(Options { streams, seed: Some(7), ..Options::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_directory_arrives_once_and_nothing_is_written_into_it() {
    let world = dead_box(3_000, QUEUE).await;
    copy(&world.path("data/queues/main"), &world.path("copy"));
    let before = tree(&world.path("copy"));
    let endpoint = world.server.endpoint();
    let arguments = elsewhere("copy", &endpoint, &[]);

    let dry = run(&world, &elsewhere("copy", &endpoint, &["--dry-run"])).await;
    dry.was(0, "complete");
    assert_eq!(dry.number("/this_run/events"), 3_000);
    assert!(!world.path("state").exists(), "a dry run writes nothing");
    assert_eq!(world.server.counts().events, 0);

    let sent = run(&world, &arguments).await;
    sent.was(0, "complete");
    let proof = Proof::take(3_000, &world.server.records());
    assert!(proof.holds() && proof.repeated == 0, "{proof:#?}");
    for key in ["batches", "events", "wire_bytes", "first_event_ms", "last_event_ms"] {
        let pointer = format!("/this_run/{key}");
        assert_eq!(dry.number(&pointer), sent.number(&pointer), "a dry run says what is sent: {key}");
    }
    assert_eq!(
        (sent.number("/this_run/accepted_events"), sent.number("/this_run/sent_events")),
        (3_000, 3_000)
    );
    assert_eq!(tree(&world.path("copy")), before);

    // It is finished, and the link is not needed to say so.
    let down = world.fault("down");
    let again = run(&world, &arguments).await;
    again.was(0, "complete");
    assert_eq!((again.number("/this_run/events"), again.number("/all_runs/events")), (0, 3_000));
    world.clear(down);
    run(&world, &elsewhere("copy", &endpoint, &["--again", "--to-seq", "3"])).await.was(0, "complete");
    assert!(Proof::take(3_000, &world.server.records()).repeated > 0, "another range is another replay");
}

/// Killed five times in the middle, and gone on with. Gives what the last run said.
async fn killed_five_times(world: &World, arguments: &[&str]) -> Said {
    let concurrency = CONCURRENCY.to_string();
    let arguments = [arguments, &["--rate", "4000", "--concurrency", &concurrency]].concat();
    for kill in 1..=5 {
        let mut running = start_replay(world, &arguments);
        arrived(&world.server, kill * 900).await;
        running.kill().await.unwrap();
    }
    let sent = run(world, &arguments).await;
    sent.was(0, "complete");
    let proof = Proof::take(6_000, &world.server.records());
    assert!(proof.holds(), "{proof:#?}");
    let repeated = repeated_records(&world.server);
    assert!(repeated <= 5 * CONCURRENCY, "{repeated} records repeated, {proof:#?}");
    assert!(sent.number("/this_run/events") < 6_000, "the last run did not begin anew");
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_gone_on_with_by_its_name() {
    let world = dead_box(6_000, QUEUE).await;
    let endpoint = world.server.endpoint();
    let sent = killed_five_times(&world, &elsewhere("data/queues/main", &endpoint, &[])).await;
    assert_eq!(sent.number("/all_runs/events"), 6_000);
    assert_eq!(look(&world).unwrap().0, 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_gone_on_with_by_the_queue_s_own_cursor() {
    let world = dead_box(6_000, QUEUE).await;
    killed_five_times(&world, &["--consume"]).await;
    assert_eq!(look(&world).unwrap().1, 0, "all of it is delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_is_cut_in_the_middle() {
    let world = dead_box(4_000, QUEUE).await;
    let endpoint = world.server.endpoint();
    let arguments = elsewhere("data/queues/main", &endpoint, &["--rate", "4000"]);
    let mut running = start_replay(&world, &arguments);
    arrived(&world.server, 1_000).await;
    let down = world.fault("down");
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    let mut heard = Vec::new();
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.expect("it says that it waits").unwrap()
    {
        let waits = line.contains("waiting, and trying again until it works");
        heard.push(line);
        if waits {
            world.clear(down);
            break;
        }
    }
    let rest = tokio::spawn(async move {
        while let Some(line) = lines.next_line().await.unwrap() {
            heard.push(line);
        }
        heard
    });
    let output = timeout(PATIENCE, running.wait_with_output()).await.expect("it ends").unwrap();
    let heard = rest.await.unwrap();
    let sent = said(output);
    sent.was(0, "complete");
    let position = |words: &str| heard.iter().rposition(|line| line.contains(words));
    let (waits, verifies, speeds_up) =
        (position("waiting, and"), position("verifying the shards"), position("sending more and more"));
    assert!(waits.is_some() && waits < verifies && verifies < speeds_up, "{heard:#?}");
    let proof = Proof::take(4_000, &world.server.records());
    assert!(proof.holds(), "{proof:#?}");
    // What flew may have arrived.
    assert!(repeated_records(&world.server) <= 5, "{proof:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_forwarder_only_what_it_has_delivered_goes() {
    let mut world = World::new(2, QUEUE).await;
    world.start();
    world.write_lines(2_000);
    until(&mut world, |events, pending| events == 2_000 && pending == 0).await;
    let down = world.fault("down");
    world.write_lines(1_000);
    until(&mut world, |events, _| events == 3_000).await;

    let other = other_stream("logs:2").await;
    let endpoint = other.endpoint();
    let to = ["--stream", "logs", "--region", "us-east-1", "--endpoint", &endpoint];
    let dry = run(&world, &[&to[..], &["--retained", "--dry-run"]].concat()).await;
    let sent = run(&world, &[&to[..], &["--retained"]].concat()).await;
    sent.was(0, "complete");
    assert_eq!(dry.number("/this_run/events"), 2_000);
    let proof = Proof::take(2_000, &other.records());
    assert!(
        proof.holds() && proof.repeated == 0,
        "nothing pending, which would be malformed here: {proof:#?}"
    );
    assert!(world.path("data/replays").is_dir());

    let pending = run(&world, &to).await;
    pending.was(1, "incomplete");
    assert_eq!(other.counts().events, 2_000);
    assert!(pending.summary["owner_pid"].is_u64(), "{pending:?}");
    assert!(pending.errors.contains("what is pending is left to process "), "{pending:?}");
    let all = run(&world, &[&to[..], &["--all", "--dry-run"]].concat()).await;
    all.was(1, "incomplete");
    assert_eq!(all.number("/this_run/events"), 2_000);
    let consume = run(&world, &[&to[..], &["--consume"]].concat()).await;
    assert!(consume.code == 1 && consume.errors.contains("is in use by process "), "{consume:?}");

    world.clear(down);
    let proof = world.finish(0).await;
    assert_eq!(proof.written, 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_consumed_is_delivered_and_a_forwarder_sends_the_rest() {
    let (mut world, down) = outage(2_000, QUEUE).await;
    world.stop().await;
    world.clear(down);
    let dry = run(&world, &["--consume", "--to-seq", "20", "--dry-run"]).await;
    let sent = run(&world, &["--consume", "--to-seq", "20"]).await;
    sent.was(0, "complete");
    assert_eq!(sent.number("/this_run/batches"), 20);
    assert_eq!(sent.number("/this_run/events"), dry.number("/this_run/events"));
    let arrived = world.server.counts().events;
    assert_eq!(arrived, sent.number("/this_run/events"));
    let nothing = run(&world, &["--consume", "--to-seq", "20"]).await;
    assert_eq!(nothing.was(0, "complete").number("/this_run/batches"), 0);
    world.start();
    let proof = world.finish(0).await;
    assert!(proof.distinct == 2_000 && arrived < 2_000, "{proof:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_runs_once_and_a_stop_repeats_nothing() {
    let world = dead_box(2_000, QUEUE).await;
    let endpoint = world.server.endpoint();
    let slowly = elsewhere("data/queues/main", &endpoint, &["--rate", "100"]);
    let running = start_replay(&world, &slowly);
    arrived(&world.server, 1).await;
    // The queue is held, so what is pending is not there for a second one, whatever its name.
    let second = run(&world, &elsewhere("data/queues/main", &endpoint, &["--name", "second"])).await;
    second.was(1, "incomplete");
    copy(&world.path("data/queues/main"), &world.path("copy"));
    let second = run(&world, &elsewhere("copy", &endpoint, &[])).await;
    assert!(second.code == 1 && second.errors.contains("is running already (process "), "{second:?}");

    let pid = rustix::process::Pid::from_raw(running.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let stopped = said(running.wait_with_output().await.unwrap());
    stopped.was(1, "interrupted");
    let before = world.server.counts().events;
    assert!((1..2_000).contains(&before) && stopped.number("/this_run/events") == before, "{stopped:?}");
    // A copy goes on where its original was.
    let rest = run(&world, &elsewhere("copy", &endpoint, &[])).await;
    rest.was(0, "complete");
    assert_eq!(rest.number("/this_run/events"), 2_000 - before);
    let proof = Proof::take(2_000, &world.server.records());
    assert!(proof.holds() && proof.repeated == 0, "{proof:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_goes_in_a_second_than_the_rate() {
    let world = dead_box(1_200, QUEUE).await;
    let endpoint = world.server.endpoint();
    let sent = run(&world, &elsewhere("data/queues/main", &endpoint, &["--rate", "600"])).await;
    sent.was(0, "complete");
    let (events, batches) = (sent.number("/this_run/events"), sent.number("/this_run/batches"));
    assert_eq!(events, 1_200);
    // All but the last batch were paid for; a batch is at most twice the average here.
    let paid = (events - 2 * events / batches) as f64;
    let seconds = sent.summary["this_run"]["duration_secs"].as_f64().unwrap();
    assert!(seconds >= paid / 600.0, "{events} events in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_kept_and_can_be_sent_later() {
    let world = dead_box(2_000, QUEUE).await;
    let refuse = world.fault("refuse:#1977");
    let endpoint = world.server.endpoint();
    let arguments = elsewhere("data/queues/main", &endpoint, &[]);
    let sent = run(&world, &arguments).await;
    sent.was(1, "incomplete");
    let rejected = sent.number("/this_run/rejected_events");
    assert_eq!(sent.number("/this_run/accepted_events") + rejected, 2_000);
    assert!(rejected > 0, "{sent:?}");
    let kept = sent.summary["dead_letters"].as_str().unwrap().to_owned();
    // It does not become complete by being asked once more.
    run(&world, &arguments).await.was(1, "incomplete");
    world.clear(refuse);
    let later = run(&world, &elsewhere(&kept, &endpoint, &["--dead-letters", "--consume"])).await;
    later.was(0, "complete");
    assert_eq!(later.number("/this_run/accepted_events"), rejected);
    let proof = Proof::take(2_000, &world.server.records());
    assert!(proof.holds() && proof.repeated == 0, "{proof:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_time_a_segment_and_what_is_wrong() {
    let world = dead_box(2_000, QUEUE).await;
    let endpoint = world.server.endpoint();
    let dry = |more: &'static [&'static str]| {
        let arguments = elsewhere("data/queues/main", &endpoint, more);
        let running = replay(&world, &arguments).arg("--dry-run").output();
        async { said(running.await.unwrap()) }
    };
    // The lines have no time of their own: they are as old as this test.
    assert_eq!(dry(&["--since", "1d"]).await.was(0, "complete").number("/this_run/events"), 2_000);
    assert_eq!(dry(&["--until", "1d"]).await.was(0, "complete").number("/this_run/events"), 0);
    let first = dry(&["--segment", "00000000000000000001.seg"]).await;
    assert!(first.was(0, "complete").number("/this_run/events") > 0, "{first:?}");
    let to = run(&world, &["--path", "data/queues/main", "--to", "main", "--dry-run"]).await;
    assert_eq!(to.was(0, "complete").number("/this_run/events"), 2_000);
    let to = run(&world, &["--path", "data/queues/main", "--to", "other", "--dry-run"]).await;
    assert!(to.code == 2 && to.errors.contains("has no output `other`"), "{to:?}");
    for (arguments, words) in [
        (&["--segment", "7"][..], "there is no segment 7"),
        (&["--since", "yesterday"], "not a time"),
        (&["--name", "../x"], "a name has 1 to 64"),
        (&["--retained", "--consume"], "cannot be used with"),
    ] {
        let wrong = dry(arguments).await;
        assert!(wrong.code == 2 && wrong.errors.contains(words), "{arguments:?}: {wrong:?}");
    }
    let nowhere = run(&world, &["--path", "data/queues/main"]).await;
    assert!(nowhere.code == 2 && nowhere.errors.contains("say where it is to go"), "{nowhere:?}");
    let hint = run(&world, &elsewhere("data", &endpoint, &[])).await;
    assert!(hint.code == 1 && hint.errors.contains("data/queues/main"), "{hint:?}");
}

/// Both copies of the header of the only segment are bad: the forwarder that starts next sets it aside, and goes on
/// without it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_salvaged() {
    let mut world = dead_box(2_000, QUEUE).await;
    let segment = world.path("data/queues/main/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    for at in [92, 2048 + 92] {
        bytes[at] ^= 1;
    }
    std::fs::write(&segment, bytes).unwrap();
    // What it has written down about its file is older than what it has read, so it would read some of it again.
    std::fs::remove_file(world.path("app.log")).unwrap();
    world.start();
    world.hear("its queue", |said| said.message == "queue opened").await;
    world.stop().await;
    assert_eq!(world.server.counts().events, 0);
    let dry = run(&world, &["--quarantine", "--dry-run"]).await;
    assert_eq!(dry.was(0, "complete").number("/this_run/events"), 2_000);
    run(&world, &["--quarantine"]).await.was(0, "complete");
    run(&world, &["--quarantine"]).await.was(0, "complete");
    let proof = Proof::take(2_000, &world.server.records());
    assert!(proof.holds() && proof.repeated == 0, "{proof:#?}");
}
