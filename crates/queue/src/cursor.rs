//! The body of a cursor's checkpoint. `docs/FORMAT.md` draws it.
//!
//! ```text
//!   0  version u16, reserved 6        40  all batches acked since the queue began: events u64,
//!   8  queue id u128                      payload bytes u64, raw bytes u64
//!  24  acked u64                      64  given up because the queue was full: batches u64, then as above
//!  32  durable u64                    96  given up because they were too old: the same
//!                                    128  given up because a person has said so: the same
//!                                    160  number of ranges u32, number of points u32
//! 168  the ranges above `acked` that are acknowledged as well: first u64, end u64
//!   …  the points of the timeline: end u64, time i64
//! ```
//!
//! Version 2 has nothing of what a person has said; its numbers of ranges and points are at 128. Version 1 ends its fixed
//! part at 64, and the ranges follow to the end.

use crate::{
    batch::{DropReason, Losses, Tally},
    format::SEQUENCE_MAX,
    summary::Weight,
    timeline::{POINTS_MAX, Point},
};

/// The checkpoint of the queue's own consumer.
pub(crate) const NAME: &str = "cursor";

/// The version of the body that is written, and the newest that is read.
pub(crate) const VERSION: u16 = 3;
const LEN_V1: usize = 64;
const LEN_V2: usize = 136;
const LEN: usize = 168;
const TALLY_LEN: usize = 32;
const PAIR_LEN: usize = 16;

/// Ranges above the low-water mark that are saved, so that the slot never grows beyond what it was made with. There are
/// at most as many as batches in flight; what is above is acknowledged once more after the next start.
pub(crate) const RANGES_MAX: usize = 128;

const _: () = assert!(
    crate::checkpoint::HEADER_LEN + LEN + PAIR_LEN * (RANGES_MAX + POINTS_MAX)
        <= crate::checkpoint::SLOT_BYTES_MIN
);

/// Why a body is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Another version.
    Version(u16),
    /// A known version, and nothing that this program would have written.
    Senseless,
}

/// A range of sequences: first, end (exclusive).
pub(crate) type Range = (u64, u64);

/// Where a consumer is, and what was durable when that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) queue_id: u128,
    /// Everything below is settled: delivered, or given up.
    pub(crate) acked: u64,
    /// Everything below was durable: whatever of it cannot be found is lost, not torn.
    pub(crate) durable: u64,
    /// What everything below `acked` amounts to, since the queue began.
    pub(crate) delivered: Weight,
    /// What was given up by policy, since the queue began.
    pub(crate) losses: Losses,
    /// What is settled above `acked`.
    pub(crate) above: Vec<Range>,
    /// When what was delivered.
    pub(crate) points: Vec<Point>,
}

impl Cursor {
    pub(crate) fn encode(&self) -> Vec<u8> {
        assert!(self.above.len() <= RANGES_MAX, "more ranges than are saved");
        assert!(self.points.len() <= POINTS_MAX, "more points than are saved");
        let mut out = Vec::with_capacity(LEN + PAIR_LEN * (self.above.len() + self.points.len()));
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.queue_id.to_le_bytes());
        let words = [self.acked, self.durable].into_iter().chain(weight_words(self.delivered));
        let losses = DropReason::ALL.into_iter().flat_map(|reason| tally_words(self.losses.of(reason)));
        words.chain(losses).for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        for count in [self.above.len(), self.points.len()] {
            out.extend_from_slice(&(count as u32).to_le_bytes());
        }
        let points = self.points.iter().map(|point| (point.end, point.by_ms.cast_unsigned()));
        for (first, second) in self.above.iter().copied().chain(points) {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&second.to_le_bytes());
        }
        out
    }

    /// The cursor in a body, whose checksum was right: it is not damaged.
    pub(crate) fn decode(body: &[u8]) -> Result<Cursor, BodyError> {
        let version = body.first_chunk().map_or(0, |version| u16::from_le_bytes(*version));
        let decoded = match version {
            1 => Cursor::decode_v1(body),
            2 => Cursor::decode_with_losses(body, LEN_V2, &[DropReason::Full, DropReason::Expired]),
            3 => Cursor::decode_with_losses(body, LEN, &DropReason::ALL),
            _ => return Err(BodyError::Version(version)),
        };
        decoded.filter(Cursor::makes_sense).ok_or(BodyError::Senseless)
    }

    /// Whether this can have been written: no sequence is beyond what a queue can reach, and ranges are in order.
    fn makes_sense(&self) -> bool {
        let bounds = [self.acked, self.durable].into_iter();
        let ranges = self.above.iter().flat_map(|&(first, end)| [first, end]);
        bounds.clone().chain(ranges.clone()).all(|sequence| sequence <= SEQUENCE_MAX)
            && self.acked > 0
            && std::iter::once(self.acked).chain(ranges).is_sorted()
    }

    fn decode_v1(body: &[u8]) -> Option<Cursor> {
        let (fixed, ranges) = body.split_at_checked(LEN_V1)?;
        let above = pairs(ranges)?;
        Some(Cursor { above, ..Cursor::decode_common(fixed)? })
    }

    /// A body whose fixed part is `len` long, and tells of these reasons.
    fn decode_with_losses(body: &[u8], len: usize, reasons: &[DropReason]) -> Option<Cursor> {
        let (fixed, rest) = body.split_at_checked(len)?;
        let (fixed, counts) = fixed.split_last_chunk::<8>()?;
        let count = |at: usize| Some(u32::from_le_bytes(*counts.get(at..)?.first_chunk()?) as usize);
        let (ranges, points) = rest.split_at_checked(PAIR_LEN.checked_mul(count(0)?)?)?;
        let points = pairs(points)?.into_iter();
        let points: Vec<_> = points.map(|(end, by_ms)| Point { end, by_ms: by_ms.cast_signed() }).collect();
        if points.len() != count(4)? {
            return None;
        }
        let mut losses = Losses::default();
        for (&reason, tally) in reasons.iter().zip(fixed.get(LEN_V1..)?.chunks(TALLY_LEN)) {
            let [batches, events, payload_bytes, raw_bytes] = words(tally)?;
            losses.add(reason, Tally { batches, events, payload_bytes, raw_bytes });
        }
        Some(Cursor { losses, above: pairs(ranges)?, points, ..Cursor::decode_common(fixed)? })
    }

    /// The part that is the same in all versions.
    fn decode_common(fixed: &[u8]) -> Option<Cursor> {
        let queue_id = u128::from_le_bytes(*fixed.get(8..)?.first_chunk()?);
        let [acked, durable, events, payload_bytes, raw_bytes] = words(fixed.get(24..64)?)?;
        let delivered = Weight { events, payload_bytes, raw_bytes };
        Some(Cursor { queue_id, acked, durable, delivered, ..Cursor::default() })
    }
}

