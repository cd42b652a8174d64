//! A fair share of a limit that a whole AWS account has in common.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStream.html (read 2026-11)
//# This operation has a limit of 10 transactions per second per account.
/// The calls of this process to DescribeStream, of all outputs together: one a second, a tenth of what the
/// account has. How many other processes share the account nobody knows here; a call that is throttled all
/// the same says nothing about puts, and the first batch decides.
pub(super) static DESCRIBE_STREAM: Share = Share::new(Duration::from_secs(1));

/// Lets one call pass in each interval.
#[derive(Debug)]
pub(super) struct Share {
    interval: Duration,
    /// When the next call may pass.
    next: Mutex<Option<Instant>>,
}

impl Share {
    const fn new(interval: Duration) -> Share {
        Share { interval, next: Mutex::new(None) }
    }

    /// Waits for this call's turn; those who wait pass in the order in which they came.
    pub(super) async fn turn(&self) {
        let turn = self.take(Instant::now());
        tokio::time::sleep_until(turn.into()).await;
    }

    /// Takes the next free turn.
    fn take(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + self.interval);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_in_each_interval() {
        let second = Duration::from_secs(1);
        let share = Share::new(second);
        let start = Instant::now();
        assert_eq!(share.take(start), start, "the first passes at once");
        assert_eq!(share.take(start), start + second);
        assert_eq!(share.take(start + second / 2), start + 2 * second);
        let later = start + 60 * second;
        assert_eq!(share.take(later), later, "what nobody used is gone");
        assert_eq!(share.take(later), later + second);
    }
}
