//! `millpond dead-letters`.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::cat::{Ran, command, run};
use crate::admin_client::{ADMIN, get};
use crate::world::{PATIENCE, World};

const EVENTS: &str = "flush_period: 50ms\ncompression: none\nsend_batched: false";

fn dead_letters(world: &World, args: &[&str]) -> Ran {
    run(&world.path(""), &[&["dead-letters"], args].concat())
}

fn listed(world: &World) -> Vec<Value> {
    dead_letters(world, &["ls", "--json"]).well().lines()
}

/// A forwarder of which `refused` says what is refused, that has kept so many letters.
async fn with_letters(
    settings: &str,
    refused: &str,
    lines: u64,
    letters: usize,
) -> (World, std::net::SocketAddr) {
    let mut world = World::new(2, settings).await;
    world.configure(|config| format!("{ADMIN}\n{config}"));
    let fault = world.fault(refused);
    let address = world.start_with_admin().await;
    world.write_lines(lines);
    has_letters(&mut world, letters).await;
    world.clear(fault);
    (world, address)
}

async fn has_letters(world: &mut World, letters: usize) {
    let until = Instant::now() + PATIENCE;
    while listed(world).len() < letters {
        assert!(Instant::now() < until, "{:#?}\n{:#?}", listed(world), world.said);
        world.live(Duration::from_millis(50), 0).await;
    }
}

