//! `millpond status` and `top`, and what the admin address gives them.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::admin_client::{ADMIN, get, post};
use crate::world::World;

const QUEUE: &str = "flush_period: 50ms\nbackpressure: queue\nmax_record_size: \"4 KiB\"\ntags: [edge]";

async fn world(settings: &str) -> World {
    let world = World::new(2, settings).await;
    world.configure(|config| format!("{config}{ADMIN}\n"));
    world
}

async fn millpond(args: Vec<String>) -> Output {
    let run = move || Command::new(env!("CARGO_BIN_EXE_millpond")).args(args).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// What `millpond status` says of the forwarder at this address; it must end so.
async fn status(address: SocketAddr, more: &[&str], code: i32) -> String {
    let mut args = vec!["status".to_owned(), "--url".to_owned(), format!("http://{address}")];
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    let output = millpond(args).await;
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}\n{complaint}");
    if code == 0 { said } else { complaint.into_owned() }
}

/// Waits until the output is as wanted.
async fn main_when(world: &mut World, address: SocketAddr, what: &str, wanted: impl Fn(&Value) -> bool) {
    let until = tokio::time::Instant::now() + crate::world::PATIENCE;
    loop {
        let status = get(address, "/api/v1/status").await.json();
        if wanted(&status["outputs"][0]) {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "{what} never was: {status:#}");
        world.live(std::time::Duration::from_millis(50), 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_at_a_glance() {
    let mut world = world(QUEUE).await;
    let address = world.start_with_admin().await;
    world.fault("down");
    world.write_lines(2_000);
    let is_down = |main: &Value| main["state"] == "unhealthy" && main["running"]["queue"]["events"] == 2_000;
    main_when(&mut world, address, "an outage", is_down).await;
    let said = status(address, &[], 0).await;
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    for words in [
        "main: unhealthy for ",
        "2,000 events in ",
        "  drain    begins when the output is healthy again",
        "  lost     nothing",
        "app  file  accepting  2,000 events",
    ] {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "no colours where there is no terminal: {said:?}");
    let document: Value =
        serde_json::from_str(&status(address, &["--json", "--tag", "edge"], 0).await).unwrap();
    assert_eq!(document["outputs"][0]["running"]["queue"]["events"], 2_000);
    let none = status(address, &["--tag", "nobody"], 0).await;
    assert!(none.contains("none has this tag"), "{none}");
    // What lies on disk, as the forwarder's neighbours see it.
    let queue = get(address, "/api/v1/outputs/main/queue").await.json();
    let events =
        queue["segments"].as_array().unwrap().iter().map(|segment| segment["events"].as_u64().unwrap());
    assert_eq!((events.sum::<u64>(), &queue["segments"][0]["state"]), (2_000, &"active".into()), "{queue:#}");
    world.kill_9().await;
    let said = status(address, &[], 1).await;
    assert!(said.contains(&format!("nobody answers at http://{address}: Connection refused")), "{said}");
    assert!(said.contains("`millpond queue stat` looks into a queue without it"), "{said}");
}

/// One look is enough to know when the queue will be empty.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_drain_is_known_at_the_first_look() {
    let mut world = world(&format!("{QUEUE}\nqueue: {{ drain_rate: 300 }}")).await;
    let address = world.start_with_admin().await;
    post(address, "/api/v1/outputs/main/pause", "").await;
    world.write_lines(3_000);
    main_when(&mut world, address, "all queued", |main| main["running"]["queue"]["events"] == 3_000).await;
    let said = status(address, &[], 0).await;
    assert!(said.contains("main: paused") && said.contains("begins when the output is resumed"), "{said}");
    post(address, "/api/v1/outputs/main/resume", "").await;
    let is_draining = |main: &Value| main["running"]["queue"]["events"].as_u64().unwrap() < 2_900;
    // Asking for the metrics tells the status nothing.
    let drains = |metrics: &crate::admin_client::Metrics| {
        metrics.get("millpond_queue_events").is_some_and(|events| events < 2_900.0)
    };
    world.metrics_when(address, "a drain", drains).await;
    let document: Value = serde_json::from_str(&status(address, &["--json"], 0).await).unwrap();
    assert!(is_draining(&document["outputs"][0]), "{document:#}");
    let drain = &document["outputs"][0]["running"]["queue"]["drain"];
    assert!(
        drain["events_per_sec"].as_f64().unwrap() > 1.0 && drain["secs_left"].as_f64().unwrap() > 0.0,
        "{document:#}"
    );
    let said = status(address, &[], 0).await;
    assert!(said.contains("  drain    through in "), "{said}");
    world.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_counted_by_code() {
    let mut world = world(QUEUE).await;
    let address = world.start_with_admin().await;
    let none = get(address, "/api/v1/outputs/main/dead-letters").await.json();
    assert_eq!((&none["letters"], &none["by_code"]), (&0.into(), &Value::Array(Vec::new())));
    world.fault("refuse:#7 ");
    world.write_lines(10);
    main_when(&mut world, address, "a dead letter", |main| main["running"]["dead_letter_events"] != 0).await;
    let letters = get(address, "/api/v1/outputs/main/dead-letters?limit=1").await.json();
    assert_eq!(letters["by_code"][0]["events"], letters["events"], "{letters:#}");
    assert_eq!(letters["newest"].as_array().unwrap().len(), 1, "{letters:#}");
    assert!(
        letters["newest"][0]["body_bytes"].as_u64().unwrap() > 0
            && letters["newest"][0].get("body").is_none()
    );
    for bad in ["-1", "1001", "x"] {
        let refused = get(address, &format!("/api/v1/outputs/main/dead-letters?limit={bad}")).await;
        assert_eq!(refused.status, 400, "{bad}: {refused:?}");
    }
    assert_eq!(get(address, "/api/v1/outputs/nobody/queue").await.status, 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_said() {
    let world = World::new(1, "backpressure: block").await;
    let config = world.config().display().to_string();
    let ask = |command: &str, more: &[&str]| {
        let mut args = vec![command.to_owned()];
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        millpond(args)
    };
    let check = |output: Output, words: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
    };
    check(ask("status", &["--config", &config]).await, "has no `admin`");
    check(ask("top", &["--config", &config]).await, "top needs a terminal; `millpond status`");
    check(ask("status", &["--url", "edge"]).await, "--url");
    world.configure(|config| format!("{config}{ADMIN}\n"));
    check(ask("status", &["--config", &config]).await, "leaves the port to the system");
}

/// On a real terminal: it draws, pauses what a person says it should, and gives the terminal back.
#[tokio::test(flavor = "multi_thread")]
async fn top_on_a_terminal() {
    let mut world = world(QUEUE).await;
    let address = world.start_with_admin().await;
    let program = env!("CARGO_BIN_EXE_millpond");
    let command = format!("stty cols 100 rows 30; {program} top --url http://{address}; echo ended with $?");
    let terminal = move || {
        let mut child = Command::new("script")
            .args(["-qfec", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script of util-linux is on every Linux");
        let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut written = Vec::new();
        let mut until = |words: &str| {
            let mut part = [0; 4096];
            loop {
                let text = String::from_utf8_lossy(&written).into_owned();
                if shown(&text).contains(words) {
                    return text;
                }
                let read = screen.read(&mut part).unwrap();
                assert!(read > 0, "it ended before {words:?}: {}", shown(&text));
                written.extend_from_slice(&part[..read]);
            }
        };
        assert!(until("accepting").contains("\u{1b}[?1049h"));
        keys.write_all(b"p").unwrap();
        until("y to do it");
        keys.write_all(b"y").unwrap();
        until("paused by the admin address");
        keys.write_all(b"q").unwrap();
        assert!(until("ended with 0").contains("\u{1b}[?1049l"));
        child.wait().unwrap();
    };
    tokio::task::spawn_blocking(terminal).await.unwrap();
    main_when(&mut world, address, "the pause", |main| main["state"] == "paused").await;
    world.stop().await;
}

/// What stands on a terminal of 100 columns after this was written to it, as far as `top` uses one: places and text.
fn shown(written: &str) -> String {
    let mut rows = vec![vec![' '; 100]; 31];
    let (mut row, mut column) = (0, 0);
    let mut rest = written;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '\u{1b}' {
            if let Some(cell) = rows.get_mut(row).and_then(|row: &mut Vec<char>| row.get_mut(column)) {
                *cell = c;
            }
            column += 1;
            continue;
        }
        // `ESC [ parameters letter`.
        let parameters = rest.strip_prefix('[').unwrap_or_default();
        let end = parameters.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(parameters.len());
        let (sequence, behind) = parameters.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        match (sequence.split_once(';'), behind.chars().next()) {
            (Some((line, place)), Some('H')) => {
                (row, column) = (line.parse::<usize>().unwrap() - 1, place.parse::<usize>().unwrap() - 1);
            }
            // What is behind the end of `top` stands below everything.
            (None, Some('l')) if sequence == "?1049" => (row, column) = (30, 0),
            _ => {}
        }
    }
    rows.into_iter().map(|row| row.into_iter().collect::<String>() + "\n").collect()
}
