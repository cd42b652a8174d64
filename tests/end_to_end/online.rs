//! `millpond check --online`: what it says of an endpoint that is well, and of one that is not.

use std::process::{Command, Output};

use crate::world::World;

/// What the command prints, with its exit code.
fn check(world: &World, arguments: &[&str]) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.args(["check", "--config"]).arg(world.config()).args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.to_ascii_lowercase().ends_with("_proxy")) {
        command.env_remove(name);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    (String::from_utf8(stdout).unwrap(), status.code().unwrap())
}

/// The verdict on one thing.
fn verdict(told: &str, what: &str) -> String {
    let line = told.lines().find(|line| line.split_whitespace().nth(1) == Some(what));
    line.and_then(|line| line.split_whitespace().next())
        .unwrap_or_else(|| panic!("no {what} in {told}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_well() {
    for (settings, operation) in [("", "PutRecord"), ("compression: none\nsend_batched: false", "PutRecords")]
    {
        let world = World::new(3, settings).await;
        let (told, code) = check(&world, &["--online"]);
        assert_eq!(code, 0, "{told}");
        for what in ["credentials", "connection", "tls", "stream", "shards", "put", "clock"] {
            assert_eq!(verdict(&told, what), "ok", "{what}: {told}");
        }
        assert!(told.contains(&format!("{operation} is allowed")), "{told}");
        assert!(told.contains("3 are open"), "{told}");
        assert_eq!(world.server.counts().records, 0, "looking stores nothing");
        assert!(!world.path("data").exists(), "and creates nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not() {
    let world = World::new(3, "").await;
    for (fault, what, found, words, code) in [
        ("not-found", "stream", "PROBLEM", "ResourceNotFoundException", 1),
        ("denied,op=PutRecord", "put", "PROBLEM", "IAM policy", 1),
        ("list-denied", "shards", "warning", "may not be listed", 0),
        ("denied,op=DescribeStreamSummary", "stream", "warning", "kinesis:DescribeStreamSummary", 0),
        ("gap", "shards", "PROBLEM", "no open shard takes", 1),
        ("portal", "connection", "PROBLEM", "captive portal", 1),
        ("down", "connection", "PROBLEM", "check the link", 1),
        ("skew:+3h", "clock", "warning", "3h behind", 0),
        ("skew:-2h", "clock", "warning", "2h ahead of", 0),
    ] {
        let id = world.fault(fault);
        let (told, found_code) = check(&world, &["--online"]);
        world.clear(id);
        assert_eq!(verdict(&told, what), found, "{fault}: {told}");
        assert!(told.contains(words), "{fault}: {told}");
        assert_eq!(found_code, code, "{fault}: {told}");
    }
    assert_eq!(world.server.counts().records, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json() {
    let world = World::new(2, "max_record_size: \"5 MiB\"").await;
    let (told, code) = check(&world, &["--online", "--json"]);
    assert_eq!(code, 1, "the stream takes 1 MiB: {told}");
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(report["outcome"], "online_problem");
    let checks = report["online"][0]["checks"].as_array().unwrap();
    let stream = checks.iter().find(|check| check["what"] == "stream").unwrap();
    assert_eq!(stream["verdict"], "problem");
    assert!(stream["remedy"].as_str().unwrap().contains("UpdateMaxRecordSize"), "{stream}");
    let (told, code) = check(&world, &["--json"]);
    assert_eq!(code, 0);
    assert!(serde_json::from_str::<serde_json::Value>(&told).unwrap().get("online").is_none());
}
