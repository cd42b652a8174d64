//! How far the clock of this machine is from the service's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// No answer has told the time yet.
const UNKNOWN: i64 = i64::MIN;

/// `Date` counts whole seconds, and an answer takes a while: less than this says nothing.
const TELLING: Duration = Duration::from_secs(60);

/// The difference between this machine's clock and the service's, as the last answer showed it. The
/// signature's own correction is the SDK's; this is for all that the SDK does not correct.
#[derive(Debug)]
pub(super) struct Clock {
    /// Milliseconds that the service is ahead; [`UNKNOWN`] at first.
    ahead_ms: AtomicI64,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock { ahead_ms: AtomicI64::new(UNKNOWN) }
    }

    /// An answer of AWS arrived just now with this `Date`.
    pub(super) fn note(&self, date: &str) {
        let Ok(date) = DateTime::from_str(date, Format::HttpDate) else { return };
        let Ok(theirs) = SystemTime::try_from(date) else { return };
        let ahead = match theirs.duration_since(SystemTime::now()) {
            Ok(ahead) => millis(ahead),
            Err(behind) => -millis(behind.duration()),
        };
        self.ahead_ms.store(ahead, Ordering::Relaxed);
    }

    /// Milliseconds that the service's clock is ahead of this machine's; `None` before its first answer.
    pub(super) fn ahead_ms(&self) -> Option<i64> {
        Some(self.ahead_ms.load(Ordering::Relaxed)).filter(|ms| *ms != UNKNOWN)
    }

    /// The same, if it is more than an answer's way explains.
    pub(super) fn wrong_by_ms(&self) -> Option<i64> {
        self.ahead_ms().filter(|ahead| Duration::from_millis(ahead.unsigned_abs()) >= TELLING)
    }

    /// What this machine's clock shows at a moment that the service named.
    pub(super) fn here(&self, theirs: SystemTime) -> SystemTime {
        let ahead = self.wrong_by_ms().unwrap_or(0);
        let difference = Duration::from_millis(ahead.unsigned_abs());
        let here = if ahead > 0 { theirs.checked_sub(difference) } else { theirs.checked_add(difference) };
        here.unwrap_or(theirs)
    }
}

/// Saturated well away from [`UNKNOWN`].
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn noted(theirs: SystemTime) -> Clock {
        let clock = Clock::new();
        clock.note(&DateTime::from(theirs).fmt(Format::HttpDate).unwrap());
        clock
    }

    #[test]
    fn a_service_that_is_ahead_or_behind() {
        let now = SystemTime::now();
        let hour = 60 * MINUTE;
        for (theirs, here) in [(now + hour, now - hour), (now - hour, now + hour), (now, now)] {
            let clock = noted(theirs);
            let shown = clock.here(now);
            let off = shown.duration_since(here).unwrap_or_else(|error| error.duration());
            assert!(off < 5 * Duration::from_secs(1), "{theirs:?}: {shown:?}, not {here:?}");
        }
        assert_eq!(Clock::new().here(now), now, "nothing is known yet");
        assert_eq!(Clock::new().ahead_ms(), None);
    }

    #[test]
    fn nonsense_is_no_time() {
        let clock = Clock::new();
        for date in ["", "yesterday", "Tue, 99 Nov 2026 10:00:00 GMT", "2026-11-24T10:00:00Z"] {
            clock.note(date);
        }
        assert_eq!(clock.ahead_ms(), None);
        clock.note("Fri, 31 Dec 9999 23:59:59 GMT");
        assert!(clock.ahead_ms().is_some_and(|ahead| ahead > 0));
        clock.here(SystemTime::UNIX_EPOCH);
    }
}
