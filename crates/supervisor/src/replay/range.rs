//! Which batches are meant. Pure.

use millpond_queue::inspect::Standing;
use millpond_queue::{BatchInfo, Sequence};
use serde::{Deserialize, Serialize};

/// Which batches are meant, by what their queue knows of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Those that are not settled.
    Pending,
    /// Those that are settled, and still there.
    Retained,
    /// All that are there.
    All,
}

/// Which batches are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// By what their queue knows of them.
    pub which: Which,
    /// The first sequence.
    pub from: u64,
    /// The sequence after the last one.
    pub end: u64,
    /// Batches that have an event at this time or later, in milliseconds since the Unix epoch …
    pub since_ms: i64,
    /// … and one before this.
    pub until_ms: i64,
}

impl Range {
    /// All of these.
    #[must_use]
    pub fn all(which: Which) -> Self {
        Self { which, from: 0, end: u64::MAX, since_ms: i64::MIN, until_ms: i64::MAX }
    }

    /// Is the batch of this number meant, whatever its events are?
    #[must_use]
    pub fn holds(&self, standing: &Standing, sequence: Sequence) -> bool {
        let by_state = match self.which {
            Which::Pending => !standing.is_settled(sequence),
            Which::Retained => standing.is_settled(sequence),
            Which::All => true,
        };
        by_state && (self.from..self.end).contains(&sequence.0)
    }

    /// Does a batch with these events have one in the time that is meant? It goes whole.
    #[must_use]
    pub fn holds_events_of(&self, info: &BatchInfo) -> bool {
        self.holds_time(info.first_time_ms, info.last_time_ms)
    }

    /// Does the time from `first_ms` to `last_ms` have a part in the time that is meant?
    #[must_use]
    pub fn holds_time(&self, first_ms: i64, last_ms: i64) -> bool {
        last_ms >= self.since_ms && first_ms < self.until_ms
    }

    /// How many of the sequences from `first` to `end` are meant. They may be very many.
    #[must_use]
    pub fn count(&self, standing: &Standing, first: u64, end: u64) -> u64 {
        let (first, end) = (first.max(self.from), end.min(self.end));
        if first >= end {
            return 0;
        }
        let part = |a: u64, b: u64| b.min(end).saturating_sub(a.max(first));
        let above: u64 = standing.above.iter().map(|&(a, b)| part(a.0, b.0)).sum();
        let settled = part(0, standing.acked.0) + above;
        match self.which {
            Which::Pending => (end - first) - settled,
            Which::Retained => settled,
            Which::All => end - first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settled are 1 to 4, 6, 7 and 10.
    fn standing() -> Standing {
        let mut standing = Standing::default();
        standing.acked = Sequence(5);
        standing.above = vec![(Sequence(6), Sequence(8)), (Sequence(10), Sequence(11))];
        standing
    }

    #[test]
    fn counting_agrees_with_asking_for_each() {
        for which in [Which::Pending, Which::Retained, Which::All] {
            for (from, end) in [(0, u64::MAX), (3, 9), (7, 8), (9, 3)] {
                let range = Range { from, end, ..Range::all(which) };
                for first in 1..14 {
                    for end in 1..14 {
                        let one_by_one =
                            (first..end).filter(|&at| range.holds(&standing(), Sequence(at))).count();
                        let counted = range.count(&standing(), first, end);
                        assert_eq!(counted, one_by_one as u64, "{range:?} {first}..{end}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_batch_goes_when_one_of_its_events_may() {
        let range = Range { since_ms: 100, until_ms: 200, ..Range::all(Which::All) };
        let check = |first_time_ms, last_time_ms, expected| {
            let info = BatchInfo { first_time_ms, last_time_ms, ..BatchInfo::default() };
            assert_eq!(range.holds_events_of(&info), expected, "{first_time_ms} to {last_time_ms}");
        };
        check(0, 99, false);
        check(0, 100, true);
        check(0, 1_000, true);
        check(199, 1_000, true);
        check(200, 1_000, false);
    }
}