async fn metric_is(world: &mut World, address: std::net::SocketAddr, events: f64) {
    let name = "millpond_dead_letter_events";
    let metrics = world.metrics_when(address, name, |metrics| metrics.get(name) == Some(events)).await;
    assert_eq!(metrics.get(name), Some(events));
    let status = get(address, "/metrics").await;
    assert_eq!(status.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_shown_and_sent_again_beside_the_forwarder() {
    // #5 and #50 to #59.
    let (mut world, address) = with_letters(EVENTS, "refuse:#5", 60, 11).await;
    metric_is(&mut world, address, 11.0).await;
    let letters = listed(&world);
    assert_eq!(letters.len(), 11);
    for letter in &letters {
        assert_eq!((&letter["code"], &letter["format"]), (&"ValidationException".into(), &"event".into()));
        assert!(letter["message"].as_str().is_some_and(|message| !message.is_empty()), "{letter}");
        assert!(letter["remedy"].as_str().unwrap().contains("retry"), "{letter}");
        assert_eq!((&letter["stream_name"], letter["events"].as_u64()), (&"logs".into(), Some(1)));
    }
    let table = dead_letters(&world, &["ls", "--limit", "3"]).well().out;
    for words in
        ["output main: 11 letters, 11 events", "ValidationException: 11 letters", "and 8 letters more"]
    {
        assert!(table.contains(words), "{words:?} is not in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let oldest = letters[0]["sequence"].to_string();
    let shown = dead_letters(&world, &["show", &oldest]).well().out;
    assert!(shown.contains("ValidationException") && shown.contains("\"_raw\":\"#5"), "{shown}");
    let shown = dead_letters(&world, &["show", "--json", &oldest]).well().lines().remove(0);
    assert!(shown["decoded_events"][0]["_raw"].as_str().unwrap().starts_with("#5"), "{shown}");
    assert_eq!(dead_letters(&world, &["ls", "--code", "Other", "--json"]).well().out, "");

    // What is still refused stays.
    let refusing = world.fault("refuse:#5");
    let again = dead_letters(&world, &["retry", "--json"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert_eq!(again.err.lines().count(), 11, "{}", again.err);
    assert!(again.err.contains("is refused again: ValidationException"), "{}", again.err);
    let outcome = &again.lines()[0];
    assert_eq!((&outcome["accepted_letters"], &outcome["refused_letters"]), (&0.into(), &11.into()));
    assert_eq!(listed(&world).len(), 11);
    world.clear(refusing);

    // One of them, then all.
    let one = dead_letters(&world, &["retry", &oldest]).well().out;
    assert!(one.contains("accepted by stream logs, and taken out: 1 letter, 1 event"), "{one}");
    metric_is(&mut world, address, 10.0).await;
    assert_eq!(dead_letters(&world, &["retry", &oldest]).code, Some(1), "it is gone");
    let dry = dead_letters(&world, &["retry", "--dry-run"]).well().out;
    assert!(dry.contains("would be sent to stream logs: 10 letters, 10 events"), "{dry}");
    assert_eq!(listed(&world).len(), 10);
    let outcome = dead_letters(&world, &["retry", "--json", "--code", "ValidationException"]).well().lines();
    assert_eq!((&outcome[0]["accepted_events"], &outcome[0]["failure"]), (&10.into(), &Value::Null));
    metric_is(&mut world, address, 0.0).await;
    assert_eq!(dead_letters(&world, &["ls"]).well().out, "output main: no dead letters\n");

    // The forwarder goes on storing what is refused.
    world.fault("refuse:#7");
    world.write_lines(20);
    has_letters(&mut world, 10).await;
    metric_is(&mut world, address, 10.0).await;
    let asked = dead_letters(&world, &["purge"]);
    assert_eq!((asked.code, listed(&world).len()), (Some(2), 10), "{asked:?}");
    let first = listed(&world)[0]["sequence"].to_string();
    let purged = dead_letters(&world, &["purge", "--yes", &first]).well().out;
    assert!(purged.contains("purged: output main: 1 letter, 1 event"), "{purged}");
    metric_is(&mut world, address, 9.0).await;
    let purged = dead_letters(&world, &["purge", "--yes", "--json"]).well().lines();
    assert_eq!(purged[0]["purged_letters"], 9);
    metric_is(&mut world, address, 0.0).await;
    let proof = world.arrived_within(Duration::from_secs(2)).await;
    assert_eq!((proof.missing, proof.repeated), (10, 0), "{proof:#?}");
    world.stop().await;
    assert!(!world.has_said("stopped unexpectedly"), "{:#?}", world.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_many_events_is_one_letter_and_goes_whole() {
    let (mut world, _) = with_letters("flush_period: 500ms", "refuse:#7 ", 40, 1).await;
    world.stop().await;
    let letters = listed(&world);
    assert_eq!((letters.len(), &letters[0]["format"]), (1, &"gzip".into()));
    let events = letters[0]["events"].as_u64().unwrap();
    let shown = dead_letters(&world, &["show", "--json"]).well().lines().remove(0);
    assert_eq!(shown["decoded_events"].as_array().unwrap().len() as u64, events);
    let outcome = dead_letters(&world, &["retry", "--json"]).well().lines();
    assert_eq!(outcome[0]["accepted_events"].as_u64(), Some(events));
    world.start_with_admin().await;
    world.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_is_killed_loses_nothing() {
    let settings = format!("{EVENTS}\nconcurrency: 2");
    let (mut world, address) = with_letters(&settings, "refuse:#", 100, 100).await;
    let slow = world.fault("slow:30ms");
    let mut retry = command(&world.path(""), &["dead-letters", "retry"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // In the midst of a round; then the service says nothing more, so that it stays there.
    while world.server.counts().events < 40 {
        world.live(Duration::from_millis(5), 0).await;
    }
    let silent = world.fault("hang");
    retry.kill().unwrap();
    retry.wait().unwrap();
    world.clear(slow);
    world.clear(silent);
    let left = listed(&world).len();
    assert!(left < 100 && (100 - left).is_multiple_of(32), "whole rounds are noted, and {left} letters left");
    metric_is(&mut world, address, left as f64).await;
    dead_letters(&world, &["retry"]).well();
    metric_is(&mut world, address, 0.0).await;
    // At most one round is repeated.
    world.finish(32).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_into_an_outage_stops_and_says_so() {
    let (mut world, _) = with_letters(EVENTS, "refuse:#1 ", 10, 1).await;
    world.stop().await;
    for (fault, words) in [
        ("not-found", "nothing was sent: "),
        ("down", "nothing was sent: "),
        ("gap", "nothing was sent: "),
        ("denied,op=PutRecords", "AccessDenied"),
        ("error500,op=PutRecords", "PutRecords to stream logs"),
    ] {
        let fault = world.fault(fault);
        let ran = dead_letters(&world, &["retry", "--json"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(words), "{words:?} is not in {}", ran.err);
        let outcome = &ran.lines()[0];
        assert!(outcome["failure"].as_str().unwrap().contains(words), "{outcome}");
        assert_eq!(outcome["accepted_letters"], 0);
        assert_eq!(listed(&world).len(), 1);
        world.clear(fault);
    }
    dead_letters(&world, &["retry"]).well();
    world.start_with_admin().await;
    world.finish(0).await;
}

/// An event that fitted in no record goes when records may be larger.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_too_large_is_sent_when_it_fits() {
    let mut world = World::new(1, "flush_period: 50ms\nmax_record_size: \"1 KiB\"").await;
    let lines = format!("short\n{}\n", "long ".repeat(1_000));
    std::fs::write(world.path("other.log"), lines).unwrap();
    world.start();
    has_letters(&mut world, 1).await;
    world.stop().await;
    let letters = listed(&world);
    assert_eq!(letters[0]["code"], "Oversize");
    let ran = dead_letters(&world, &["retry"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("fit in no record") && ran.out.contains("cannot be sent, and kept: 1 letter"),
        "{ran:?}"
    );
    let dry = dead_letters(&world, &["retry", "--dry-run", "--json"]);
    assert_eq!((dry.code, &dry.lines()[0]["left_letters"]), (Some(1), &1.into()));
    world.edit("1 KiB", "64 KiB");
    dead_letters(&world, &["retry"]).well();
    assert_eq!(world.server.counts().events, 2);
    // From anywhere, to an output of the configuration.
    let elsewhere = dead_letters(&world, &["ls", "--path", "data/dead-letters/main"]).well().out;
    assert!(elsewhere.contains("no dead letters"), "{elsewhere}");
    let nowhere = dead_letters(&world, &["retry", "--path", "data/dead-letters/main"]);
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    dead_letters(&world, &["retry", "--path", "data/dead-letters/main", "--to", "main"]).well();
}
