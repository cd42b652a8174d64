//! How fast something goes. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// What went longer ago does not tell how fast it goes now.
const WINDOW: Duration = Duration::from_secs(10);
/// Looks that are remembered; more often than that is not looked.
const LOOKS_MAX: usize = 64;

/// A count, looked at now and then.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    looks: VecDeque<(Duration, u64)>,
}

impl Pulse {
    /// The count is this now. Times and counts grow.
    pub fn look(&mut self, now: Duration, count: u64) {
        // One look from before the window stays, so that there is always a stretch to measure.
        while self.looks.len() >= LOOKS_MAX || self.looks.get(1).is_some_and(|&(at, _)| at + WINDOW <= now) {
            self.looks.pop_front();
        }
        self.looks.push_back((now, count));
    }

    /// How much it has grown in a second, lately.
    #[must_use]
    pub fn per_sec(&self) -> f64 {
        let (Some(&(from, first)), Some(&(to, last))) = (self.looks.front(), self.looks.back()) else {
            return 0.0;
        };
        let stretch = to.saturating_sub(from).as_secs_f64();
        if stretch > 0.0 { last.saturating_sub(first) as f64 / stretch } else { 0.0 }
    }

    /// When it will have grown by this much, if it goes on like that.
    #[must_use]
    pub fn time_for(&self, left: u64) -> Option<Duration> {
        let per_sec = self.per_sec();
        (per_sec > 0.0).then(|| Duration::try_from_secs_f64(left as f64 / per_sec).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_how_fast_it_goes_now() {
        let mut pulse = Pulse::default();
        assert_eq!((pulse.per_sec(), pulse.time_for(1)), (0.0, None));
        let seconds = Duration::from_secs;
        (0..=20).for_each(|at| pulse.look(seconds(at), at * 100));
        assert_eq!((pulse.per_sec(), pulse.time_for(1_000)), (100.0, Some(seconds(10))));
        // It stands still: after the window, nothing is left of what it was.
        (21..=40).for_each(|at| pulse.look(seconds(at), 2_000));
        assert_eq!((pulse.per_sec(), pulse.time_for(1_000)), (0.0, None));
    }
}
