//! Durations in fixed buckets, counted without a lock.

use std::time::Duration;

use crate::counters::Counter;

/// Upper bounds of the buckets in milliseconds, inclusive; what takes longer than the last is in a bucket without one.
pub const BOUNDS_MS: [u64; 18] = [
    5, 10, 20, 50, 100, 150, 200, 300, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 30_000, 60_000,
];

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [Counter; BOUNDS_MS.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    /// Counts one of this length.
    pub fn note(&self, duration: Duration) {
        let bucket = BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < duration);
        self.counts[bucket].add(1);
        self.sum_us.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many are in each bucket: one for each of [`BOUNDS_MS`], and the rest.
    #[must_use]
    pub fn counts(&self) -> [u64; BOUNDS_MS.len() + 1] {
        self.counts.each_ref().map(Counter::get)
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us.get())
    }

    /// The duration in milliseconds that this share of all did not exceed, 0 to 1, as well as the buckets tell: evenly
    /// spread between the bounds of one. Beyond the last bound it is the last bound. Nothing if nothing was counted.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> Option<u64> {
        assert!((0.0..=1.0).contains(&share), "a share of {share}");
        let counts = self.counts();
        let total: u64 = counts.iter().sum();
        // The one that is asked for, counted from 1.
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total.max(1));
        let (mut below, mut lower) = (0, 0);
        for (count, upper) in counts.into_iter().zip(BOUNDS_MS) {
            if below + count >= rank {
                return Some(lower + (upper - lower) * (rank - below) / count);
            }
            (below, lower) = (below + count, upper);
        }
        (total > 0).then_some(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        assert!(BOUNDS_MS.is_sorted_by(|a, b| a < b));
        for (bucket, bound) in BOUNDS_MS.into_iter().enumerate() {
            let histogram = Histogram::default();
            let bound = Duration::from_millis(bound);
            let beyond = bound + Duration::from_nanos(1);
            histogram.note(bound);
            histogram.note(beyond);
            let counts = histogram.counts();
            assert_eq!((counts[bucket], counts[bucket + 1], counts.iter().sum()), (1, 1, 2), "{bound:?}");
        }
        let histogram = Histogram::default();
        histogram.note(Duration::ZERO);
        histogram.note(Duration::MAX);
        assert_eq!((histogram.counts()[0], histogram.counts()[BOUNDS_MS.len()]), (1, 1));
    }

    #[test]
    fn the_sum_is_exact_to_the_microsecond() {
        let histogram = Histogram::default();
        for us in [1, 999, 1_000_000] {
            histogram.note(Duration::from_micros(us));
        }
        assert_eq!(histogram.sum(), Duration::from_micros(1_001_000));
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let check = |durations_ms: &[u64], share, expected| {
            let histogram = Histogram::default();
            durations_ms.iter().for_each(|ms| histogram.note(Duration::from_millis(*ms)));
            assert_eq!(histogram.quantile_ms(share), expected, "{share} of {durations_ms:?}");
        };
        check(&[], 0.5, None);
        check(&[3], 0.0, Some(5));
        check(&[3], 1.0, Some(5));
        check(&[7, 7], 0.5, Some(7));
        check(&[7, 7], 0.99, Some(10));
        check(&[1, 1, 1, 120], 0.75, Some(5));
        check(&[1, 1, 1, 120], 0.76, Some(150));
        check(&[60_000], 0.99, Some(60_000));
        check(&[1, 90_000], 0.5, Some(5));
        check(&[1, 90_000], 0.99, Some(60_000));
        // 100 in the bucket from 100 to 150 ms.
        check(&[125; 100], 0.5, Some(125));
        check(&[125; 100], 0.99, Some(149));
    }
}
