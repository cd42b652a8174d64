//! Programs on the way from an input to its outputs, which change while events are on it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use millpond_local_kinesis::{Options, Server, StreamSpec, decode, start};
use serde_json::Value;

use crate::admin_client::ADMIN;
use crate::web::{NDJSON, SOON, Web, replace_input};
use crate::world::World;

/// A program that says how old it is.
fn program(version: u32) -> String {
    format!(".version = {version}")
}

fn events(server: &Server) -> Vec<Value> {
    let records = server.records();
    let decoded = records.iter().flat_map(|record| {
        let record = decode(&record.data).unwrap();
        record.events().map(|event| serde_json::from_slice(event).unwrap()).collect::<Vec<_>>()
    });
    decoded.collect()
}

/// Which lines have been shaped by which program.
fn versions(world: &World) -> BTreeMap<u64, u64> {
    let version = |event: &Value| {
        let line = event["_raw"].as_str().unwrap();
        let number = line[1..].split_once(' ').unwrap().0.parse().unwrap();
        (number, event["version"].as_u64().unwrap())
    };
    events(&world.server).iter().map(version).collect()
}

/// Where a pipeline is used.
#[derive(Clone, Copy)]
enum At {
    Input,
    Output,
}

impl At {
    /// A world in which every event goes through the pipeline `v` there.
    async fn world(self, policy: &str, pipeline: &str) -> World {
        let settings = match self {
            Self::Input => policy.to_owned(),
            Self::Output => format!("{policy}\npipeline: v"),
        };
        let world = World::new(2, &settings).await;
        if matches!(self, Self::Input) {
            world.edit("include: [\"*.log\"] }", "include: [\"*.log\"], pipeline: v }");
        }
        world.configure(|config| format!("{config}pipelines:\n  v: {{ {pipeline} }}\n"));
        world
    }
}

/// Eight times under load the program becomes another one: each line arrives once, shaped by one of them, and what was
/// written later never by an earlier one. Nothing is restarted.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_changes_under_load_loses_and_repeats_nothing() {
    for (at, policy) in [
        (At::Output, "backpressure: block"),
        (At::Input, "backpressure: block"),
        (At::Output, "backpressure: queue\nqueue: { mode: always }"),
        (At::Input, "backpressure: queue\nqueue: { mode: always }"),
    ] {
        let source = |version| format!("source: {}", program(version));
        let mut world = at.world(&format!("{policy}\nflush_period: 20ms\nconcurrency: 1"), &source(1)).await;
        world.start();
        for version in 1..9 {
            world.live(Duration::from_millis(600), 4000).await;
            world.edit(&source(version), &source(version + 1));
            world.live(Duration::from_millis(300), 4000).await;
            let reloads = world.times_said("reading the configuration again");
            if reloads < version as usize {
                world
                    .hear("the reload", |said| said.message.contains("reading the configuration again"))
                    .await;
            }
        }
        world.live(Duration::from_millis(200), 4000).await;
        assert_eq!((world.times_said("output started"), world.times_said("refused")), (1, 0));
        assert_eq!(world.times_said("the input is stopped"), 0);
        world.arrived().await;
        let used: BTreeSet<u64> = versions(&world).into_values().collect();
        assert_eq!(used, (1..=9).collect(), "each program has shaped some lines, without a restart");
        // What is on its way at a stop is shaped by the last one, too.
        world.write_lines(20_000);
        world.live(Duration::from_millis(50), 0).await;
        world.stop().await;
        world.start();
        world.arrived().await;
        let versions = versions(&world);
        let seen: Vec<u64> = versions.values().copied().collect();
        assert!(seen.is_sorted(), "a later line was shaped by an earlier program");
        assert_eq!((seen.first(), seen.last()), (Some(&1), Some(&9)));
        world.finish(0).await;
    }
}

/// The link goes down and the process with it while a program is on the way: nothing is missing.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_an_outage_loses_nothing_that_a_pipeline_has_shaped() {
    for at in [At::Input, At::Output] {
        let policy = "backpressure: queue\nqueue: { mode: error }\nflush_period: 20ms";
        let mut world = at.world(policy, &format!("source: {}", program(1))).await;
        world.start();
        world.live(Duration::from_secs(1), 2000).await;
        let down = world.fault("down");
        world.write_lines(2000);
        world.hear("the outage", |said| said.state.as_deref() == Some("unhealthy")).await;
        world.live(Duration::from_secs(1), 2000).await;
        world.kill_9().await;
        world.start();
        world.live(Duration::from_secs(1), 2000).await;
        world.clear(down);
        // What was read and not yet on disk, or sent and not yet written down.
        world.finish(4000).await;
    }
}

