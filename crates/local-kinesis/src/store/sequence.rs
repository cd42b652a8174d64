//! Sequence numbers: 56 decimal digits, strictly increasing within a shard.
//!
//! ```text
//! 49 | shard created, ms (13) | index in the shard (18) | arrived, ms (13) | shard (10)
//! ```
//! Being of equal length they order as text and as numbers alike, and children's are greater than their parents'.

use std::fmt;

/// Digits of a sequence number.
const DIGITS: usize = 56;
/// The greatest index, used for the end of a closed shard.
pub(crate) const INDEX_MAX: u64 = 999_999_999_999_999_999;

/// A sequence number, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequenceNumber {
    /// When the shard was created.
    pub(crate) created_ms: i64,
    /// 0 for the shard's beginning, 1 for its first record.
    pub(crate) index: u64,
    /// When the record arrived.
    pub(crate) arrived_ms: i64,
    /// The number in the shard's name.
    pub(crate) shard: u32,
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every record gets one, and padding with `format!` takes several times as long.
        let mut digits = [b'0'; DIGITS];
        digits[..2].copy_from_slice(b"49");
        put_digits(&mut digits[2..15], self.created_ms.unsigned_abs());
        put_digits(&mut digits[15..33], self.index);
        put_digits(&mut digits[33..46], self.arrived_ms.unsigned_abs());
        put_digits(&mut digits[46..], u64::from(self.shard));
        formatter.write_str(std::str::from_utf8(&digits).expect("digits are ASCII"))
    }
}

/// Writes a number right-aligned over zeros.
fn put_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    debug_assert_eq!(number, 0, "the number has more digits than its place");
}

impl SequenceNumber {
    /// None for a text that this endpoint cannot have given out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = text.strip_prefix("49")?;
        Some(Self {
            created_ms: digits.get(..13)?.parse().ok()?,
            index: digits.get(13..31)?.parse().ok()?,
            arrived_ms: digits.get(31..44)?.parse().ok()?,
            shard: digits.get(44..)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn numbers()(
            created_ms in 0..10_i64.pow(13), index in 0..=INDEX_MAX, arrived_ms in 0..10_i64.pow(13), shard: u32,
        ) -> SequenceNumber {
            SequenceNumber { created_ms, index, arrived_ms, shard }
        }
    }

    proptest! {
        #[test]
        fn round_trips_in_56_digits(number in numbers()) {
            let text = number.to_string();
            prop_assert_eq!(text.len(), 56);
            prop_assert_eq!(SequenceNumber::parse(&text), Some(number));
        }

        #[test]
        fn order_is_that_of_the_index(a in numbers(), index in 0..=INDEX_MAX, arrived_ms in 0..10_i64.pow(13)) {
            let b = SequenceNumber { index, arrived_ms, ..a };
            prop_assume!(a.index != b.index);
            prop_assert_eq!(a.to_string() < b.to_string(), a.index < b.index);
        }
    }

    #[test]
    fn layout() {
        let number = SequenceNumber {
            created_ms: 1_700_000_000_001,
            index: 7,
            arrived_ms: 1_700_000_000_009,
            shard: 3,
        };
        assert_eq!(number.to_string(), "49170000000000100000000000000000717000000000090000000003");
    }

    #[test]
    fn what_is_no_sequence_number() {
        let long = "4".repeat(55);
        for text in ["", "49", "abc", long.as_str(), &"1".repeat(56), &format!("49{}", "x".repeat(54))] {
            assert_eq!(SequenceNumber::parse(text), None, "{text}");
        }
    }
}
