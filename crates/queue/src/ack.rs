//! What is acknowledged: a low-water mark, and ranges above it. Pure.

use std::collections::BTreeMap;

/// A low-water mark with the ranges above it that are settled as well.
#[derive(Debug, Clone)]
pub(crate) struct AckWindow {
    low: u64,
    /// First sequence → end (exclusive); disjoint, not touching, all above `low`.
    above: BTreeMap<u64, u64>,
}

impl AckWindow {
    pub(crate) fn new(low: u64) -> AckWindow {
        AckWindow { low, above: BTreeMap::new() }
    }

    /// Everything below is settled.
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// The ranges above the low-water mark that are settled as well, ascending: first, end (exclusive).
    pub(crate) fn above(&self) -> impl Iterator<Item = (u64, u64)> {
        self.above.iter().map(|(&first, &end)| (first, end))
    }

    /// Whether a sequence is settled.
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let range = self.above.range(..=sequence).next_back();
        sequence < self.low || range.is_some_and(|(_, &end)| sequence < end)
    }

    /// Settles `first..end`; parts may be settled already.
    pub(crate) fn settle(&mut self, first: u64, end: u64) {
        let mut first = first.max(self.low);
        let mut end = end;
        if first >= end {
            return;
        }
        // Take in every range that overlaps or touches.
        while let Some((&other, &other_end)) = self.above.range(..=end).next_back() {
            if other_end < first {
                break;
            }
            self.above.remove(&other);
            first = first.min(other);
            end = end.max(other_end);
        }
        if first == self.low {
            self.low = end;
        } else {
            self.above.insert(first, end);
        }
        debug_assert!(self.above.keys().next().is_none_or(|&next| next > self.low));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn agrees_with_a_set() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut window = AckWindow::new(1);
            let mut set = BTreeSet::new();
            for _ in 0..40 {
                let first = random.u64(0..40);
                let end = first + random.u64(0..6);
                window.settle(first, end);
                set.extend(first.max(1)..end);
                let low = (1..).find(|sequence| !set.contains(sequence)).unwrap();
                assert_eq!(window.low(), low, "seed {seed}");
                let above: BTreeSet<u64> = window.above.iter().flat_map(|(&a, &b)| a..b).collect();
                let expected: BTreeSet<u64> = set.iter().copied().filter(|&s| s > low).collect();
                assert_eq!(above, expected, "seed {seed}");
                for sequence in 1..50 {
                    assert_eq!(window.contains(sequence), set.contains(&sequence), "seed {seed}");
                }
            }
        }
    }
}
