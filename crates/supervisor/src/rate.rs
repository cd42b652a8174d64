//! How fast what is queued may be sent. Pure: time is an argument.
//!
//! A bucket that is never more than full of nothing: what goes is owed, and nothing goes until it is paid at the rate. So a
//! batch of any size goes when nothing is owed, and in any stretch of time no more goes than the rate allows, plus one
//! batch. What was not used is not saved up: a link that stood idle gets no burst afterwards.

use std::time::Duration;

/// What a batch weighs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Load {
    /// Its events.
    pub events: u64,
    /// Bytes of its records as they are sent, with their keys.
    pub bytes: u64,
}

/// Limits for what comes from the queue, per second; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrainLimits {
    /// Events.
    pub events_per_sec: u64,
    /// Bytes of records as they are sent.
    pub bytes_per_sec: u64,
}

/// One limit.
#[derive(Debug, Clone)]
struct Bucket {
    /// 0 is no limit.
    per_sec: u64,
    /// When nothing is owed any more.
    paid_at: Duration,
}

impl Bucket {
    fn new(per_sec: u64) -> Self {
        Self { per_sec, paid_at: Duration::ZERO }
    }

    fn take(&mut self, now: Duration, amount: u64) {
        if self.per_sec == 0 {
            return;
        }
        // Rounded up, so that many small batches are not faster than a large one.
        let nanos = (u128::from(amount) * 1_000_000_000).div_ceil(u128::from(self.per_sec));
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.paid_at = self.paid_at.max(now).saturating_add(takes);
    }
}

/// The pace of a drain: all its limits together.
#[derive(Debug, Clone)]
pub struct Pace {
    events: Bucket,
    bytes: Bucket,
}

impl Pace {
    /// Nothing is owed yet.
    #[must_use]
    pub fn new(limits: DrainLimits) -> Self {
        Self { events: Bucket::new(limits.events_per_sec), bytes: Bucket::new(limits.bytes_per_sec) }
    }

    /// From when on the next batch may go, whatever its size. It lies in the past if one may go now.
    #[must_use]
    pub fn free_at(&self) -> Duration {
        self.events.paid_at.max(self.bytes.paid_at)
    }

    /// A batch goes.
    pub fn take(&mut self, now: Duration, load: Load) {
        self.events.take(now, load.events);
        self.bytes.take(now, load.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(events: u64, bytes: u64) -> Load {
        Load { events, bytes }
    }

    #[test]
    fn a_batch_of_any_size_goes_and_is_paid_for_afterwards() {
        let mut pace = Pace::new(DrainLimits { events_per_sec: 10, bytes_per_sec: 0 });
        assert_eq!(pace.free_at(), Duration::ZERO);
        pace.take(Duration::from_secs(1), load(1_000, 1));
        assert_eq!(pace.free_at(), Duration::from_secs(101));
        pace.take(Duration::from_secs(500), load(5, 1));
        assert_eq!(pace.free_at(), Duration::from_millis(500_500), "what was not used is not saved up");
    }

    #[test]
    fn the_stricter_limit_holds_and_none_is_none() {
        let mut pace = Pace::new(DrainLimits { events_per_sec: 100, bytes_per_sec: 1_000 });
        pace.take(Duration::ZERO, load(100, 500));
        assert_eq!(pace.free_at(), Duration::from_secs(1));
        pace.take(Duration::from_secs(1), load(1, 3_000));
        assert_eq!(pace.free_at(), Duration::from_secs(4));
        let mut pace = Pace::new(DrainLimits::default());
        pace.take(Duration::from_secs(9), load(u64::MAX, u64::MAX));
        assert_eq!(pace.free_at(), Duration::ZERO);
    }

    #[test]
    fn no_number_is_too_large() {
        let mut pace = Pace::new(DrainLimits { events_per_sec: 1, bytes_per_sec: u64::MAX });
        pace.take(Duration::MAX, load(u64::MAX, u64::MAX));
        assert_eq!(pace.free_at(), Duration::MAX);
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_sees_more_than_the_rate_and_one_batch(
            per_sec in 1..5_000_u64,
            batches in prop::collection::vec((1..10_000_u64, 0..2_000_u64), 1..40),
        ) {
            let mut pace = Pace::new(DrainLimits { events_per_sec: 0, bytes_per_sec: per_sec });
            let mut now = Duration::ZERO;
            let mut went: Vec<(Duration, u64)> = Vec::new();
            for (bytes, late_ms) in batches {
                // As soon as it may, or some time later.
                now = now.max(pace.free_at()) + Duration::from_millis(late_ms.saturating_sub(1_000));
                pace.take(now, load(1, bytes));
                went.push((now, bytes));
            }
            for first in 0..went.len() {
                for last in first..went.len() {
                    let stretch = (went[last].0 - went[first].0).as_nanos();
                    // All but the last were paid for within the stretch.
                    let paid: u64 = went[first..last].iter().map(|(_, bytes)| bytes).sum();
                    prop_assert!(u128::from(paid) * 1_000_000_000 <= stretch * u128::from(per_sec));
                }
            }
        }
    }
}
