//! What a run is about.

use std::time::Duration;

use millpond::config::checked::{Backpressure, OnFull, QueueMode};
use millpond::forwarder::Policy;
use millpond::rate::DrainLimits;

/// What a run is about.
pub(crate) struct Plan {
    pub(crate) policy: Policy,
    /// Batches in the queue from before.
    pub(crate) before: u64,
    /// Batches that end up in the queue or are given by the inputs.
    pub(crate) batches: u64,
    /// Between two batches of the inputs, at most; 0: they give what is taken.
    pub(crate) live_every_ms: u64,
    /// From then on link, disk and people leave the output alone, so that a drain must end.
    pub(crate) calm_from: Duration,
    /// The link goes and comes after so many milliseconds at most; nothing: by chance.
    pub(crate) flaps_every_ms: Option<u64>,
    /// Memory, room and policies of the queue, people and syncs have their moods too.
    pub(crate) moods: bool,
    pub(crate) may_stop: bool,
    /// No batch that is delivered in the end may have waited longer for it.
    pub(crate) wait_max: Option<Duration>,
    pub(crate) steps_max: u32,
}

impl Plan {
    /// Two minutes in which everything happens, under any policy.
    pub(crate) fn moody(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(!seed);
        let policy = any_policy(&mut rng);
        Self {
            before: if policy.backpressure == Backpressure::Queue { rng.u64(..10) } else { 0 },
            policy,
            batches: 120,
            live_every_ms: 0,
            calm_from: Duration::from_secs(120),
            flaps_every_ms: None,
            moods: true,
            may_stop: true,
            wait_max: None,
            steps_max: 200_000,
        }
    }

    /// A day in which the link is up for some seconds and then down for some seconds. The inputs give less than what the
    /// link can carry when it is up.
    pub(crate) fn flapping(seed: u64) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        let mut rng = fastrand::Rng::with_seed(!seed);
        let mut policy = any_policy(&mut rng);
        // Ever so few events a second would make the day a month.
        policy.drain.events_per_sec *= 10;
        policy.drain.bytes_per_sec *= 10;
        Self {
            before: if policy.backpressure == Backpressure::Queue { rng.u64(..1_000) } else { 0 },
            policy,
            batches: 40_000,
            live_every_ms: 4_000,
            calm_from: DAY,
            flaps_every_ms: Some(rng.u64(2_000..20_000)),
            moods: false,
            may_stop: false,
            wait_max: Some(Duration::from_secs(1_800)),
            steps_max: 20_000_000,
        }
    }
}

fn any_policy(rng: &mut fastrand::Rng) -> Policy {
    let after = Duration::from_secs(2);
    let modes = [QueueMode::Error, QueueMode::Always, QueueMode::Backpressure { after }];
    let policies = [Backpressure::Block, Backpressure::Drop, Backpressure::Queue, Backpressure::Queue];
    Policy {
        backpressure: policies[rng.usize(..4)],
        queue_mode: modes[rng.usize(..3)],
        strict_ordering: rng.bool(),
        on_full: [OnFull::Block, OnFull::Drop, OnFull::DropOldest][rng.usize(..3)],
        drain: DrainLimits {
            events_per_sec: [0, 0, 40, 1_000][rng.usize(..4)],
            bytes_per_sec: [0, 0, 2_000, 100_000][rng.usize(..4)],
        },
        concurrency: [1, 2, 5, 32, 160][rng.usize(..5)],
    }
}
