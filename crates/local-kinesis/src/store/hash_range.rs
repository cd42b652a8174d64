//! Ranges of the 128-bit hash space that shards divide among themselves.

use md5::{Digest, Md5};

/// A range of hash keys, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashRange {
    /// The lowest key in it.
    pub(crate) start: u128,
    /// The highest key in it.
    pub(crate) end: u128,
}

impl HashRange {
    /// Divides the whole space evenly; the last range takes the remainder, as the service does.
    pub(crate) fn divide(shards: u32) -> Vec<Self> {
        assert!(shards > 0, "a stream has at least one shard");
        let count = u128::from(shards);
        // floor(2^128 / count), which 2^128 - 1 gives too unless count divides 2^128.
        let width = (u128::MAX / count).wrapping_add(u128::from(u128::MAX % count == count - 1));
        let range = |index: u128| Self {
            start: index * width,
            end: if index + 1 == count { u128::MAX } else { (index + 1) * width - 1 },
        };
        (0..count).map(range).collect()
    }

    /// Two ranges, the second beginning with `at`; none unless `at` lies within, as the service wants it.
    pub(crate) fn split(self, at: u128) -> Option<(Self, Self)> {
        let within = at > self.start.saturating_add(1) && at < self.end;
        within.then(|| (Self { start: self.start, end: at - 1 }, Self { start: at, end: self.end }))
    }

    /// One range of this one and the next; none unless `next` begins where this one ends.
    pub(crate) fn merge(self, next: Self) -> Option<Self> {
        let adjacent = self.end.checked_add(1) == Some(next.start);
        adjacent.then_some(Self { start: self.start, end: next.end })
    }
}

/// Where a partition key hashes to: its MD5 as a number.
pub(crate) fn hash_of(partition_key: &str) -> u128 {
    let digest: [u8; 16] = Md5::digest(partition_key.as_bytes()).into();
    digest.iter().fold(0, |hash, byte| (hash << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_like_the_service() {
        let range = |start, end| HashRange { start, end };
        assert_eq!(HashRange::divide(1), [range(0, u128::MAX)]);
        assert_eq!(
            HashRange::divide(3),
            [
                range(0, 113_427_455_640_312_821_154_458_202_477_256_070_484),
                range(
                    113_427_455_640_312_821_154_458_202_477_256_070_485,
                    226_854_911_280_625_642_308_916_404_954_512_140_969
                ),
                range(226_854_911_280_625_642_308_916_404_954_512_140_970, u128::MAX),
            ]
        );
        assert_eq!(HashRange::divide(2).first(), Some(&range(0, u128::MAX / 2)));
    }

    #[test]
    fn splits_only_within() {
        let range = HashRange { start: 10, end: 20 };
        for at in [0, 10, 11, 20, 21] {
            assert_eq!(range.split(at), None, "{at}");
        }
        for at in [12, 15, 19] {
            let (low, high) = range.split(at).unwrap();
            assert_eq!((low.start, low.end, high.start, high.end), (10, at - 1, at, 20));
            assert_eq!(low.merge(high), Some(range));
            assert_eq!(high.merge(low), None);
        }
        assert_eq!(HashRange { start: 0, end: u128::MAX }.merge(range), None);
    }

    #[test]
    fn hashes_like_the_service() {
        // printf a | md5sum
        assert_eq!(hash_of("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    }
}
