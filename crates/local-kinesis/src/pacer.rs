//! Keeps all connections together within a rate, as a thin link does.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One direction of a link.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// When what was sent so far is through; none before the first byte.
    free_at: Mutex<Option<Instant>>,
}

impl Pacer {
    /// No wait is longer, so that a change of the rate is noticed soon.
    const WAIT_MAX: Duration = Duration::from_millis(20);

    /// How long to wait before the next bytes; none: now is right.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let free_at = *self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = free_at?.saturating_duration_since(now);
        (!wait.is_zero()).then(|| wait.min(Self::WAIT_MAX))
    }

    /// Counts bytes that pass at this rate.
    pub(crate) fn passed(&self, bytes: usize, rate: u64, now: Instant) {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let from = free_at.map_or(now, |free_at| free_at.max(now));
        *free_at = Some(from + Duration::from_secs_f64(bytes as f64 / rate as f64));
    }

    /// Forgets what was sent, when there is no limit any more.
    pub(crate) fn reset(&self) {
        *self.free_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How much may pass at a time: what the rate lets through in about 20 ms.
    pub(crate) fn portion(rate: u64) -> usize {
        usize::try_from(rate / 50).unwrap_or(usize::MAX).clamp(1, 16 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        let (pacer, start) = (Pacer::default(), Instant::now());
        assert_eq!(pacer.wait(start), None);
        pacer.passed(5, 1000, start);
        pacer.passed(5, 1000, start);
        assert_eq!(pacer.wait(start), Some(Duration::from_millis(10)));
        assert_eq!(pacer.wait(start + Duration::from_millis(10)), None);
        pacer.passed(1_000_000, 1000, start);
        assert_eq!(pacer.wait(start), Some(Pacer::WAIT_MAX));
        pacer.reset();
        assert_eq!(pacer.wait(start), None);
    }

    #[test]
    fn portions() {
        assert_eq!([1, 1000, 1 << 30].map(Pacer::portion), [1, 20, 16 << 10]);
    }
}
