//! The examples of `--help` work as they stand, and every command has some; completions and manual pages are made for all.

use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory as _;
use millpond::cli::Cli;

use crate::world::World;

/// Commands whose examples are not run: they run until they are stopped, need a terminal, or leave their directory.
const NOT_RUN: [&str; 4] = ["millpond run", "millpond top", "millpond demo", "millpond local-kinesis"];

fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
    let subcommands: Vec<_> =
        command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help").collect();
    if subcommands.is_empty() {
        found.push((path.to_owned(), command.clone()));
    }
    for subcommand in subcommands {
        leaves(subcommand, &format!("{path} {}", subcommand.get_name()), found);
    }
}

/// Every command that does something, with its examples.
fn examples() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    leaves(&Cli::command(), "millpond", &mut found);
    let of = |(path, mut command): (String, clap::Command)| {
        let help = command.render_long_help().to_string();
        let lines = help.lines().filter_map(|line| line.trim().strip_prefix("$ ").map(str::to_owned));
        (path, lines.collect())
    };
    found.into_iter().map(of).collect()
}

fn shell(directory: &Path, command: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_millpond")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(directory).env("PATH", path).env("NO_COLOR", "1");
    shell.output().unwrap()
}

#[test]
fn every_command_has_examples() {
    let without: Vec<String> = examples()
        .into_iter()
        .filter(|(path, examples)| {
            examples.len() < 2 && !["millpond completions", "millpond man"].contains(&&**path)
                || examples.is_empty()
        })
        .map(|(path, _)| path)
        .collect();
    assert_eq!(without, Vec::<String>::new());
}

/// In a directory with a configuration, a queue that holds something, and a forwarder that runs unless a command needs it
/// to be stopped.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_work_as_they_stand() {
    let settings = "flush_period: 50ms\nbackpressure: queue\nqueue: { mode: error, min_free: \"0 B\" }";
    let mut world = World::new(2, settings).await;
    let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let data_dir = |config: String| config.replace("data_dir: data\n", "data_dir: millpond-data\n");
    let more = "pipelines: { tidy: { source: . } }\ntests: { errors_are_routed: { input: app, given: [x], holds: exists(._raw) } }\n";
    world.configure(|config| format!("{}admin: {{ listen: \"{admin}\" }}\n{more}", data_dir(config)));
    std::fs::write(world.path("events.ndjson"), "{\"level\":\"info\"}\n").unwrap();
    std::fs::write(
        world.path("outputs.yml"),
        "outputs:\n  k:\n    type: kinesis\n    streamName: logs\n    region: us-east-1\n",
    )
    .unwrap();
    let down = world.fault("down");
    world.write_lines(2_000);
    world.start_with_admin().await;
    world.hear("the outage", |said| said.state.as_deref() == Some("unhealthy")).await;
    world.live(std::time::Duration::from_secs(1), 0).await;
    let mut failed = Vec::new();
    let (stopped, running): (Vec<_>, Vec<_>) =
        examples().into_iter().partition(|(path, _)| needs_it_stopped(path));
    for (path, examples) in running {
        run(&world, &admin, &path, &examples, &mut failed);
    }
    world.stop().await;
    world.clear(down);
    for (path, examples) in stopped {
        run(&world, &admin, &path, &examples, &mut failed);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn needs_it_stopped(path: &str) -> bool {
    ["millpond queue repair", "millpond queue purge", "millpond replay"].contains(&path)
}

fn run(world: &World, admin: &str, path: &str, examples: &[String], failed: &mut Vec<String>) {
    for example in examples.iter().filter(|_| !NOT_RUN.contains(&path)) {
        let output = shell(&world.path(""), &example.replace("127.0.0.1:9650", admin));
        // That the link is down is bad news; everything else has to work.
        let expected = if example.contains("--online") { 1 } else { 0 };
        if output.status.code() != Some(expected) {
            failed.push(format!("{example}\n{output:?}"));
        }
    }
}

#[test]
fn completions_and_pages_are_made_for_every_command() {
    let directory = tempfile::tempdir().unwrap();
    for shell_name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = shell(directory.path(), &format!("millpond completions {shell_name}"));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("dead-letters"), "{shell_name}");
    }
    let taken = "millpond completions bash > c && bash -c '. ./c && complete -p millpond'";
    let output = shell(directory.path(), taken);
    assert!(output.status.success(), "{output:?}");
    assert!(shell(directory.path(), "millpond man --dir .").status.success());
    for (path, _) in examples() {
        let page = directory.path().join(format!("{}.1", path.replace(' ', "-")));
        let text =
            std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.contains(".SH EXTRA") || text.contains("Examples:"), "{path}: {text}");
    }
}
