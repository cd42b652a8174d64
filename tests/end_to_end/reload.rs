//! A configuration that changes while the forwarder runs; several inputs and outputs; queues that outlive their outputs.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use millpond::drill::Said;
use millpond_local_kinesis::{Options, Server, StreamSpec, decode, start};

use crate::world::World;

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";

fn started(said: &Said) -> bool {
    said.message.contains("output started")
}

fn endpoint(world: &World) -> String {
    format!("endpoint: \"{}\"", world.server.endpoint())
}

/// The events at a server hold these lines, each once.
async fn holds(server: &Server, expected: impl IntoIterator<Item = String>) {
    let expected: BTreeSet<String> = expected.into_iter().collect();
    let until = tokio::time::Instant::now() + crate::world::PATIENCE;
    while (server.counts().events as usize) < expected.len() && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut events = Vec::new();
    for record in server.records() {
        for event in decode(&record.data).unwrap().events() {
            let event: serde_json::Value = serde_json::from_slice(event).unwrap();
            events.push(event["_raw"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(events.len(), expected.len(), "{events:?}");
    assert_eq!(events.into_iter().collect::<BTreeSet<_>>(), expected);
}

/// An endpoint with a typing error is corrected: what waited for it arrives, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_output_has_not_sent_goes_over_to_its_new_settings() {
    for policy in ["backpressure: block", "backpressure: queue\nqueue: { mode: always }"] {
        let mut world = World::new(2, &format!("{policy}\nflush_period: 50ms")).await;
        let right = endpoint(&world);
        world.edit(&right, &format!("endpoint: \"{NOBODY}\""));
        world.write_lines(2000);
        world.start();
        world.hear("the outage", |said| said.state.as_deref() == Some("unhealthy")).await;
        world.edit(&format!("endpoint: \"{NOBODY}\""), &right);
        world.hear("the restart", |said| said.message.contains("settings have changed")).await;
        world.write_lines(2000);
        world.finish(0).await;
    }
}

/// A backlog drains, and the settings change: nothing is lost, nothing repeated, the order stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_in_the_middle_of_a_drain_loses_and_repeats_nothing() {
    let settings = "backpressure: queue\nqueue: { mode: error }\nflush_period: 20ms\nmax_record_size: 4 KiB\nconcurrency: 1";
    let mut world = World::new(1, settings).await;
    world.start();
    world.hear("the start", started).await;
    let down = world.fault("down");
    world.live(Duration::from_secs(5), 2000).await;
    let slow = world.fault("slow:20ms");
    world.clear(down);
    world.hear("the drain", |said| said.state.as_deref() == Some("healthy")).await;
    let before = world.server.counts().events;
    world.edit("concurrency: 1", "concurrency: 2");
    world.hear("the restart", |said| said.message.contains("settings have changed")).await;
    world.write_lines(1000);
    world.hear("the new output", started).await;
    assert!(before < world.written, "the drain was over before the reload");
    world.clear(slow);
    world.finish(0).await;
}

/// What did not change keeps running: its output is not started again.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_comes_and_goes_while_the_others_go_on() {
    let mut world = World::new(1, "flush_period: 50ms\ndescription: one").await;
    world.write_lines(100);
    world.start();
    world.hear("the start", started).await;
    std::fs::write(world.path("other.txt"), "of another file\n").unwrap();
    world.edit("inputs:\n", "inputs:\n  other: { type: file, include: [other.txt] }\n");
    world.edit("description: one", "description: two");
    world.arrived().await;
    holds_also(&world, 101).await;
    world.edit("  other: { type: file, include: [other.txt] }\n", "");
    world.hear("the end of the input", |said| said.message.contains("input other has stopped")).await;
    let mut file = std::fs::File::options().append(true).open(world.path("other.txt")).unwrap();
    writeln!(file, "written while nobody reads").unwrap();
    world.edit("inputs:\n", "inputs:\n  other: { type: file, include: [other.txt] }\n");
    holds_also(&world, 102).await;
    assert_eq!(world.times_said("output started"), 1);
    assert_eq!(world.times_said("refused"), 0);
    world.stop().await;
}

async fn holds_also(world: &World, events: u64) {
    let until = tokio::time::Instant::now() + crate::world::PATIENCE;
    while world.server.counts().events < events && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.server.counts().events, events);
}

/// A bad file is refused whole, whatever is wrong with it, and the old one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_and_the_old_one_goes_on() {
    let mut world = World::new(1, "flush_period: 50ms").await;
    world.start();
    world.hear("the start", started).await;
    let refusals = [
        ("flush_period: 50ms", "flush_period: soon", "flush_period"),
        ("data_dir: data", "data_dir: elsewhere", "data_dir"),
        ("flush_period: 50ms", "flush_period: 50ms\n    ca_file: nowhere.pem", "nowhere.pem"),
        ("inputs:\n", "inputs:\n  pipe: { type: stdin }\n", "standard input"),
    ];
    for (from, to, words) in refusals {
        world.edit(from, to);
        world.hear(words, |said| said.message.contains("refused") && said.message.contains(words)).await;
        world.write_lines(100);
        world.arrived().await;
        world.edit(to, from);
        world.hear("the old one again", |said| said.message.contains("reading the configuration")).await;
    }
    std::fs::remove_file(world.config()).unwrap();
    world.hang_up();
    world.hear("that there is no file", |said| said.message.contains("no such file")).await;
    world.write_lines(100);
    let proof = world.arrived().await;
    assert_eq!((proof.missing, proof.repeated), (0, 0));
    assert_eq!(world.times_said("output started"), 1);
    world.stop().await;
}