fn weight_words(weight: Weight) -> [u64; 3] {
    [weight.events, weight.payload_bytes, weight.raw_bytes]
}

fn tally_words(tally: Tally) -> [u64; 4] {
    [tally.batches, tally.events, tally.payload_bytes, tally.raw_bytes]
}

fn words<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (words, rest) = bytes.as_chunks();
    let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    rest.is_empty().then(|| words.try_into().ok())?
}

fn pairs(bytes: &[u8]) -> Option<Vec<(u64, u64)>> {
    let (pairs, rest) = bytes.as_chunks::<PAIR_LEN>();
    let pair = |pair: &[u8; PAIR_LEN]| words::<2>(pair).map(|[first, second]| (first, second));
    rest.is_empty().then(|| pairs.iter().map(pair).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        let tally = |batches| Tally { batches, events: 20, payload_bytes: 300, raw_bytes: 4_000 };
        let mut losses = Losses::default();
        losses.add(DropReason::Full, tally(2));
        losses.add(DropReason::Expired, tally(1));
        losses.add(DropReason::Purged, tally(3));
        Cursor {
            queue_id: 1,
            acked: 2,
            durable: 30,
            delivered: Weight { events: 5, payload_bytes: 6, raw_bytes: 7 },
            losses,
            above: vec![(4, 5), (7, 29)],
            points: vec![Point { end: 2, by_ms: -1 }, Point { end: 9, by_ms: 1 << 40 }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for cursor in [cursor(), Cursor { acked: 1, ..Cursor::default() }] {
            assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut body = cursor().encode();
        body[0] = 4;
        assert_eq!(Cursor::decode(&body), Err(BodyError::Version(4)));
        assert_eq!(Cursor::decode(&[]), Err(BodyError::Version(0)));
    }

    #[test]
    fn a_body_of_another_length_is_refused() {
        let body = cursor().encode();
        for len in 2..body.len() {
            assert_eq!(Cursor::decode(&body[..len]), Err(BodyError::Senseless), "{len}");
        }
        assert_eq!(Cursor::decode(&[&body[..], &[0; 16]].concat()), Err(BodyError::Senseless));
    }

    #[test]
    fn numbers_that_nothing_can_have_written_are_refused() {
        let senseless = |cursor: Cursor| {
            assert_eq!(Cursor::decode(&cursor.encode()), Err(BodyError::Senseless), "{cursor:?}");
        };
        senseless(Cursor { acked: 0, ..cursor() });
        senseless(Cursor { durable: SEQUENCE_MAX + 1, ..cursor() });
        senseless(Cursor { above: vec![(1, 5)], ..cursor() });
        senseless(Cursor { above: vec![(5, 4)], ..cursor() });
        senseless(Cursor { above: vec![(4, u64::MAX)], ..cursor() });
    }

    #[test]
    fn version_2_is_read() {
        let mut body = cursor().encode();
        body.drain(LEN_V2 - 8..LEN - 8);
        body[0] = 2;
        let losses = Losses { purged: Tally::default(), ..cursor().losses };
        assert_eq!(Cursor::decode(&body), Ok(Cursor { losses, ..cursor() }));
        body.pop();
        assert_eq!(Cursor::decode(&body), Err(BodyError::Senseless));
    }

    #[test]
    fn version_1_is_read() {
        let mut body = cursor().encode();
        let ranges = body[LEN..LEN + 2 * PAIR_LEN].to_vec();
        body.truncate(LEN_V1);
        body.extend(ranges);
        body[0] = 1;
        let expected = Cursor { losses: Losses::default(), points: Vec::new(), ..cursor() };
        assert_eq!(Cursor::decode(&body), Ok(expected));
        body.pop();
        assert_eq!(Cursor::decode(&body), Err(BodyError::Senseless));
    }
}
