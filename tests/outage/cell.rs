//! One input and one policy through an outage.

use std::collections::HashMap;
use std::fmt;
use std::process::Command;
use std::time::Duration;

use millpond_local_kinesis::verify;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::sender::{Kind, Sender};
use crate::table::{Policy, Row};
use crate::world::{PATIENCE, World};

/// How long the link is up, before and after.
const UP: Duration = Duration::from_secs(4);
/// How long it is down.
const DOWN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) policy: Policy,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.kind.name(), self.policy.name())
    }
}

impl Cell {
    pub(crate) fn play(self) -> Row {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let row = LocalSet::new().block_on(&runtime, self.outcome());
        row.check();
        row
    }

    async fn outcome(self) -> Row {
        let mut world = World::new(2, &format!("flush_period: 50ms\n{}", self.policy.settings())).await;
        world.edit("{ type: file, include: [\"*.log\"] }", self.kind.settings());
        let path = match self.kind {
            Kind::Stdin => self.feed_from_a_pipe(&mut world),
            Kind::Unix => world.path("in.socket"),
            _ => world.path("app.log"),
        };
        world.start();
        let address = if self.kind.listens() { self.address(&mut world).await } else { String::new() };
        let (tell, stop) = watch::channel(false);
        // A pipe that nobody writes to lets nobody read from it: so not after the start.
        let sender = tokio::task::spawn_local(Sender { kind: self.kind, address, path, stop }.run());
        world.live(UP, 0).await;
        let down = world.fault("down");
        world.live(DOWN, 0).await;
        world.clear(down);
        world.live(UP, 0).await;
        tell.send_replace(true);
        if self.kind == Kind::Stdin {
            // Its input is over, so it delivers everything and ends.
            world.ended().await;
        }
        let until = Instant::now() + PATIENCE;
        while !sender.is_finished() {
            assert!(Instant::now() < until, "the sender never came to its end: {:#?}", world.said);
            world.live(Duration::from_millis(100), 0).await;
        }
        let sent = sender.await.unwrap();
        self.all_have_a_fate(&mut world, sent).await;
        if self.kind != Kind::Stdin {
            world.stop().await;
        }
        let (delivered, repeated) = tally(&world);
        Row {
            kind: self.kind,
            policy: self.policy,
            sent,
            delivered,
            repeated,
            dropped: world.number("dropped"),
            dropped_by_kernel: dropped_by_kernel(&world),
            spooled_batches: world.number("spooled_batches"),
        }
    }

    /// Where the forwarder listens.
    async fn address(self, world: &mut World) -> String {
        world.hear("the address", |said| said.message == "listening").await;
        world.said.last().unwrap().fields["address"].as_str().unwrap().to_owned()
    }

    /// Waits until everything has arrived, or nothing more does where something may be missing.
    async fn all_have_a_fate(self, world: &mut World, sent: u64) {
        let until = Instant::now() + PATIENCE;
        let mut before = None;
        loop {
            let (delivered, repeated) = tally(world);
            let may_miss =
                self.policy == Policy::Drop || (self.kind == Kind::Udp && self.policy == Policy::Block);
            let state = world.said.iter().rev().find_map(|said| said.state.as_deref());
            // The forwarder that read standard input has ended, whatever it said last.
            let is_over = self.kind == Kind::Stdin || state == Some("healthy");
            let still = before.replace((delivered, repeated)) == Some((delivered, repeated));
            if delivered == sent || (may_miss && is_over && still) {
                return;
            }
            assert!(Instant::now() < until, "{delivered} of {sent} have arrived: {:#?}", world.said);
            world.live(Duration::from_secs(3), 0).await;
        }
    }

    /// The next forwarder reads its standard input from a pipe with a name.
    fn feed_from_a_pipe(self, world: &mut World) -> std::path::PathBuf {
        let path = world.path("in.pipe");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let mut shell = Command::new("sh");
        shell.args(["-c", "pipe=$1; shift; exec \"$@\" <\"$pipe\"", "sh"]).arg(&path);
        world.under = Some(shell);
        path
    }
}

/// The forwarder says it only where there is something to say.
fn dropped_by_kernel(world: &World) -> u64 {
    let number = |said: &millpond::drill::Said| said.fields.get("datagrams_dropped")?.as_u64();
    world.said.iter().rev().find_map(number).unwrap_or(0)
}

/// Different events that arrived, and how often some came again.
fn tally(world: &World) -> (u64, u64) {
    let mut times: HashMap<Vec<u8>, u64> = HashMap::new();
    let verified = verify(&world.server.records(), |_, event| {
        let from = event.iter().position(|byte| *byte == b'#').expect("every event has a number");
        let number = event[from..].split(|byte| *byte == b' ').next().unwrap_or_default();
        *times.entry(number.to_vec()).or_default() += 1;
    });
    assert!(verified.malformed.is_empty(), "{:?}", verified.malformed);
    (times.len() as u64, times.values().map(|times| times - 1).sum())
}