/// Each output gets the events of the inputs that it names, and one that is down holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn outputs_take_the_events_of_their_inputs_and_do_not_wait_for_each_other() {
    let options =
        || Options { streams: vec![StreamSpec::new("logs", 1)], seed: Some(7), ..Options::default() };
    let second = start(options()).await.unwrap();
    let mut world = World::new(1, "backpressure: drop\nflush_period: 50ms\ninputs: [app]").await;
    let lines = |name: &str| (0..500).map(|n| format!("{name} {n}")).collect::<Vec<_>>();
    std::fs::write(world.path("b.txt"), lines("b").join("\n") + "\n").unwrap();
    world.edit("inputs:\n  app", "inputs:\n  b: { type: file, include: [b.txt] }\n  app");
    let config = std::fs::read_to_string(world.config()).unwrap();
    let output = |id: &str, endpoint: &str, more: &str| {
        format!(
            "  {id}: {{ type: kinesis, stream_name: logs, region: us-east-1, endpoint: \"{endpoint}\", \
             flush_period: 50ms, auth: {{ method: manual, access_key: t, secret_key: t }}, {more} }}\n"
        )
    };
    let config = config
        + &output("second", &second.endpoint(), "inputs: [b]")
        + &output("down", NOBODY, "backpressure: queue, queue: { mode: error }");
    std::fs::write(world.config(), config).unwrap();
    world.write_lines(500);
    world.start();
    holds(&second, lines("b")).await;
    let proof = world.arrived().await;
    assert_eq!((proof.missing, proof.repeated), (0, 0), "main has the lines of app and no others");
    world.stop().await;
    let queued = |said: &Said| {
        let number = |name: &str| said.fields.get(name).and_then(serde_json::Value::as_u64);
        said.fields.get("output").is_some_and(|output| output == "down")
            && number("spooled_batches") > Some(0)
    };
    assert!(world.said.iter().any(queued), "{:#?}", world.said);
}

/// An output is renamed while its queue holds batches: the new one adopts them.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_output_is_gone_is_named_and_drained_on_request() {
    let mut world = World::new(1, "backpressure: queue\nqueue: { mode: error }\nflush_period: 50ms").await;
    let right = endpoint(&world);
    world.edit(&right, &format!("endpoint: \"{NOBODY}\""));
    world.start();
    world.hear("the start", started).await;
    world.live(Duration::from_secs(2), 1000).await;
    world.edit(&format!("endpoint: \"{NOBODY}\""), &right);
    world.edit("  main:\n", "  central:\n");
    world.hear("the warning", |said| said.message.contains("adopt: [main]")).await;
    world.edit("  central:\n", "  central:\n    adopt: [main]\n");
    world.hear("the end of the drain", |said| said.message.contains("is drained")).await;
    world.write_lines(100);
    world.finish(0).await;
}

/// What is queued where no output looks any more is named, with the way to send it.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_left_behind_at_another_path_is_named() {
    let mut world = World::new(2, "backpressure: queue\nflush_period: 50ms\nqueue: { path: here }").await;
    let right = endpoint(&world);
    world.edit(&right, &format!("endpoint: \"{NOBODY}\""));
    world.write_lines(500);
    world.start();
    world.hear("the outage", |said| said.state.as_deref() == Some("unhealthy")).await;
    // The positions are written when all is in the queue.
    world.stop().await;
    world.start();
    world.hear("the queue", |said| said.message.contains("queue opened")).await;
    world.edit("path: here", "path: there");
    world.hear("the warning", |said| said.message.contains("no output drains this queue")).await;
    assert!(world.has_said("millpond replay --path"), "{:#?}", world.said);
    assert!(world.path("here/main").is_dir());
    world.stop().await;
}

/// An output that queued is told to block: what its queue holds goes out first.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_queues_no_more_sends_what_it_has_queued() {
    let mut world = World::new(1, "backpressure: queue\nqueue: { mode: always }\nflush_period: 50ms").await;
    let right = endpoint(&world);
    world.edit(&right, &format!("endpoint: \"{NOBODY}\""));
    world.start();
    world.hear("the start", started).await;
    world.live(Duration::from_secs(2), 1000).await;
    world.stop().await;
    assert!(world.number("spooled_batches") > 0);
    world.edit(&format!("endpoint: \"{NOBODY}\""), &right);
    world.edit("backpressure: queue", "backpressure: block");
    world.edit("    queue: { mode: always }\n", "");
    world.write_lines(1000);
    world.start();
    world.hear("what is left", |said| said.message.contains("does not queue any more")).await;
    world.finish(0).await;
}

/// An input whose port is taken does not stop the others, is started again when it is free, and holds up no stop.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_cannot_start_is_tried_again_and_a_stop_does_not_wait_for_it() {
    let mut world = World::new(1, "flush_period: 50ms").await;
    world.start();
    world.hear("the start", started).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let input = format!("inputs:\n  plc: {{ type: tcp, listen: \"{address}\" }}\n");
    world.edit("inputs:\n", &input);
    for _ in 0..4 {
        world.hear("that it cannot start", |said| said.message.contains("started again by and by")).await;
    }
    world.write_lines(100);
    world.arrived().await;
    let stopping = tokio::time::Instant::now();
    world.stop().await;
    // The next try would have been eight seconds later.
    assert!(stopping.elapsed() < Duration::from_secs(5), "it took {:?}", stopping.elapsed());
    world.edit(&input, "inputs:\n");
    world.start();
    world.hear("the start", started).await;
    world.edit("inputs:\n", &input);
    world.hear("that it cannot start", |said| said.message.contains("started again by and by")).await;
    drop(taken);
    world.hear("the address", |said| said.message == "listening").await;
    world.finish(0).await;
}
