//! `millpond.service`, as systemd understands it.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::harness::{Outcome, needs_program};
use crate::world::World;

const UNIT: &str = include_str!("../../crates/supervisor/packaging/systemd/millpond.service");
const PROGRAM: &str = env!("CARGO_BIN_EXE_millpond");

/// Without a word. The program that is tested stands in the place of the one that is installed.
pub(crate) fn verifies() -> Outcome {
    needs_program("systemd-analyze", "systemd")?;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("millpond.service");
    std::fs::write(&path, UNIT.replace("/usr/bin/millpond", PROGRAM)).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.is_empty(), "{said}");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--threshold=20", "--no-pager"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "exposed more than it need be:\n{said}");
    Ok(said.lines().next_back().unwrap_or_default().trim_matches(['→', ' ']).to_owned())
}

/// All system calls of a forwarder that reads, queues, sends and stops are among those that the unit allows.
pub(crate) fn allows_its_system_calls() -> Outcome {
    needs_program("systemd-analyze", "systemd")?;
    needs_program("strace", "strace")?;
    let calls = calls_of_a_run();
    let allowed = allowed();
    assert!(allowed.len() > 200, "{allowed:?}");
    let refused: Vec<&String> = calls.difference(&allowed).collect();
    assert!(refused.is_empty(), "the unit forbids {refused:?}");
    Ok(format!("{} system calls, all allowed", calls.len()))
}

/// What `SystemCallFilter=` comes to.
fn allowed() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in UNIT.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (forbids, words) = line.strip_prefix('~').map_or((false, line), |words| (true, words));
        for call in words.split_whitespace().flat_map(expand) {
            if forbids {
                allowed.remove(&call);
            } else {
                allowed.insert(call);
            }
        }
    }
    // Those with which systemd starts a program are always allowed.
    allowed.extend(expand("@default"));
    allowed.insert("execve".to_owned());
    allowed
}

/// The system calls in a set, or the one.
fn expand(word: &str) -> Vec<String> {
    if !word.starts_with('@') {
        return vec![word.to_owned()];
    }
    let output =
        Command::new("systemd-analyze").args(["syscall-filter", word, "--no-pager"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{word}");
    let members =
        text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    members.flat_map(expand).collect()
}

fn calls_of_a_run() -> BTreeSet<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world =
            World::new(2, "flush_period: 50ms\nbackpressure: queue\nqueue: { mode: always }").await;
        let trace = world.path("trace");
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-qq", "-o"]).arg(&trace).stdin(Stdio::null());
        world.under = Some(strace);
        world.write_lines(2_000);
        world.start();
        world.arrived().await;
        world.stop().await;
        let trace = std::fs::read_to_string(&trace).unwrap();
        let calls = trace.lines().filter_map(|line| {
            let (_pid, call) = line.split_once(' ')?;
            let (name, _) = call.trim_start().split_once('(')?;
            name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_').then(|| name.to_owned())
        });
        calls.collect()
    })
}
