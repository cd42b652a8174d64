//! `kill -9` at any moment: nothing is missing, and what arrives again is what docs/guarantees.md says.

use std::time::{Duration, Instant};

use millpond_local_kinesis::{FaultId, decode};

use crate::harness::{Outcome, number};
use crate::positions::{lines_from, saved_position};
use crate::world::{PATIENCE, World};

const RATE: u64 = 4_000;
const BURST_LINES: u64 = 80_000;
/// `concurrency`, as it is by default.
const FLYING_MAX: u64 = 5;
/// The cursor is written after this many batches, if not before.
const CURSOR_BATCHES: u64 = 64;
/// Positions are written this long after lines were delivered or queued, …
const POSITION_PERIOD: Duration = Duration::from_secs(1);
/// … or after this many bytes of them; …
const POSITION_BYTES: u64 = 8 << 20;
/// … this is more than all stations between a file and its receipts hold: chunks of 256 KiB and small batches.
const IN_FLIGHT_BYTES: u64 = 2 << 20;

/// All that is left arrives within this time, unless the machine is stuck.
const ARRIVAL_MAX: Duration = Duration::from_secs(300);

/// Where a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The link is up, and was for a while: positions are seen to follow.
    Steady,
    /// Within milliseconds of the start.
    Starting,
    /// The link is down.
    Down,
    /// The link is up again, and what is queued leaves.
    Draining,
    /// More is written at once than is handled in a second.
    Burst,
}

/// What follows what; one start falls into an outage, one does not.
const MOMENTS: [Moment; 10] = [
    Moment::Steady,
    Moment::Starting,
    Moment::Down,
    Moment::Starting,
    Moment::Draining,
    Moment::Steady,
    Moment::Down,
    Moment::Draining,
    Moment::Down,
    Moment::Burst,
];

pub(crate) fn kills() -> Outcome {
    let rounds = number("MILLPOND_KILLS").unwrap_or(100);
    let mut random = crate::random("kills");
    let (always, error) = (random.fork(), random.fork());
    // Side by side: mostly they wait.
    let (always, error) = crate::block_on(async {
        let always = kills_in_mode("always", rounds.div_ceil(2), always);
        let error = kills_in_mode("error", rounds.div_ceil(2), error);
        tokio::join!(always, error)
    });
    Ok(format!("{always}; {error}"))
}

async fn kills_in_mode(mode: &str, rounds: u64, random: fastrand::Rng) -> String {
    let settings = format!(
        "flush_period: 50ms\nmax_record_size: \"8 KiB\"\ncompression: none\nbackpressure: queue\n\
         queue: {{ mode: {mode}, max_size: \"256 MiB\", max_segment_size: \"1 MiB\" }}"
    );
    let world = World::new(3, &settings).await;
    let mut lives = Lives { world, random, down: None, outages: 0, behind: 0, follow: Vec::new() };
    for round in 0..rounds {
        let moment = MOMENTS[round as usize % MOMENTS.len()];
        lives.live_until(moment).await;
        lives.world.kill_9().await;
        lives.note_what_was_left();
    }
    lives.finish(mode, rounds).await
}

/// Forwarders that live one after the other.
struct Lives {
    world: World,
    random: fastrand::Rng,
    down: Option<FaultId>,
    outages: u64,
    /// Lines behind the positions that each kill left, added up.
    behind: u64,
    /// How long it took, each time, until positions had passed the last line.
    follow: Vec<Duration>,
}

