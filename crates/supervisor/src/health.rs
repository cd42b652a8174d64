//! Whether an output may send, and how much at once: a pure machine without clock or I/O.
//!
//! ```text
//! healthy ──sustained failure──▶ unhealthy ──retry time──▶ verifying shards ──▶ verifying canary ──▶ recovering ──▶ healthy
//!    ▲                               ▲                          │ failed              │ failed          │ failed
//!    └───────── ramp complete ───────┼──────────────────────────┴─────────────────────┴─────────────────┘
//! ```
//!
//! Throttling never makes an output unhealthy: it proves that the service is there. It narrows the [window](crate::window).
//!
//! A person may pause an output in any state. A pause can last for days and is often made because something is done to the
//! stream, so what was known before it is worth nothing afterwards: whatever the state was, the shards are verified first
//! and the output ramps up.

use std::time::Duration;

/// Consecutive failed puts that are needed before an output counts as unhealthy …
const FAILURES_MIN: u32 = 3;
/// … and for how long at least they must have gone on: one dropped connection fails all puts in flight at once.
const FAILING_FOR_MIN: Duration = Duration::from_millis(500);
/// Upper bound of the first probe delay; it doubles with every failed probe …
const PROBE_DELAY_FIRST: Duration = Duration::from_secs(1);
/// … up to this, or to an eighth of the outage so far: a link that comes back after a minute is not left unused for
/// another one, and an outage of days is not probed every other second.
const PROBE_DELAY_SHORT: Duration = Duration::from_secs(8);
/// Largest upper bound of a probe delay.
const PROBE_DELAY_MAX: Duration = Duration::from_secs(60);
/// A jittered delay is never shorter than this, so that a fleet's unlucky draw is not a busy loop.
const PROBE_DELAY_MIN: Duration = Duration::from_millis(100);

/// Where an output stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Puts are accepted. `failures` puts in a row were not.
    Healthy {
        /// Consecutive failed puts.
        failures: u32,
        /// When the first of them began.
        failing_since: Duration,
    },
    /// Nothing is sent; the next probe is due at `retry_at`.
    Unhealthy {
        /// Probes that have failed since the output was last healthy.
        attempt: u32,
        /// When to probe next.
        retry_at: Duration,
    },
    /// The shards are being listed.
    VerifyingShards {
        /// As in `Unhealthy`.
        attempt: u32,
    },
    /// The shards are good (or may not be listed); one batch may fly to prove that puts are accepted.
    VerifyingCanary {
        /// As in `Unhealthy`.
        attempt: u32,
    },
    /// Puts are accepted again; `permits` may fly, doubling while they succeed.
    Recovering {
        /// Puts that may be in flight.
        permits: u32,
        /// Puts accepted since `permits` last grew.
        accepted: u32,
    },
    /// Nothing is sent and nothing is probed until a person says so.
    Paused {
        /// The shards are still being listed, since before the pause.
        looking: bool,
    },
}

/// The state's name as it stands in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// All is well.
    Healthy,
    /// Nothing is sent but probes.
    Unhealthy,
    /// Shards, then one batch, are tried.
    Verifying,
    /// Sending more and more.
    Recovering,
    /// Nothing is sent until a person says so.
    Paused,
}

impl Name {
    /// Is nothing sent but what proves that the way is open?
    #[must_use]
    pub fn is_down(self) -> bool {
        matches!(self, Self::Unhealthy | Self::Verifying | Self::Paused)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Verifying => "verifying",
            Self::Recovering => "recovering",
            Self::Paused => "paused",
        })
    }
}

/// How a put ended, as far as health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutHealth {
    /// Something was accepted, or refused for what it is: the way is open.
    Open,
    /// The service asked to slow down: the way is open.
    Throttled,
    /// Nothing got through; may pass by itself.
    Transient,
    /// Nothing gets through until a person changes something.
    Misconfigured,
    /// It failed in a call that another put tells of: nothing new.
    Echo,
}

/// What a look at the shards said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All of the hash range is covered by open shards.
    Covered,
    /// It could not be looked at (no permission, listing throttled): the canary decides alone.
    Unknown,
    /// The stream is not there, not covered, or not reachable.
    Bad,
}

/// The health of one output.
#[derive(Debug, Clone)]
pub struct Health {
    state: State,
    permits_max: u32,
    /// When the output was last up, while it is not.
    down_since: Duration,
    rng: fastrand::Rng,
}

impl Health {
    /// A new output must prove itself: it starts with a probe that is due at once.
    #[must_use]
    pub fn new(permits_max: u32, seed: u64) -> Self {
        assert!(permits_max > 0, "an output that may never send");
        let state = State::Unhealthy { attempt: 0, retry_at: Duration::ZERO };
        Self { state, permits_max, down_since: Duration::ZERO, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Where the output stands.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The state's name.
    #[must_use]
    pub fn name(&self) -> Name {
        match self.state {
            State::Healthy { .. } => Name::Healthy,
            State::Unhealthy { .. } => Name::Unhealthy,
            State::VerifyingShards { .. } | State::VerifyingCanary { .. } => Name::Verifying,
            State::Recovering { .. } => Name::Recovering,
            State::Paused { .. } => Name::Paused,
        }
    }

    /// Puts that may be in flight now; 0 while down or paused.
    #[must_use]
    pub fn permits(&self) -> u32 {
        match self.state {
            State::Healthy { .. } => self.permits_max,
            State::Unhealthy { .. } | State::VerifyingShards { .. } | State::Paused { .. } => 0,
            State::VerifyingCanary { .. } => 1,
            State::Recovering { permits, .. } => permits,
        }
    }

    /// When [`Health::on_time`] has something to do, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Unhealthy { retry_at, .. } => Some(retry_at),
            _ => None,
        }
    }

