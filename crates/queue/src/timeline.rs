//! When what was delivered, coarsely: enough to keep delivered segments for a time. Pure.

/// Points kept. A period is told apart in [`STEPS`] steps, and segments that are kept for other reasons add some.
pub(crate) const POINTS_MAX: usize = 64;
/// Steps into which the time to keep delivered segments is divided.
const STEPS: i64 = 32;

/// Everything below a sequence was delivered by a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) end: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) by_ms: i64,
}

/// Points, ascending in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Timeline {
    points: Vec<Point>,
}

impl Timeline {
    pub(crate) fn new(points: Vec<Point>) -> Timeline {
        let rises = points.is_sorted_by(|a, b| a.end < b.end && a.by_ms <= b.by_ms);
        Timeline { points: if rises { points } else { Vec::new() } }
    }

    pub(crate) fn points(&self) -> &[Point] {
        &self.points
    }

    /// Everything below `end` is delivered at `now_ms`; times are told apart to a fraction of `keep_ms`, rounded up.
    pub(crate) fn note(&mut self, end: u64, now_ms: i64, keep_ms: i64) {
        let step = (keep_ms / STEPS).max(1);
        let rounded = (now_ms.div_euclid(step)).saturating_add(1).saturating_mul(step);
        let last = self.points.last().copied();
        if last.is_some_and(|last| last.end >= end) {
            return;
        }
        // A clock that goes back does not make anything older.
        let by_ms = last.map_or(rounded, |last| rounded.max(last.by_ms));
        match self.points.last_mut() {
            Some(last) if last.by_ms == by_ms => last.end = end,
            _ => self.points.push(Point { end, by_ms }),
        }
        if self.points.len() > POINTS_MAX {
            // The oldest counts as delivered when the one after it was: kept longer, never shorter.
            self.points.remove(0);
        }
    }

    /// When everything below `end` was delivered; `None`: not yet, as far as is known.
    pub(crate) fn delivered_ms(&self, end: u64) -> Option<i64> {
        let at = self.points.partition_point(|point| point.end < end);
        self.points.get(at).map(|point| point.by_ms)
    }

    /// Forgets what is of no use once everything below `first` is gone.
    pub(crate) fn forget(&mut self, first: u64) {
        self.points.retain(|point| point.end > first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn nothing_counts_as_delivered_before_it_was_and_little_later() {
        let mut timeline = Timeline::default();
        let step = HOUR / STEPS;
        for second in 0..7_200 {
            timeline.note(second + 1, second as i64 * 1000, HOUR);
            timeline.forget(second.saturating_sub(3_700));
            assert!(timeline.points.len() <= 36, "{}", timeline.points.len());
        }
        for second in 3_600..7_200 {
            let delivered = timeline.delivered_ms(second + 1).unwrap();
            let late = delivered - second as i64 * 1000;
            assert!((1..=step).contains(&late), "{second}: {late}");
        }
        assert_eq!(timeline.delivered_ms(7_201), None);
    }

    #[test]
    fn it_stays_small_and_errs_on_the_long_side() {
        let mut timeline = Timeline::default();
        (0..1000).for_each(|hour| timeline.note(hour + 1, hour as i64 * HOUR, HOUR));
        assert_eq!(timeline.points.len(), POINTS_MAX);
        assert_eq!(timeline.delivered_ms(1), timeline.delivered_ms(937));
        assert!(timeline.delivered_ms(1) >= Some(936 * HOUR));
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_older() {
        let mut timeline = Timeline::default();
        timeline.note(5, 10 * HOUR, HOUR);
        timeline.note(9, 0, HOUR);
        assert_eq!(timeline.delivered_ms(9), timeline.delivered_ms(5));
        assert!(timeline.points.len() == 1);
    }

    #[test]
    fn points_that_make_no_sense_are_forgotten() {
        let point = |end, by_ms| Point { end, by_ms };
        assert_eq!(Timeline::new(vec![point(1, 5), point(2, 5)]).points().len(), 2);
        assert_eq!(Timeline::new(vec![point(2, 5), point(1, 6)]), Timeline::default());
        assert_eq!(Timeline::new(vec![point(1, 6), point(2, 5)]), Timeline::default());
    }
}
