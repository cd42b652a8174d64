//! The body of the queue's cursor checkpoint.
//!
//! ```text
//!  0  version u16, reserved 6      24 acked u64       40 events acked since the queue began u64
//!  8  queue id u128                32 durable u64     48 payload bytes of them u64
//!                                                     56 raw bytes of them u64
//! 64  then, for each range above `acked` that is acknowledged as well: first u64, end u64
//! ```

use crate::summary::Weight;

/// The checkpoint's name.
pub(crate) const NAME: &str = "cursor";

/// The version of the body that is written, and the newest that is read.
pub(crate) const VERSION: u16 = 1;
const LEN: usize = 64;

/// Ranges above the low-water mark that are saved, so that the slot never grows beyond what it was made with. There are
/// at most as many as batches in flight; what is above is acknowledged once more after the next start.
pub(crate) const RANGES_MAX: usize = 128;

/// A range of sequences: first, end (exclusive).
pub(crate) type Range = (u64, u64);

/// Where the consumer is, and what was durable when that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) queue_id: u128,
    /// Everything below is delivered.
    pub(crate) acked: u64,
    /// Everything below was durable: whatever of it cannot be found is lost, not torn.
    pub(crate) durable: u64,
    /// What everything below `acked` amounts to, since the queue began.
    pub(crate) delivered: Weight,
}

impl Cursor {
    /// The body: the cursor, and the ranges `above` its low-water mark.
    pub(crate) fn encode(&self, above: &[Range]) -> Vec<u8> {
        assert!(above.len() <= RANGES_MAX, "more ranges than are saved");
        let mut out = Vec::with_capacity(LEN + 16 * above.len());
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.queue_id.to_le_bytes());
        let Weight { events, payload_bytes, raw_bytes } = self.delivered;
        let words = [self.acked, self.durable, events, payload_bytes, raw_bytes];
        for word in words.into_iter().chain(above.iter().flat_map(|&(first, end)| [first, end])) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// The cursor in a body, and the ranges above it. `Err`: the version of a body that is not of this one. (Its
    /// checksum was right, so it is not damaged.)
    pub(crate) fn decode(body: &[u8]) -> Result<(Cursor, Vec<Range>), u16> {
        let version = body.first_chunk().map_or(0, |version| u16::from_le_bytes(*version));
        let (fixed, ranges) = body.split_at_checked(LEN).ok_or(version)?;
        let (id, words) = fixed[8..].split_first_chunk().ok_or(version)?;
        let words: [u64; 5] = words_of(words).try_into().map_err(|_| version)?;
        if version != VERSION || !ranges.len().is_multiple_of(16) {
            return Err(version);
        }
        let [acked, durable, events, payload_bytes, raw_bytes] = words;
        let delivered = Weight { events, payload_bytes, raw_bytes };
        let cursor = Cursor { queue_id: u128::from_le_bytes(*id), acked, durable, delivered };
        let above = words_of(ranges).chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Ok((cursor, above))
    }
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_named() {
        let cursor = Cursor { queue_id: 1, acked: 2, durable: 3, delivered: Weight::default() };
        let mut body = cursor.encode(&[]);
        assert_eq!(Cursor::decode(&body), Ok((cursor, Vec::new())));
        body[0] = 2;
        assert_eq!(Cursor::decode(&body), Err(2));
    }

    #[test]
    fn ranges_come_back_and_half_a_range_is_not_of_this_version() {
        let cursor = Cursor { queue_id: 1, acked: 2, durable: 30, delivered: Weight::default() };
        let above = vec![(4, 5), (7, 29)];
        let mut body = cursor.encode(&above);
        assert_eq!(Cursor::decode(&body), Ok((cursor, above)));
        body.pop();
        assert_eq!(Cursor::decode(&body), Err(1));
    }
}