/// A program in a file of its own: a change of it is noticed, and one that does not compile is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_programs_own_file_is_a_change_of_the_configuration() {
    let mut world = At::Output.world("flush_period: 20ms", "file: v.vrl").await;
    let write = |world: &World, text: &str| {
        std::fs::write(world.path("v.vrl.new"), text).unwrap();
        std::fs::rename(world.path("v.vrl.new"), world.path("v.vrl")).unwrap();
    };
    write(&world, &program(1));
    world.start();
    world.write_lines(100);
    world.arrived().await;
    write(&world, ".version = parse_int(2)");
    world.hear("the refusal", |said| said.message.contains("v.vrl:1:22")).await;
    world.write_lines(100);
    world.arrived().await;
    write(&world, &program(2));
    world.hear("the reload", |said| said.message.contains("reading the configuration again")).await;
    world.live(Duration::from_millis(300), 0).await;
    world.write_lines(100);
    world.arrived().await;
    let versions = versions(&world);
    let of = |version: u64| versions.values().filter(|seen| **seen == version).count();
    assert_eq!((of(1), of(2)), (200, 100));
    world.finish(0).await;
}

/// What is counted of [`LINES`].
pub(crate) const COUNTED: &[(&str, f64)] = &[
    ("millpond_input_events_total{input=\"app\",type=\"file\"}", 6.0),
    ("millpond_input_dropped_events_total{input=\"app\",reason=\"filtered\"}", 1.0),
    ("millpond_input_dropped_events_total{input=\"app\",reason=\"unrouted\"}", 2.0),
    ("millpond_output_route_failures_total{output=\"errors\"}", 1.0),
    ("millpond_output_received_events_total{output=\"main\"}", 2.0),
    ("millpond_output_received_events_total{output=\"errors\"}", 1.0),
    ("millpond_pipeline_received_events_total{pipeline=\"no_debug\"}", 6.0),
    ("millpond_pipeline_made_events_total{pipeline=\"no_debug\"}", 5.0),
    ("millpond_pipeline_filtered_events_total{pipeline=\"no_debug\"}", 1.0),
    ("millpond_pipeline_failed_events_total{pipeline=\"numbers\"}", 1.0),
];

const LINES: [&str; 6] = [
    r#"{"level":"info","n":"1","__secret":true}"#,
    r#"{"level":"debug","n":"2"}"#,
    r#"{"level":"info","n":"x"}"#,
    r#"{ "level":"error", "n":"4" }"#,
    r#"{"level":"notice"}"#,
    r#"{"level":7}"#,
];

