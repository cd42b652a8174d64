//! The body of the queue's cursor checkpoint.
//!
//! ```text
//!  0  version u16, reserved 6      24 acked u64       48 events acked in that segment u64
//!  8  queue id u128                32 durable u64     56 payload bytes acked in it u64
//!                                  40 segment u64     64 raw bytes acked in it u64
//! ```

use crate::view::Weight;

/// The checkpoint's name.
pub(crate) const NAME: &str = "cursor";

/// The version of the body that is written, and the newest that is read.
pub(crate) const VERSION: u16 = 1;
const LEN: usize = 72;

/// Where the consumer is, and what was durable when that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) queue_id: u128,
    /// Everything below is delivered.
    pub(crate) acked: u64,
    /// Everything below was durable: whatever of it cannot be found is lost, not torn.
    pub(crate) durable: u64,
    /// The segment that `acked` is in.
    pub(crate) segment: u64,
    /// What is acknowledged of that segment.
    pub(crate) acked_in_segment: Weight,
}

impl Cursor {
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[0..2].copy_from_slice(&VERSION.to_le_bytes());
        out[8..24].copy_from_slice(&self.queue_id.to_le_bytes());
        let weight = self.acked_in_segment;
        let words =
            [self.acked, self.durable, self.segment, weight.events, weight.payload_bytes, weight.raw_bytes];
        for (slot, word) in out[24..].chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// `Err`: the version of a body that is not of this one. (Its checksum was right, so it is
    /// not damaged.)
    pub(crate) fn decode(body: &[u8]) -> Result<Cursor, u16> {
        let version = body.first_chunk().map_or(0, |version| u16::from_le_bytes(*version));
        let body: &[u8; LEN] = body.try_into().map_err(|_| version)?;
        if version != VERSION {
            return Err(version);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&body[8..24]);
        let mut words = [0; 6];
        for (word, bytes) in words.iter_mut().zip(body[24..].chunks_exact(8)) {
            let mut le = [0; 8];
            le.copy_from_slice(bytes);
            *word = u64::from_le_bytes(le);
        }
        let [acked, durable, segment, events, payload_bytes, raw_bytes] = words;
        Ok(Cursor {
            queue_id: u128::from_le_bytes(id),
            acked,
            durable,
            segment,
            acked_in_segment: Weight { events, payload_bytes, raw_bytes },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_pinned() {
        let cursor = Cursor {
            queue_id: 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100,
            acked: 0x11,
            durable: 0x22,
            segment: 0x33,
            acked_in_segment: Weight { events: 0x44, payload_bytes: 0x55, raw_bytes: 0x66 },
        };
        let expected = [
            [1, 0, 0, 0, 0, 0, 0, 0],
            [0, 1, 2, 3, 4, 5, 6, 7],
            [8, 9, 10, 11, 12, 13, 14, 15],
            [0x11, 0, 0, 0, 0, 0, 0, 0],
            [0x22, 0, 0, 0, 0, 0, 0, 0],
            [0x33, 0, 0, 0, 0, 0, 0, 0],
            [0x44, 0, 0, 0, 0, 0, 0, 0],
            [0x55, 0, 0, 0, 0, 0, 0, 0],
            [0x66, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(cursor.encode().as_slice(), expected);
        assert_eq!(Cursor::decode(&expected), Ok(cursor));
        let mut newer = expected;
        newer[0] = 2;
        assert_eq!(Cursor::decode(&newer), Err(2));
    }
}