impl Lives {
    async fn live_until(&mut self, moment: Moment) {
        match moment {
            Moment::Steady | Moment::Draining | Moment::Burst => self.link_up(),
            Moment::Down => self.link_down(),
            Moment::Starting => {}
        }
        // What a dead forwarder could not read; and something to send, or a drain is none.
        self.world.write_lines(self.random.u64(50..400));
        let slow = (moment == Moment::Draining && self.random.bool()).then(|| self.world.fault("slow:20ms"));
        self.world.start();
        match moment {
            Moment::Starting => {}
            Moment::Down => self.live(2_000).await,
            Moment::Draining => {
                let accepted = |said: &millpond::drill::Said| said.state.as_deref() == Some("recovering");
                self.world.hear("puts are accepted", accepted).await;
            }
            Moment::Steady => {
                self.live(1_000).await;
                self.positions_follow().await;
            }
            Moment::Burst => {
                self.world.write_lines(BURST_LINES);
                self.live(2_000).await;
            }
        }
        let rest = if moment == Moment::Draining { 200_000 } else { 50_000 };
        tokio::time::sleep(Duration::from_micros(self.random.u64(..rest))).await;
        if let Some(slow) = slow {
            self.world.clear(slow);
        }
    }

    async fn live(&mut self, millis_max: u64) {
        let duration = Duration::from_millis(self.random.u64(..millis_max));
        self.world.live(duration, RATE).await;
    }

    fn link_up(&mut self) {
        if let Some(down) = self.down.take() {
            self.world.clear(down);
        }
    }

    fn link_down(&mut self) {
        if self.down.is_none() {
            self.down = Some(self.world.fault("down"));
            self.outages += 1;
        }
    }

    /// Waits until positions have passed what is written by now, while more is written or nothing happens.
    async fn positions_follow(&mut self) {
        let rate = if self.random.bool() { RATE } else { 0 };
        let began = Instant::now();
        let written = std::fs::metadata(self.world.path("app.log")).unwrap().len();
        while self.position() < written {
            assert!(began.elapsed() < PATIENCE, "positions do not pass byte {written}: {}", self.position());
            self.world.live(Duration::from_millis(50), rate).await;
        }
        if rate == 0 {
            self.follow.push(began.elapsed());
        }
    }

    fn position(&self) -> u64 {
        saved_position(&self.world.path("data/inputs/app"))
    }

    /// A crash reads again what is behind the positions that it left: a second of lines or 8 MiB of them, and those in
    /// flight. What a second is on a slow machine shows in the positions.
    fn note_what_was_left(&mut self) {
        let log = self.world.path("app.log");
        let written = std::fs::metadata(&log).unwrap().len();
        let behind = lines_from(&log, self.position());
        let lines_max = (POSITION_BYTES + IN_FLIGHT_BYTES) * self.world.written / written;
        self.behind += behind.min(lines_max);
        // For its peak.
        self.world.gauge.look();
    }

    async fn finish(mut self, mode: &str, rounds: u64) -> String {
        self.link_up();
        self.world.write_lines(100);
        self.world.start();
        self.world.arrived_within(ARRIVAL_MAX).await;
        let records = self.world.server.records();
        let events = |record: &millpond_local_kinesis::KeptRecord| decode(&record.data).unwrap().count;
        let batch_events_max = records.iter().map(events).max().unwrap() as u64;
        // Behind the cursor, a kill repeats what was acknowledged since, and what flew; an outage what flew.
        let batches_max = rounds * (CURSOR_BATCHES + FLYING_MAX) + self.outages * FLYING_MAX;
        let repeated_max = self.behind + batches_max * batch_events_max;
        let written = self.world.written;
        // On a machine with other things to do, one of many has to be on time.
        let follow = self.follow.iter().min().copied().unwrap_or_default();
        assert!(follow < 2 * POSITION_PERIOD, "positions follow after {:?}", self.follow);
        let queued = self.world.gauge.peak().batches;
        assert!(queued > 0 || self.outages == 0, "nothing was ever queued");
        let proof = self.world.finish(repeated_max).await;
        let Self { outages, behind, .. } = self;
        let (missing, repeated, follow) = (proof.missing, proof.repeated, follow.as_secs_f64());
        format!(
            "{mode}: {rounds} kills, {outages} outages, up to {queued} batches queued, {written} lines, {missing} missing, \
             {repeated} repeated of at most {repeated_max} ({behind} behind positions, which follow within {follow:.1} s)"
        )
    }
}
