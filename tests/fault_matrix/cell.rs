//! One fault, one API, one kind of backpressure: lines flow before, while and after it is on.

use std::fmt;
use std::time::Duration;

use millpond::drill::{Proof, Said};
use millpond_local_kinesis::{FaultId, Operation, decode};
use tokio::time::Instant;

use crate::outcome::Outcome;
use crate::table::{Api, Arrives, Felt, Policy, Row, Worst};
use crate::world::World;

/// Lines a second.
const RATE: u64 = 400;
/// Lines before, and after.
const SOME: u64 = 100;
/// Puts that a fault has to strike where the output goes on sending.
const STRIKES_MIN: u64 = 8;
/// Failures are an outage when they go on for half a second.
const LONG: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(50);
/// Nothing here takes longer, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) row: &'static Row,
    pub(crate) api: Api,
    pub(crate) policy: Policy,
}

/// The name of its test.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.row.fault, self.api.name(), self.policy.name())
    }
}

impl Cell {
    /// Plays it, checks what came of it, and gives the figures.
    pub(crate) fn play(self) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(self.outcome());
        outcome.check(&self);
        outcome.to_string()
    }

    async fn outcome(&self) -> Outcome {
        let mut world = World::new(2, &self.settings()).await;
        world.start();
        flow(&mut world, "a start", |world| is_healthy(&world.said) && world.server.counts().events >= SOME)
            .await;
        let from = world.said.len();
        let fault = self.strike(&mut world, from).await;
        let struck = self.suffer(&mut world, from, fault).await;
        world.clear(fault);
        flow(&mut world, "recovery", |world| is_healthy(&world.said)).await;
        world.write_lines(SOME);
        self.settle(&mut world, from).await;
        world.stop().await;
        Outcome::of(&world, from, struck)
    }

    fn settings(&self) -> String {
        let policy = match self.policy {
            Policy::Block => "backpressure: block",
            Policy::Drop => "backpressure: drop",
            Policy::Queue => "backpressure: queue\nqueue: { mode: error }",
        };
        format!("flush_period: 50ms\n{}\n{policy}", self.api.settings())
    }

    /// Sets the fault, after the one that goes before it has been felt.
    async fn strike(&self, world: &mut World, from: usize) -> FaultId {
        // No other line begins with it: there are far fewer lines than ten times as many.
        let poison = format!("#{}", world.written + SOME / 2);
        let fault = self.row.fault.replace("POISON", &poison);
        let Some(first) = self.row.first else { return world.fault(&fault) };
        let first = world.fault(first);
        self.feel(world, from).await;
        let fault = world.fault(&fault);
        world.clear(first);
        fault
    }

    /// Lines flow until the output is unhealthy, and what `backpressure` asks for can be seen.
    async fn feel(&self, world: &mut World, from: usize) {
        flow(world, "an unhealthy output", |world| {
            states(&world.said[from..]).any(|state| state == "unhealthy")
        })
        .await;
        match self.policy {
            Policy::Block => world.write_lines(SOME),
            Policy::Drop => flow(world, "drops", |world| world.has_said("dropped by policy")).await,
            Policy::Queue => {
                flow(world, "a queue", |world| world.gauge.look().is_some_and(|depth| depth.batches > 0))
                    .await;
            }
        }
    }

    /// Lines flow until the fault has done all that it does. Gives how often it struck.
    async fn suffer(&self, world: &mut World, from: usize, fault: FaultId) -> u64 {
        let (arrived, puts_made, began) = (world.server.counts().events, puts(world), Instant::now());
        if self.row.worst == Worst::Unhealthy && self.row.first.is_none() {
            self.feel(world, from).await;
        }
        let strikes = self.row.strikes(self.api);
        for words in self.row.words.iter().filter(|_| strikes) {
            flow(world, words, |world| has_words(&world.said[from..], words)).await;
        }
        let felt = if strikes { self.row.felt } else { Felt::Never };
        let is_felt = |world: &mut World| match felt {
            Felt::Never => true,
            Felt::Times(times) => hits(world, fault) >= times,
            Felt::Often | Felt::Corrected => {
                hits(world, fault) >= STRIKES_MIN && puts(world) >= puts_made + STRIKES_MIN
            }
            Felt::Long => hits(world, fault) > 0 && began.elapsed() >= LONG,
            Felt::Lag => world.written - world.server.counts().events >= SOME,
        };
        flow(world, "that the fault is felt", is_felt).await;
        match self.row.arrives {
            Arrives::Meanwhile => {
                let is_well = |world: &mut World| {
                    is_healthy(&world.said) && world.server.counts().events >= arrived + SOME
                };
                flow(world, "that events arrive all the while", is_well).await;
            }
            // Since the fault before it was felt nothing flies that could have arrived.
            Arrives::Afterwards if self.row.first.is_some() => {
                assert_eq!(world.server.counts().events, arrived, "nothing is sent: {:#?}", world.said);
            }
            Arrives::Afterwards => {}
        }
        hits(world, fault)
    }

    /// Waits until all has arrived that will.
    async fn settle(&self, world: &mut World, from: usize) {
        let last = world.written - 1;
        let until = Instant::now() + PATIENCE;
        loop {
            let proof = Proof::take(world.written, &world.server.records());
            let settled = match (self.policy, self.row.worst) {
                (Policy::Drop, Worst::Unhealthy) => has_arrived(world, last),
                _ => proof.missing == dead(&world.said[from..]),
            };
            if settled {
                return;
            }
            assert!(Instant::now() < until, "what was written never arrived: {proof:#?}\n{:#?}", world.said);
            world.live(TICK, 0).await;
        }
    }
}