    /// Time has passed. `true`: the shards are to be listed now.
    #[must_use]
    pub fn on_time(&mut self, now: Duration) -> bool {
        match self.state {
            State::Unhealthy { attempt, retry_at } if now >= retry_at => {
                self.state = State::VerifyingShards { attempt };
                true
            }
            _ => false,
        }
    }

    /// A person wants nothing to be sent. What flies is not called back.
    pub fn pause(&mut self) {
        match self.state {
            State::Paused { .. } => {}
            State::VerifyingShards { .. } => self.state = State::Paused { looking: true },
            _ => self.state = State::Paused { looking: false },
        }
    }

    /// A person wants sending to go on: the shards are verified at once.
    pub fn resume(&mut self, now: Duration) {
        let State::Paused { looking } = self.state else { return };
        self.down_since = now;
        self.state = if looking {
            // The same question need not be asked twice, and its two answers could be taken for one another.
            State::VerifyingShards { attempt: 0 }
        } else {
            State::Unhealthy { attempt: 0, retry_at: now }
        };
    }

    /// The shards were listed.
    pub fn on_verdict(&mut self, now: Duration, verdict: Verdict) {
        let attempt = match self.state {
            State::VerifyingShards { attempt } => attempt,
            State::Paused { .. } => {
                self.state = State::Paused { looking: false };
                return;
            }
            _ => return, // An answer to a question that is no longer open.
        };
        match verdict {
            Verdict::Covered | Verdict::Unknown => self.state = State::VerifyingCanary { attempt },
            Verdict::Bad => self.fall(now, attempt + 1),
        }
    }

    /// A put that began at `since` has ended.
    pub fn on_put(&mut self, since: Duration, now: Duration, put: PutHealth) {
        match put {
            PutHealth::Open => self.on_open(),
            PutHealth::Throttled => self.on_throttled(),
            PutHealth::Transient => self.on_failed(since, now, false),
            PutHealth::Misconfigured => self.on_failed(since, now, true),
            PutHealth::Echo => {}
        }
    }

    fn on_open(&mut self) {
        self.state = match self.state {
            State::Healthy { .. } => State::Healthy { failures: 0, failing_since: Duration::ZERO },
            // A put from before the fall got through after all: the way may be open again, look now.
            State::Unhealthy { attempt, .. } => State::Unhealthy { attempt, retry_at: Duration::ZERO },
            State::VerifyingShards { .. } | State::Paused { .. } => return,
            State::VerifyingCanary { .. } => self.ramp(2),
            State::Recovering { permits, accepted } if accepted + 1 >= permits => self.ramp(permits * 2),
            State::Recovering { permits, accepted } => State::Recovering { permits, accepted: accepted + 1 },
        };
    }

    /// Everything there was to send has been accepted: there is nothing left to ramp up for.
    pub fn on_idle(&mut self) {
        if matches!(self.state, State::Recovering { .. }) {
            self.state = self.ramp(self.permits_max);
        }
    }

    fn on_throttled(&mut self) {
        self.state = match self.state {
            State::Healthy { .. } => State::Healthy { failures: 0, failing_since: Duration::ZERO },
            State::VerifyingCanary { .. } => State::Recovering { permits: 1, accepted: 0 },
            ref unchanged => unchanged.clone(),
        };
    }

    fn on_failed(&mut self, since: Duration, now: Duration, for_good: bool) {
        match self.state {
            State::Healthy { failures, failing_since } => {
                // Counted from the put's beginning: one that hung until its time-out has failed for that long.
                let failing_since = if failures == 0 { since } else { failing_since.min(since) };
                let failures = failures + 1;
                let sustained =
                    failures >= FAILURES_MIN && now.saturating_sub(failing_since) >= FAILING_FOR_MIN;
                if for_good || sustained {
                    self.fall(now, 0);
                } else {
                    self.state = State::Healthy { failures, failing_since };
                }
            }
            State::VerifyingCanary { attempt } => self.fall(now, attempt + 1),
            State::Recovering { .. } => self.fall(now, 1),
            // Puts from before the fall, or the pause, are still coming back.
            State::Unhealthy { .. } | State::VerifyingShards { .. } | State::Paused { .. } => {}
        }
    }

    fn ramp(&self, permits: u32) -> State {
        if permits >= self.permits_max {
            State::Healthy { failures: 0, failing_since: Duration::ZERO }
        } else {
            State::Recovering { permits, accepted: 0 }
        }
    }

    fn fall(&mut self, now: Duration, attempt: u32) {
        if matches!(self.state, State::Healthy { .. } | State::Recovering { .. }) {
            self.down_since = now;
        }
        let bound = probe_delay_max(attempt, now.saturating_sub(self.down_since));
        // Full jitter: evenly between nothing and the bound.
        let retry_at = now + bound.mul_f64(self.rng.f64()).max(PROBE_DELAY_MIN);
        self.state = State::Unhealthy { attempt, retry_at };
    }
}

/// How long a probe may be put off after `attempt` failed ones in an outage of this length.
fn probe_delay_max(attempt: u32, down_for: Duration) -> Duration {
    let doubled = PROBE_DELAY_FIRST.saturating_mul(1 << attempt.min(16));
    doubled.min(PROBE_DELAY_SHORT.max(down_for / 8)).min(PROBE_DELAY_MAX)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transitions;
