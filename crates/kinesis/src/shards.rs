//! Do the open shards of a stream cover the whole hash range? Pure.

/// One shard, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// `shardId-000000000000`.
    pub id: String,
    /// First hash key, inclusive, in decimal as the service writes it.
    pub starting_hash_key: String,
    /// Last hash key, inclusive.
    pub ending_hash_key: String,
    /// Still takes records: its range of sequence numbers has no end.
    pub open: bool,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardPage {
    /// The shards on this page, open and closed.
    pub shards: Vec<Shard>,
    /// There is more: the token (ListShards) or the last shard's id (DescribeStream).
    pub next: Option<String>,
    /// The status of the stream (`ACTIVE`, `CREATING`, …), if the answer tells.
    pub stream_status: Option<String>,
}

/// The verdict on a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every hash key has an open shard.
    Covered {
        /// How many are open.
        open_shards: u32,
    },
    /// Some hash keys have none.
    Not {
        /// One sentence.
        because: String,
    },
}

/// An open shard's range, both ends inclusive.
struct Range<'a> {
    start: u128,
    end: u128,
    id: &'a str,
}

/// Judges all pages of a listing together. Overlaps are fine: while a reshard is under way, pages
/// show parents and children side by side.
pub fn coverage(pages: &[ShardPage]) -> Coverage {
    match check(pages) {
        Ok(open_shards) => Coverage::Covered { open_shards },
        Err(because) => Coverage::Not { because },
    }
}

fn check(pages: &[ShardPage]) -> Result<u32, String> {
    let status = pages.iter().rev().find_map(|page| page.stream_status.as_deref());
    if let Some(status @ ("CREATING" | "DELETING")) = status {
        return Err(format!("the stream is {status}"));
    }
    let mut ranges = Vec::new();
    for shard in pages.iter().flat_map(|page| &page.shards).filter(|shard| shard.open) {
        ranges.push(range_of(shard)?);
    }
    if ranges.is_empty() {
        return Err("the stream has no open shard".to_owned());
    }
    ranges.sort_by_key(|range| (range.start, range.end));

    // `next` is the first hash key that has no shard so far; `None` when all have one.
    let mut next = Some(0_u128);
    for range in &ranges {
        let Some(uncovered) = next else { break };
        if range.start > uncovered {
            return Err(gap(uncovered, range.start - 1, Some(range.id)));
        }
        if range.end >= uncovered {
            next = range.end.checked_add(1);
        }
    }
    if let Some(uncovered) = next {
        return Err(gap(uncovered, u128::MAX, None));
    }
    // The same shard may be on two pages when the listing changed between them.
    let mut ids: Vec<&str> = ranges.iter().map(|range| range.id).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(u32::try_from(ids.len()).unwrap_or(u32::MAX))
}

fn range_of(shard: &Shard) -> Result<Range<'_>, String> {
    let parse = |key: &str| {
        key.parse::<u128>()
            .map_err(|_| format!("shard {} has the hash key {key:?}, which is no 128-bit number", shard.id))
    };
    let range =
        Range { start: parse(&shard.starting_hash_key)?, end: parse(&shard.ending_hash_key)?, id: &shard.id };
    if range.start > range.end {
        return Err(format!("the hash range of shard {} ends before it begins", shard.id));
    }
    Ok(range)
}

fn gap(from: u128, to: u128, before: Option<&str>) -> String {
    let share = (to - from) as f64 / u128::MAX as f64 * 100.0;
    let place = match before {
        Some(id) => format!("below shard {id}"),
        None => "at the end of the range".to_owned(),
    };
    format!("no open shard takes the hash keys {from} to {to} ({share:.1} % of all, {place})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u128 = 1 << 127;

    fn shard(number: u32, start: u128, end: u128, open: bool) -> Shard {
        Shard {
            id: format!("shardId-{number:012}"),
            starting_hash_key: start.to_string(),
            ending_hash_key: end.to_string(),
            open,
        }
    }

    fn page(shards: Vec<Shard>) -> ShardPage {
        ShardPage { shards, ..ShardPage::default() }
    }

    fn check(pages: &[ShardPage], expected: Result<u32, &str>) {
        match (coverage(pages), expected) {
            (Coverage::Covered { open_shards }, Ok(count)) => assert_eq!(open_shards, count),
            (Coverage::Not { because }, Err(words)) => {
                assert!(because.contains(words), "{because:?} should contain {words:?}");
            }
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn one_shard_covers_everything() {
        check(&[page(vec![shard(0, 0, u128::MAX, true)])], Ok(1));
    }

    #[test]
    fn order_and_pages_do_not_matter() {
        let low = shard(0, 0, HALF - 1, true);
        let high = shard(1, HALF, u128::MAX, true);
        check(&[page(vec![high.clone()]), page(vec![low.clone()])], Ok(2));
        check(&[page(vec![low.clone(), high]), page(vec![low])], Ok(2));
    }

    #[test]
    fn gaps_are_named() {
        let low = |end| shard(0, 0, end, true);
        let high = |start| shard(1, start, u128::MAX, true);
        check(&[page(vec![low(HALF - 2), high(HALF)])], Err("below shard shardId-000000000001"));
        check(&[page(vec![low(HALF - 1)])], Err("50.0 % of all, at the end"));
        check(&[page(vec![high(1)])], Err("the hash keys 0 to 0"));
        check(&[page(vec![low(u128::MAX - 1)])], Err("at the end"));
    }

    #[test]
    fn closed_shards_do_not_count() {
        let parent = shard(0, 0, u128::MAX, false);
        let low = shard(1, 0, HALF - 1, true);
        let high = shard(2, HALF, u128::MAX, true);
        check(&[page(vec![parent.clone(), low.clone(), high])], Ok(2));
        check(&[page(vec![parent.clone(), low])], Err("at the end"));
        check(&[page(vec![parent])], Err("no open shard"));
        check(&[page(vec![])], Err("no open shard"));
        check(&[], Err("no open shard"));
    }

    #[test]
    fn overlaps_of_a_reshard_are_covered() {
        let parent = shard(0, 0, u128::MAX, true);
        let low = shard(1, 0, HALF - 1, true);
        check(&[page(vec![parent, low])], Ok(2));
        let nested = [shard(0, 0, HALF, true), shard(1, 5, 9, true), shard(2, HALF + 1, u128::MAX, true)];
        check(&[page(nested.to_vec())], Ok(3));
    }

    #[test]
    fn nonsense_is_not_covered() {
        let mut odd = shard(0, 0, u128::MAX, true);
        odd.ending_hash_key = "340282366920938463463374607431768211456".to_owned();
        check(&[page(vec![odd])], Err("no 128-bit number"));
        check(&[page(vec![shard(0, 9, 3, true)])], Err("ends before it begins"));
    }

    #[test]
    fn a_stream_that_is_not_there_yet_is_not_covered() {
        let status = |status: &str| ShardPage {
            shards: vec![shard(0, 0, u128::MAX, true)],
            next: None,
            stream_status: Some(status.to_owned()),
        };
        check(&[status("ACTIVE")], Ok(1));
        check(&[status("UPDATING")], Ok(1));
        check(&[status("CREATING")], Err("CREATING"));
        check(&[status("DELETING")], Err("DELETING"));
    }
}