/// Lets lines flow until `is_so`.
async fn flow(world: &mut World, what: &str, mut is_so: impl FnMut(&mut World) -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so(world) {
        assert!(Instant::now() < until, "never came: {what}; but: {:#?}", world.said);
        world.live(TICK, RATE).await;
    }
}

/// The states in which the output was said to be.
pub(crate) fn states(said: &[Said]) -> impl Iterator<Item = &str> {
    said.iter().filter_map(|said| said.state.as_deref())
}

fn is_healthy(said: &[Said]) -> bool {
    states(said).last() == Some("healthy")
}

/// Are the words in a message, in its reason, or in its code?
pub(crate) fn has_words(said: &[Said], words: &str) -> bool {
    let code =
        |said: &Said| said.fields.get("code").and_then(|code| code.as_str()).unwrap_or_default().to_owned();
    said.iter().any(|said| {
        said.message.contains(words)
            || code(said).contains(words)
            || said.reason.as_deref().is_some_and(|reason| reason.contains(words))
    })
}

/// Events that were said to be in the dead letters.
fn dead(said: &[Said]) -> u64 {
    let refused = said.iter().filter(|said| said.message.contains("kept in the dead letters"));
    refused.filter_map(|said| said.fields.get("events")?.as_u64()).sum()
}

fn hits(world: &World, fault: FaultId) -> u64 {
    let active = world.server.faults().active();
    active.iter().find(|active| active.id == fault).map_or(0, |active| active.hits)
}

/// Puts that were made, however they ended.
fn puts(world: &World) -> u64 {
    let counts = world.server.counts();
    let outcomes = |put: &Operation| counts.requests.get(put.name()).cloned().unwrap_or_default();
    [Operation::PutRecord, Operation::PutRecords].iter().flat_map(outcomes).map(|(_, times)| times).sum()
}

fn has_arrived(world: &World, number: u64) -> bool {
    let begin = format!("{{\"_raw\":\"#{number} ");
    let holds = |data: &[u8]| {
        decode(data).is_ok_and(|decoded| decoded.events().any(|event| event.starts_with(begin.as_bytes())))
    };
    world.server.records().iter().rev().any(|record| holds(&record.data))
}
