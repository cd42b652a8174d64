//! One stream: its shards, routing among them, splitting and merging them.

use std::sync::Arc;

use super::hash_range::HashRange;
use super::shard::{Parents, Shard};
use crate::StreamSpec;

/// A stream. Shards are never removed, so a shard's number is its index.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: Arc<str>,
    pub(crate) created_ms: i64,
    /// Data and key of one record.
    pub(crate) record_bytes_max: usize,
    pub(crate) shards: Vec<Shard>,
    /// Indices of the open shards, by hash range. They cover the space without gap or overlap.
    open: Vec<usize>,
}

/// Why shards cannot be split or merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReshardError {
    /// The shard has been split or merged before.
    Closed(u32),
    /// The new range would not begin within the shard's.
    Outside,
    /// The second shard does not begin where the first one ends.
    NotAdjacent,
}

impl Stream {
    pub(crate) fn new(spec: &StreamSpec, now_ms: i64) -> Self {
        let mut stream = Self {
            name: spec.name.as_str().into(),
            created_ms: now_ms,
            record_bytes_max: spec.record_kib_max as usize * 1024,
            shards: Vec::new(),
            open: Vec::new(),
        };
        for range in HashRange::divide(spec.shards) {
            stream.add(range, Parents::default(), now_ms);
        }
        stream
    }

    /// The index of the open shard that takes this hash.
    pub(crate) fn route(&self, hash: u128) -> usize {
        let after = self.open.partition_point(|index| self.shards[*index].range.start <= hash);
        let index = after.checked_sub(1).and_then(|before| self.open.get(before));
        *index.expect("open shards cover the hash space from 0 on")
    }

    /// Whether the shard takes records.
    pub(crate) fn is_open(&self, index: usize) -> bool {
        self.shards.get(index).is_some_and(|shard| shard.closed_ms.is_none())
    }

    /// The open shards, by hash range.
    pub(crate) fn open_shards(&self) -> impl Iterator<Item = &Shard> {
        self.open.iter().map(|index| &self.shards[*index])
    }

    /// Replaces an open shard by two; the second begins with hash `at`.
    pub(crate) fn split(&mut self, index: usize, at: u128, now_ms: i64) -> Result<(), ReshardError> {
        let shard = &self.shards[index];
        let (low, high) = shard.range.split(at).ok_or(ReshardError::Outside)?;
        if shard.closed_ms.is_some() {
            return Err(ReshardError::Closed(shard.number));
        }
        let parents = Parents { parent: Some(shard.id.clone()), adjacent: None };
        let closed_ms = self.close(&[index], now_ms);
        self.add(low, parents.clone(), closed_ms);
        self.add(high, parents, closed_ms);
        Ok(())
    }

    /// Replaces two open neighbours by one.
    pub(crate) fn merge(&mut self, index: usize, next: usize, now_ms: i64) -> Result<(), ReshardError> {
        if let Some(closed) = [index, next].into_iter().find(|index| !self.is_open(*index)) {
            return Err(ReshardError::Closed(self.shards[closed].number));
        }
        let (lower, upper) = (&self.shards[index], &self.shards[next]);
        let range = lower.range.merge(upper.range).ok_or(ReshardError::NotAdjacent)?;
        let parents = Parents { parent: Some(lower.id.clone()), adjacent: Some(upper.id.clone()) };
        let closed_ms = self.close(&[index, next], now_ms);
        self.add(range, parents, closed_ms);
        Ok(())
    }

    /// Closes shards; gives when, which is when their children begin. A shard lasts a millisecond at least: so children are
    /// younger than their parents, their sequence numbers are greater, and at any time open shards cover the space.
    fn close(&mut self, indices: &[usize], now_ms: i64) -> i64 {
        let soonest = |index: &usize| self.shards[*index].created_ms + 1;
        let closed_ms = indices.iter().map(soonest).fold(now_ms, i64::max);
        self.open.retain(|open| !indices.contains(open));
        for index in indices {
            self.shards[*index].closed_ms = Some(closed_ms);
        }
        closed_ms
    }

    fn add(&mut self, range: HashRange, parents: Parents, now_ms: i64) {
        let index = self.shards.len();
        let number = u32::try_from(index).expect("a stream has fewer than 2^32 shards");
        let place = self.open.partition_point(|open| self.shards[*open].range.start < range.start);
        self.shards.push(Shard::new(number, range, parents, now_ms));
        self.open.insert(place, index);
    }

