//! Wall clocks. That of the system may jump: it only stands in events. What decides about age is a [`Steady`] clock.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// 2020-01-01, in milliseconds since the Unix epoch: a clock that says less was never set.
const SET_MS_MIN: i64 = 1_577_836_800_000;

/// Milliseconds since the Unix epoch; negative before it.
#[must_use]
pub fn unix_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => whole_ms(since),
        Err(before) => -whole_ms(before.duration()),
    }
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A wall clock that does not jump: what the system's said at one moment, and the time that has passed since.
///
/// So a clock that is corrected while the process runs makes no batch older or younger than it is. The time that the
/// machine sleeps does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steady {
    start: Instant,
    start_ms: i64,
}

impl Steady {
    /// A clock that says `start_ms` (milliseconds since the Unix epoch) at `start`.
    #[must_use]
    pub const fn new(start: Instant, start_ms: i64) -> Self {
        Self { start, start_ms }
    }

    /// The clock of this process; it starts when it is first asked for.
    #[must_use]
    pub fn of_process() -> Self {
        static CLOCK: LazyLock<Steady> = LazyLock::new(|| Steady::new(Instant::now(), unix_ms()));
        *CLOCK
    }

    /// Milliseconds since the Unix epoch at `at`.
    #[must_use]
    pub fn ms(self, at: Instant) -> i64 {
        match at.checked_duration_since(self.start) {
            Some(since) => self.start_ms.saturating_add(whole_ms(since)),
            None => self.start_ms.saturating_sub(whole_ms(self.start.duration_since(at))),
        }
    }

    /// What a batch is marked with that is queued at `at`: the time, or 0 (unknown) by a clock that was never set.
    #[must_use]
    pub fn mark_ms(self, at: Instant) -> i64 {
        if self.is_set() { self.ms(at) } else { 0 }
    }

    /// When it says `ms`; `None` when that is before it started, or too far away to be waited for.
    #[must_use]
    pub fn when(self, ms: i64) -> Option<Instant> {
        let passed = u64::try_from(ms.checked_sub(self.start_ms)?).ok()?;
        self.start.checked_add(Duration::from_millis(passed))
    }

    /// Had anybody set the system's clock when this one started?
    #[must_use]
    pub fn is_set(self) -> bool {
        self.start_ms >= SET_MS_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_where_it_started() {
        let start = Instant::now();
        let clock = Steady::new(start, SET_MS_MIN);
        for passed in [0, 1, 1_500, 86_400_000] {
            let at = start + Duration::from_millis(passed);
            let ms = SET_MS_MIN + passed as i64;
            assert_eq!((clock.ms(at), clock.mark_ms(at), clock.when(ms)), (ms, ms, Some(at)));
        }
        assert_eq!(clock.ms(start + Duration::from_micros(1_999)), SET_MS_MIN + 1, "never ahead");
        assert_eq!(clock.ms(start - Duration::from_millis(7)), SET_MS_MIN - 7);
        assert_eq!(clock.when(SET_MS_MIN - 1), None);
        assert!(clock.when(i64::MAX).is_none_or(|at| at > start));
        assert_eq!(clock.when(i64::MIN), None);
    }

    #[test]
    fn what_a_clock_says_that_was_never_set_is_unknown() {
        let start = Instant::now();
        let check = |start_ms, mark_ms| {
            let clock = Steady::new(start, start_ms);
            assert_eq!((clock.is_set(), clock.mark_ms(start)), (mark_ms != 0, mark_ms), "{start_ms}");
        };
        check(SET_MS_MIN, SET_MS_MIN);
        check(SET_MS_MIN - 1, 0);
        check(0, 0);
        check(-1, 0);
        check(i64::MIN, 0);
    }

    #[test]
    fn the_clock_of_the_process_is_one() {
        let first = Steady::of_process();
        assert!((first.ms(Instant::now()) - unix_ms()).abs() < 60_000);
        assert_eq!(Steady::of_process(), first);
    }
}
