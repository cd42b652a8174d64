//! How long to wait for a call, learnt from how fast the link has been. Pure.
//!
//! A fixed time is too short for a large body over a thin link (the call is cut off again and again,
//! at the same size, for ever) and too long for everything else. Links that die are noticed by the
//! kernel (see [`super::dial`]); this is for a service that takes a request and never answers.

use std::time::Duration;

/// What an unknown link is taken for, in bytes per second. Also the most it is ever taken for: a
/// fast link gains nothing from a limit that is a second shorter.
const RATE_AT_FIRST: u64 = 32 * 1024;

/// Calls with less than this say more about the distance than about the speed.
const TELLING_BYTES: u64 = 8 * 1024;

/// A link may be four times as slow as it just was: others share it, and our own calls do.
const MARGIN: u64 = 4;

/// The slowest speed to reckon with, by experience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    bytes_per_second: u64,
    bytes_per_second_min: u64,
}

impl Pace {
    pub(super) fn new(bytes_per_second_min: u64) -> Pace {
        let bytes_per_second_min = bytes_per_second_min.clamp(1, RATE_AT_FIRST);
        Pace { bytes_per_second: RATE_AT_FIRST, bytes_per_second_min }
    }

    /// Time for a call with a body of so many bytes, `base` of it for an empty one.
    pub(super) fn limit(&self, base: Duration, bytes: u64) -> Duration {
        base + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
    }

    /// A call was answered.
    pub(super) fn answered(&mut self, bytes: u64, took: Duration) {
        if bytes >= TELLING_BYTES {
            let seen = bytes as f64 / took.as_secs_f64().max(0.001);
            self.set(seen as u64 / MARGIN);
        }
    }

    /// A call was cut off: the next one gets twice the time for its body.
    pub(super) fn timed_out(&mut self) {
        self.set(self.bytes_per_second / 2);
    }

    fn set(&mut self, bytes_per_second: u64) {
        self.bytes_per_second = bytes_per_second.clamp(self.bytes_per_second_min, RATE_AT_FIRST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(15);

    #[test]
    fn time_grows_with_the_body() {
        let pace = Pace::new(1024);
        assert_eq!(pace.limit(BASE, 0), BASE);
        assert_eq!(pace.limit(BASE, 320 * 1024), BASE + Duration::from_secs(10));
    }

    #[test]
    fn a_body_too_large_for_its_time_gets_through_at_last() {
        // 160 KB at 1.6 kB/s, as five calls on a link of 64 kbit/s, needs 100 s.
        let mut pace = Pace::new(1024);
        let needed = Duration::from_secs(100);
        let mut attempts = 0;
        while pace.limit(BASE, 160_000) < needed {
            pace.timed_out();
            attempts += 1;
        }
        assert!(attempts <= 5, "{attempts}");
        pace.answered(160_000, needed);
        assert!(pace.limit(BASE, 160_000) > needed, "what just worked has time to work again");
    }

    #[test]
    fn a_fast_link_is_not_waited_for_longer_than_at_first() {
        let mut pace = Pace::new(1024);
        for _ in 0..40 {
            pace.timed_out();
        }
        assert_eq!(pace.limit(BASE, 10_240), BASE + Duration::from_secs(10), "the slowest there is");
        pace.answered(100, Duration::from_secs(1));
        assert_eq!(pace.limit(BASE, 10_240), BASE + Duration::from_secs(10), "a small call says nothing");
        pace.answered(1_000_000, Duration::from_secs(1));
        assert_eq!(pace, Pace::new(1024));
    }

    #[test]
    fn nonsense_is_survived() {
        let mut pace = Pace::new(0);
        pace.answered(u64::MAX, Duration::ZERO);
        pace.answered(1 << 20, Duration::MAX);
        assert!(pace.limit(BASE, 1 << 20) > BASE);
    }
}