    /// The index of the shard that a name refers to. Only the number after the first `-` counts, as in the service.
    pub(crate) fn shard_index(name: &str) -> Option<u32> {
        let digits = name.split_once('-').map_or(name, |(_, digits)| digits);
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?;
        number.filter(|number| i32::try_from(*number).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(shards: u32) -> Stream {
        Stream::new(&StreamSpec::new("s", shards), 1000)
    }

    /// The open shards run from 0 to 2^128 - 1, in order, with no gap and no overlap, and route what they cover.
    fn check_covered(stream: &Stream) {
        let mut next = Some(0);
        for shard in stream.open_shards() {
            assert!(shard.closed_ms.is_none(), "{} is closed", shard.id);
            assert_eq!(Some(shard.range.start), next, "{} begins elsewhere", shard.id);
            assert!(shard.range.start <= shard.range.end);
            assert_eq!(stream.route(shard.range.start), shard.number as usize);
            assert_eq!(stream.route(shard.range.end), shard.number as usize);
            next = shard.range.end.checked_add(1);
        }
        assert_eq!(next, None, "the last shard ends before 2^128 - 1");
        let open = stream.shards.iter().filter(|shard| shard.closed_ms.is_none()).count();
        assert_eq!(open, stream.open_shards().count());
    }

    #[derive(Debug, Clone)]
    enum Op {
        Split(prop::sample::Index, u128),
        Merge(prop::sample::Index, prop::sample::Index),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let split =
            (any::<prop::sample::Index>(), any::<u128>()).prop_map(|(shard, at)| Op::Split(shard, at));
        let merge = any::<(prop::sample::Index, prop::sample::Index)>().prop_map(|(a, b)| Op::Merge(a, b));
        prop::collection::vec(prop_oneof![split, merge], 0..60)
    }

    proptest! {
        #[test]
        fn resharding_keeps_the_space_covered(shards in 1_u32..20, ops in ops()) {
            let mut stream = stream(shards);
            for (step, op) in ops.into_iter().enumerate() {
                let (now_ms, before) = (1000 + step as i64 / 4, stream.shards.len());
                let outcome = match op {
                    // Half of the points are aimed at the shard, or hardly any would hit it.
                    Op::Split(shard, at) => {
                        let index = shard.index(before);
                        let range = stream.shards[index].range;
                        let aimed = range.start + at % (range.end - range.start).max(1);
                        stream.split(index, if at & 1 == 0 { aimed } else { at }, now_ms)
                    }
                    Op::Merge(a, b) => {
                        let open: Vec<usize> = stream.open.clone();
                        let place = a.index(open.len());
                        let neighbour = open.get(place + 1).copied().unwrap_or(b.index(before));
                        stream.merge(open[place], neighbour, now_ms)
                    }
                };
                if outcome.is_err() {
                    prop_assert_eq!(stream.shards.len(), before, "a refused request changed something");
                }
                check_covered(&stream);
            }
            for shard in &stream.shards {
                for parent in [&shard.parent, &shard.adjacent_parent].into_iter().flatten() {
                    let parent = &stream.shards[Stream::shard_index(parent).unwrap() as usize];
                    let ending = parent.ending().expect("parents are closed").to_string();
                    prop_assert!(ending < shard.starting().to_string());
                }
            }
        }
    }

    #[test]
    fn children_inherit_and_parents_close() {
        let mut stream = stream(2);
        stream.split(0, 1 << 100, 2000).unwrap();
        assert_eq!(stream.split(0, 1 << 100, 2000), Err(ReshardError::Closed(0)));
        assert_eq!(stream.split(1, 1 << 100, 2000), Err(ReshardError::Outside));
        let parents: Vec<_> = stream.shards.iter().map(|shard| shard.parent.as_deref()).collect();
        assert_eq!(parents, [None, None, Some("shardId-000000000000"), Some("shardId-000000000000")]);
        check_covered(&stream);
    }

    #[test]
    fn merging_wants_neighbours_in_order() {
        let mut stream = stream(3);
        assert_eq!(stream.merge(0, 2, 2000), Err(ReshardError::NotAdjacent));
        assert_eq!(stream.merge(1, 0, 2000), Err(ReshardError::NotAdjacent));
        assert_eq!(stream.merge(0, 1, 2000), Ok(()));
        assert_eq!(stream.merge(0, 1, 2000), Err(ReshardError::Closed(0)));
        let child = stream.shards.last().unwrap();
        assert_eq!(child.parent.as_deref(), Some("shardId-000000000000"));
        assert_eq!(child.adjacent_parent.as_deref(), Some("shardId-000000000001"));
        check_covered(&stream);
    }

    #[test]
    fn shard_names() {
        for (name, expected) in [
            ("shardId-000000000005", Some(5)),
            ("shard-5", Some(5)),
            ("5", Some(5)),
            ("x-2147483647", Some(2_147_483_647)),
            ("x-2147483648", None),
            ("ABKLFD8", None),
            ("2.14E4", None),
            ("", None),
        ] {
            assert_eq!(Stream::shard_index(name), expected, "{name}");
        }
    }
}
