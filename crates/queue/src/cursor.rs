//! The body of the queue's cursor checkpoint.
//!
//! ```text
//!  0  version u16, reserved 6      24 acked u64       40 events acked since the queue began u64
//!  8  queue id u128                32 durable u64     48 payload bytes of them u64
//!                                                     56 raw bytes of them u64
//! ```

use crate::summary::Weight;

/// The checkpoint's name.
pub(crate) const NAME: &str = "cursor";

/// The version of the body that is written, and the newest that is read.
pub(crate) const VERSION: u16 = 1;
const LEN: usize = 64;

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
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[0..2].copy_from_slice(&VERSION.to_le_bytes());
        out[8..24].copy_from_slice(&self.queue_id.to_le_bytes());
        let Weight { events, payload_bytes, raw_bytes } = self.delivered;
        let words = [self.acked, self.durable, events, payload_bytes, raw_bytes];
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
        let mut words = [0; 5];
        for (word, bytes) in words.iter_mut().zip(body[24..].chunks_exact(8)) {
            let mut le = [0; 8];
            le.copy_from_slice(bytes);
            *word = u64::from_le_bytes(le);
        }
        let [acked, durable, events, payload_bytes, raw_bytes] = words;
        Ok(Cursor {
            queue_id: u128::from_le_bytes(id),
            acked,
            durable,
            delivered: Weight { events, payload_bytes, raw_bytes },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_named() {
        let cursor = Cursor { queue_id: 1, acked: 2, durable: 3, delivered: Weight::default() };
        let mut body = cursor.encode();
        assert_eq!(Cursor::decode(&body), Ok(cursor));
        body[0] = 2;
        assert_eq!(Cursor::decode(&body), Err(2));
    }
}