/// Where each event goes by what is in it, what becomes of those that fail and of those that nobody takes, and that all
/// of them are counted.
#[tokio::test(flavor = "multi_thread")]
async fn every_event_goes_its_way_and_is_counted() {
    let options =
        || Options { streams: vec![StreamSpec::new("logs", 1)], seed: Some(7), ..Options::default() };
    let errors = start(options()).await.unwrap();
    let mut world = World::new(1, "flush_period: 20ms\nwhere: .level == \"info\"\npipeline: numbers\nsystem_fields: [\"!cribl_host\", \"*\"]").await;
    let errors_output = format!(
        "outputs:\n  errors: {{ type: kinesis, stream_name: logs, region: us-east-1, endpoint: \"{}\", flush_period: 20ms, \
         auth: {{ method: manual, access_key: t, secret_key: t }}, where: 'contains!(.level, \"error\")', final: true, route: bad }}\n",
        errors.endpoint()
    );
    world.edit("outputs:\n", &errors_output);
    world.edit("include: [\"*.log\"] }", "include: [\"*.log\"], codec: json, pipeline: no_debug }");
    world.configure(|config| {
        format!(
            "{ADMIN}\n{config}pipelines:\n  no_debug: {{ source: 'if .level == \"debug\" {{ abort }}' }}\n  \
             numbers: {{ on_error: dead_letter, source: '.n = parse_int!(.n)' }}\n"
        )
    });
    let address = world.start_with_admin().await;
    let mut log = std::fs::File::options().append(true).open(world.path("app.log")).unwrap();
    log.write_all((LINES.join("\n") + "\n").as_bytes()).unwrap();
    let name = "millpond_output_dead_letter_events_total{output=\"main\"}";
    let metrics = world
        .metrics_when(address, name, |metrics| {
            metrics.get("millpond_output_events_total{output=\"main\"}") == Some(1.0)
                && metrics.get("millpond_output_events_total{output=\"errors\"}") == Some(1.0)
                && metrics.get(name) == Some(1.0)
        })
        .await;
    for (name, events) in COUNTED {
        assert_eq!(metrics.get(name), Some(*events), "{name}");
    }
    let texts = |server: &Server| {
        let records = server.records();
        let text = |record: &_| {
            String::from_utf8(decode(record).unwrap().events().next().unwrap().to_vec()).unwrap()
        };
        records.iter().map(|record| text(&record.data)).collect::<Vec<_>>()
    };
    assert_eq!(texts(&errors), [r#"{ "level":"error", "n":"4" ,"cribl_pipe":"no_debug"}"#]);
    let of_main = r#"{"level":"info","n":1,"cribl_pipe":["no_debug","numbers"],"cribl_input":"file:app","cribl_output":"kinesis:main","cribl_route":"main","cribl_wp":"w0"}"#;
    assert_eq!(texts(&world.server), [of_main]);
    world.stop().await;
    assert!(world.has_said("no output takes these events"), "{:#?}", world.said);
    let letters = millpond(&world.path(""), &["dead-letters", "ls", "--output", "main", "--json"], "");
    let letter: Value = serde_json::from_slice(letters.stdout.trim_ascii()).unwrap();
    assert_eq!(letter["code"], "PipelineFailed");
    let message = letter["message"].as_str().unwrap();
    assert!(message.starts_with("the pipeline `numbers` failed on the event: "), "{message}");
    let sequence = letter["sequence"].to_string();
    let shown =
        millpond(&world.path(""), &["dead-letters", "show", "--output", "main", "--json", &sequence], "");
    let shown: Value = serde_json::from_slice(shown.stdout.trim_ascii()).unwrap();
    // As it came to the pipeline, ready to be sent.
    assert_eq!(
        (&shown["decoded_events"][0]["n"], &shown["decoded_events"][0]["cribl_wp"]),
        (&"x".into(), &"w0".into())
    );
}

/// A request is answered when what its pipeline leaves of it is delivered, and at once where that is nothing; the key of a
/// record may be made by the pipeline.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_and_keys_are_made() {
    let output = format!(
        "{SOON}\npipeline: device\ncompression: none\nsend_batched: false\npartition_key: {{ field: device }}"
    );
    let world = World::new(1, &output).await;
    replace_input(&world, "{ type: http, listen: \"127.0.0.1:0\", codec: json }");
    let source = "if .level == \"debug\" { abort }; .device = downcase(string!(.dev))";
    world.configure(|config| format!("{config}pipelines:\n  device: {{ source: '{source}' }}\n"));
    let mut web = Web { world, address: ([127, 0, 0, 1], 0).into() };
    web.restart().await;
    let debug = b"{\"level\":\"debug\"}\n";
    assert_eq!(web.post(NDJSON, debug).await.status, 200);
    assert_eq!(web.world.server.counts().events, 0);
    let two = b"{\"dev\":\"PUMP-3\"}\n{\"level\":\"debug\"}\n{\"dev\":\"Pump-4\"}\n";
    assert_eq!(web.post(NDJSON, two).await.status, 200);
    let records = web.world.server.records();
    let mut keys: Vec<&str> = records.iter().map(|record| &*record.partition_key).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["pump-3", "pump-4"]);
    web.world.stop().await;
}

fn millpond(directory: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.args(args).current_dir(directory).env_remove("RUST_LOG").env_remove("MILLPOND_ENVIRONMENT");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const SURROUNDINGS: &str = "inputs: { app: { type: stdin } }\noutputs: { main: { type: kinesis, stream_name: s, region: eu-west-1 } }\n";

/// Each recipe of the page, pasted into a configuration, passes its test.
#[test]
fn the_recipes_of_the_page_work() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipelines.md");
    let page = std::fs::read_to_string(page).unwrap();
    let recipes = page.split_once("## Recipes").unwrap().1;
    let directory = tempfile::tempdir().unwrap();
    let mut worked = 0;
    for recipe in recipes.split("\n### ").skip(1) {
        let name = recipe.lines().next().unwrap();
        let block = recipe.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
        let around = if block.contains("inputs:") { "" } else { SURROUNDINGS };
        std::fs::write(directory.path().join("millpond.yaml"), format!("{block}{around}")).unwrap();
        let (code, out, err) = told(&millpond(directory.path(), &["test"], ""));
        assert_eq!(code, Some(0), "{name}\n{out}{err}");
        assert!(out.ends_with("\n1 passed, 0 failed\n"), "{name}\n{out}");
        worked += 1;
    }
    assert_eq!(worked, 10);
}

