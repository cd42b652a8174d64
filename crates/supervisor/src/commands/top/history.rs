//! What an output did in the last minutes, as far as it was looked at. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::admin::status::RunningStatus;
use crate::commands::status::view::held;

/// Looks that are kept; wider than any terminal.
const LOOKS_MAX: usize = 500;

/// What was seen, the oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    last: Option<Counts>,
    /// Events a second that came in.
    pub(super) received: Series,
    /// Events a second that were delivered.
    pub(super) delivered: Series,
    /// Events in the queue.
    pub(super) queued: Series,
}

/// One number over time.
#[derive(Debug, Default)]
pub(super) struct Series(VecDeque<u64>);

#[derive(Debug, Clone, Copy)]
struct Counts {
    at: Duration,
    received: u64,
    delivered: u64,
}

impl Series {
    fn push(&mut self, number: u64) {
        self.0.push_back(number);
        if self.0.len() > LOOKS_MAX {
            self.0.pop_front();
        }
    }

    /// The newest `width` numbers, with zeros before them where there are fewer.
    pub(super) fn newest(&self, width: usize) -> Vec<u64> {
        let missing = width.saturating_sub(self.0.len());
        let skipped = self.0.len().saturating_sub(width);
        std::iter::repeat_n(0, missing).chain(self.0.iter().skip(skipped).copied()).collect()
    }

    /// The newest one, if there is one.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.back().copied()
    }
}

impl History {
    /// The output was looked at.
    pub(super) fn look(&mut self, running: &RunningStatus, at: Duration) {
        let now = Counts { at, received: running.received_events, delivered: running.delivered_events };
        if let Some(queued) = held(running) {
            self.queued.push(queued.events);
        }
        // A forwarder that was started again counts from zero.
        let last = self.last.replace(now).filter(|last| {
            last.received <= now.received && last.delivered <= now.delivered && last.at < now.at
        });
        let Some(last) = last else { return };
        let secs = now.at.saturating_sub(last.at).as_secs_f64();
        let rate = |now: u64, last: u64| ((now - last) as f64 / secs).round() as u64;
        self.received.push(rate(now.received, last.received));
        self.delivered.push(rate(now.delivered, last.delivered));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(received: u64, delivered: u64) -> RunningStatus {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/status/drain.json");
        let status: crate::admin::Status =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let running = status.outputs.into_iter().find_map(|output| output.running).unwrap();
        RunningStatus { received_events: received, delivered_events: delivered, ..running }
    }

    #[test]
    fn rates_are_between_two_looks() {
        let mut history = History::default();
        let mut look = |secs: f64, received, delivered| {
            history.look(&running(received, delivered), Duration::from_secs_f64(secs));
            (history.received.last(), history.delivered.last())
        };
        assert_eq!(look(0.0, 1000, 10), (None, None));
        assert_eq!(look(2.0, 1200, 10), (Some(100), Some(0)));
        assert_eq!(look(2.5, 1200, 60), (Some(0), Some(100)));
        assert_eq!(look(3.5, 5, 5), (Some(0), Some(100)), "it was started again");
        assert_eq!(look(4.5, 7, 5), (Some(2), Some(0)));
        assert_eq!(history.queued.newest(7), [0, 0, 3_600_000, 3_600_000, 3_600_000, 3_600_000, 3_600_000]);
        assert_eq!(history.received.newest(2), [0, 2]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut series = Series::default();
        (0..LOOKS_MAX as u64 + 10).for_each(|number| series.push(number));
        assert_eq!((series.0.len(), series.0[0]), (LOOKS_MAX, 10));
    }
}
