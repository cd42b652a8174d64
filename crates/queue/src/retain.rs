//! How long a delivered segment is kept. Pure.

use crate::options::Retain;

/// What is known of the oldest delivered segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivered {
    /// What it and all other delivered segments occupy.
    pub(crate) bytes: u64,
    /// When everything in it was delivered; `None`: nobody knows.
    pub(crate) delivered_ms: Option<i64>,
}

/// Whether the oldest delivered segment is to be kept at `now_ms`.
pub(crate) fn keeps(retain: Retain, delivered: Delivered, now_ms: i64) -> bool {
    let fits = retain.bytes_max.is_none_or(|bytes_max| delivered.bytes <= bytes_max);
    let is_young = retain.for_ms.is_none_or(|for_ms| match delivered.delivered_ms {
        Some(delivered_ms) => now_ms.saturating_sub(delivered_ms) < i64::try_from(for_ms).unwrap_or(i64::MAX),
        // The time-line begins with the setting; what was delivered before is not what it was meant for.
        None => false,
    });
    retain.is_on() && fits && is_young
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_counts() {
        let check = |for_ms, bytes_max, bytes, delivered_ms, now_ms, expected| {
            let (retain, delivered) = (Retain { for_ms, bytes_max }, Delivered { bytes, delivered_ms });
            assert_eq!(keeps(retain, delivered, now_ms), expected, "{retain:?} {delivered:?} {now_ms}");
        };
        check(None, None, 0, Some(0), 0, false);
        check(Some(10), None, u64::MAX, Some(5), 14, true);
        check(Some(10), None, 1, Some(5), 15, false);
        check(Some(10), None, 1, None, 0, false);
        check(None, Some(100), 100, None, i64::MAX, true);
        check(None, Some(100), 101, None, 0, false);
        check(Some(10), Some(100), 100, Some(0), 9, true);
        check(Some(10), Some(100), 101, Some(0), 9, false);
        check(Some(10), Some(100), 100, Some(0), 10, false);
        check(Some(u64::MAX), None, 0, Some(i64::MIN), i64::MAX, false);
        // A clock that went back keeps it longer.
        check(Some(10), None, 0, Some(1_000), 0, true);
    }
}
