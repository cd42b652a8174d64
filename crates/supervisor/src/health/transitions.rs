//! Every event in every state, as a table for people: `fixtures/transitions/health.txt`.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Health, PutHealth, State, Verdict};
use crate::golden;

const SECOND: Duration = Duration::from_secs(1);
/// When the events happen.
const NOW: Duration = Duration::from_secs(100);

const PERMITS_MAX: u32 = 8;

/// A state of each kind, and more where a number in it decides.
const STATES: [(&str, State); 13] = [
    ("healthy", State::Healthy { failures: 0, failing_since: Duration::ZERO }),
    ("healthy, 1 put failed", State::Healthy { failures: 1, failing_since: Duration::from_secs(99) }),
    ("healthy, 2 puts failed just now", State::Healthy { failures: 2, failing_since: NOW }),
    (
        "healthy, 2 puts failed for 1 s",
        State::Healthy { failures: 2, failing_since: Duration::from_secs(99) },
    ),
    ("unhealthy, the probe is not due", State::Unhealthy { attempt: 3, retry_at: Duration::from_secs(101) }),
    ("unhealthy, the probe is due", State::Unhealthy { attempt: 3, retry_at: Duration::ZERO }),
    ("verifying, shards are listed", State::VerifyingShards { attempt: 3 }),
    ("verifying, one batch flies", State::VerifyingCanary { attempt: 3 }),
    ("recovering, 2 permits, none accepted", State::Recovering { permits: 2, accepted: 0 }),
    ("recovering, 2 permits, 1 accepted", State::Recovering { permits: 2, accepted: 1 }),
    ("recovering, 4 permits, 3 accepted", State::Recovering { permits: 4, accepted: 3 }),
    ("paused", State::Paused { looking: false }),
    ("paused, shards are still listed", State::Paused { looking: true }),
];

type Happen = fn(&mut Health) -> bool;

const EVENTS: [(&str, Happen); 12] = [
    ("time passes", |health| health.on_time(NOW)),
    ("shards cover everything", |health| verdict(health, Verdict::Covered)),
    ("shards may not be listed", |health| verdict(health, Verdict::Unknown)),
    ("shards have a gap, or are unreachable", |health| verdict(health, Verdict::Bad)),
    ("put accepted", |health| put(health, PutHealth::Open)),
    ("put throttled", |health| put(health, PutHealth::Throttled)),
    ("put failed", |health| put(health, PutHealth::Transient)),
    ("put failed for good", |health| put(health, PutHealth::Misconfigured)),
    ("put failed in another one's call", |health| put(health, PutHealth::Echo)),
    ("nothing left to send", |health| {
        health.on_idle();
        false
    }),
    ("paused by a person", |health| {
        health.pause();
        false
    }),
    ("resumed by a person", |health| {
        health.resume(NOW);
        false
    }),
];

fn verdict(health: &mut Health, verdict: Verdict) -> bool {
    health.on_verdict(NOW, verdict);
    false
}

fn put(health: &mut Health, put: PutHealth) -> bool {
    health.on_put(NOW, NOW, put);
    false
}

/// A state in words. How long a probe is put off is drawn by lot.
fn words(state: &State) -> String {
    match *state {
        State::Healthy { failures: 0, .. } => "healthy".to_owned(),
        State::Healthy { failures, failing_since } => {
            format!("healthy, failures: {failures}, for {} s", (NOW - failing_since).as_secs())
        }
        State::Unhealthy { attempt, retry_at } if retry_at <= NOW => {
            format!("unhealthy, failed probes: {attempt}, the next one is due")
        }
        State::Unhealthy { attempt, .. } => format!("unhealthy, failed probes: {attempt}"),
        State::VerifyingShards { attempt } => format!("verifying shards, failed probes: {attempt}"),
        State::VerifyingCanary { attempt } => format!("verifying with one batch, failed probes: {attempt}"),
        State::Recovering { permits, accepted } => {
            format!("recovering, permits: {permits}, accepted: {accepted}")
        }
        State::Paused { looking: false } => "paused".to_owned(),
        State::Paused { looking: true } => "paused, shards are still listed".to_owned(),
    }
}

#[test]
fn every_event_in_every_state() {
    let mut table = format!(
        "The health of an output with {PERMITS_MAX} permits: every event in every state.\n\
         `-`: nothing changes. `!`: the shards are to be listed. [n]: puts that may be in flight.\n"
    );
    for (name, state) in &STATES {
        let mut before = Health::new(PERMITS_MAX, 1);
        before.down_since = NOW - SECOND;
        before.state = state.clone();
        writeln!(table, "\n{name} [{}]", before.permits()).unwrap();
        for (event, happen) in EVENTS {
            let mut health = before.clone();
            let look = happen(&mut health);
            let changed = health.state != *state;
            let after = match (changed, look) {
                (false, _) => "-".to_owned(),
                (true, _) => format!("{} [{}]", words(&health.state), health.permits()),
            };
            writeln!(table, "    {event:<38} {after}{}", if look { " !" } else { "" }).unwrap();
        }
    }
    golden::check("transitions/health.txt", &table);
}