/// What the page shows before the recipes is a good configuration, and its tests pass.
#[test]
fn the_examples_of_the_page_are_good() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipelines.md");
    let page = std::fs::read_to_string(page).unwrap();
    let before = page.split_once("## Recipes").unwrap().0;
    let blocks: Vec<&str> =
        before.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    let [pipeline, routes, tests] = blocks[..] else { panic!("three examples: {blocks:?}") };
    let directory = tempfile::tempdir().unwrap();
    let run = |config: String, args: &[&str]| {
        std::fs::write(directory.path().join("millpond.yaml"), config).unwrap();
        told(&millpond(directory.path(), args, ""))
    };
    let (program, _) = pipeline.split_once("inputs:").unwrap();
    for config in [pipeline.to_owned(), routes.to_owned()] {
        let (_, out, err) = run(config, &["check"]);
        assert!(out.contains("the configuration is good: no problems"), "{out}{err}");
    }
    let (code, out, err) = run(format!("{program}{routes}{tests}"), &["test"]);
    assert!(code == Some(0) && out.ends_with("\n3 passed, 0 failed\n"), "{out}{err}");
}

#[test]
fn tests_that_fail_say_where_and_end_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "{SURROUNDINGS}pipelines:\n  p: {{ source: .a = 1 }}\ntests:\n  good: {{ pipeline: p, given: [{{}}], expect: [{{ a: 1 }}] }}\n  \
         bad: {{ pipeline: p, given: [{{}}], expect: [{{ a: 2 }}] }}\n"
    );
    let path = directory.path().join("millpond.yaml");
    std::fs::write(&path, &config).unwrap();
    let run = |args: &[&str]| told(&millpond(directory.path(), &[&["test"], args].concat(), ""));
    let (code, out, _) = run(&[]);
    assert_eq!(code, Some(1));
    assert_eq!(
        out,
        "ok      good\nFAILED  bad (millpond.yaml:7)\n    event 1: not as expected (- expected, + came)\n        {\n      \
         -   \"a\": 2\n      +   \"a\": 1\n        }\n\n1 passed, 1 failed\n"
    );
    assert_eq!(run(&["good"]).0, Some(0));
    let (code, _, err) = run(&["goof"]);
    assert_eq!(
        (code, err.as_str()),
        (Some(2), "millpond: millpond.yaml: there is no test goof: did you mean good?\n")
    );
    let (code, out, _) = run(&["--json"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (code, lines.len(), &lines[0]["passed"], &lines[1]["passed"]),
        (Some(1), 2, &true.into(), &false.into())
    );
    std::fs::write(&path, SURROUNDINGS).unwrap();
    let (code, _, err) = run(&[]);
    assert!(code == Some(1) && err.contains("nothing under `tests`"), "{err}");
    std::fs::write(&path, config.replace(".a = 1", ".a = b")).unwrap();
    let (code, _, err) = run(&[]);
    assert!(code == Some(2) && err.contains("millpond.yaml:4:21"), "{err}");
}

#[test]
fn a_pipeline_is_tried_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("{SURROUNDINGS}pipelines:\n  p: {{ source: .n = parse_int!(.n) }}\n");
    std::fs::write(directory.path().join("millpond.yaml"), config).unwrap();
    let run = |name: &str, input: &str| told(&millpond(directory.path(), &["pipeline", "try", name], input));
    let (code, out, err) = run("p", "{\"n\":\"1\"}\n");
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "{\"n\":1}\n", "1 events in, 1 out, 0 filtered, 0 failed\n")
    );
    let (code, out, err) = run("p", "{\"n\":\"x\"}\n");
    assert_eq!((code, out.as_str()), (Some(1), "{\"n\":\"x\"}\n"));
    assert!(err.starts_with("line 1: they go on as they came: "), "{err}");
    let (code, _, err) = run("q", "");
    assert_eq!(
        (code, err.as_str()),
        (Some(2), "millpond: the configuration has no pipeline q: did you mean p?\n")
    );
}
