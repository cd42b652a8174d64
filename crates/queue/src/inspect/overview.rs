//! What a queue holds, without reading payloads.

use std::{collections::BTreeMap, io};

use super::{
    consumers::{known_from, read_consumers, read_cursor},
    list_bases,
    segment::{Found, Known, Opened},
};
use crate::{
    batch::{BatchInfo, Losses, Sequence, Tally},
    cursor::Cursor,
    quarantine,
    storage::Storage,
    summary::Weight,
};

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// Being appended to (or left behind without a seal by a crash).
    Active,
    /// Closed for good.
    Sealed,
    /// Every batch in it is acknowledged.
    Delivered,
    /// Part of it cannot be read.
    Damaged,
}

/// One segment, as far as can be told without reading every payload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// The file, relative to the queue's directory.
    pub file: String,
    /// Its first sequence.
    pub first: Sequence,
    /// The sequence after its last one (equal to `first` when it is empty).
    pub end: Sequence,
    /// Batches that can be read, by their headers.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Payload bytes in them.
    pub payload_bytes: u64,
    /// Bytes of their events before compression.
    pub raw_bytes: u64,
    /// Real bytes on disk.
    pub disk_bytes: u64,
    /// Time of the oldest event, in milliseconds since the Unix epoch.
    pub first_time_ms: Option<i64>,
    /// Time of the newest event, in milliseconds since the Unix epoch.
    pub last_time_ms: Option<i64>,
    /// When its first batch was appended, in milliseconds since the Unix epoch.
    pub first_appended_ms: Option<i64>,
    /// What of it the queue's own consumer has not settled.
    pub pending: Tally,
    /// Files in `quarantine/` that hold bytes of it: each is damage that was found.
    pub set_aside: u64,
    /// What it is.
    pub state: SegmentState,
}

/// A consumer beside the queue's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Its low-water mark.
    pub acked: Sequence,
    /// What is on disk and not settled for it.
    pub pending: Tally,
}

/// A look at a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overview {
    /// Which queue it is; copies of it have the same id. `None` without a cursor.
    pub queue_id: Option<u128>,
    /// The segments, oldest first.
    pub segments: Vec<Segment>,
    /// The low-water mark of the newest valid cursor: what was durable of it when it was written.
    pub acked: Option<Sequence>,
    /// The sequence after the last batch, as far as the files say.
    pub end: Sequence,
    /// The named consumers, by name.
    pub consumers: Vec<Consumer>,
    /// What was given up by policy since the queue began, by the newest valid cursor.
    pub losses: Losses,
    /// Batches on disk that are not acknowledged, by the segments' summaries.
    pub pending_batches: u64,
    /// What they amount to.
    pub pending: Tally,
    /// What is known of the first of them, by its header.
    pub oldest: Option<BatchInfo>,
    /// Files in `quarantine/`.
    pub quarantined_files: u64,
    /// Real bytes of them; part of `disk_bytes`.
    pub quarantine_bytes: u64,
    /// Real bytes of all files of the queue.
    pub disk_bytes: u64,
}

/// Looks at the queue in `storage`.
///
/// Payloads are not read: damage in them shows in [`super::entries`] and [`super::Verify`].
pub fn overview<S: Storage>(storage: &S) -> io::Result<Overview> {
    let cursor = read_cursor(storage)?;
    let named = read_consumers(storage)?;
    let known = known_from(cursor.as_ref(), &named);
    let acked = cursor.as_ref().map(|cursor| cursor.acked);
    let bases = list_bases(storage)?;
    let quarantined = storage.list(quarantine::DIRECTORY)?;
    let mut overview = Overview {
        queue_id: known.queue_id,
        segments: Vec::with_capacity(bases.len()),
        acked: acked.map(Sequence),
        end: Sequence(known.durable.max(Sequence::FIRST.0)),
        consumers: named.iter().map(|(name, cursor)| Consumer::at(name, cursor)).collect(),
        losses: cursor.as_ref().map(|cursor| cursor.losses).unwrap_or_default(),
        pending_batches: 0,
        pending: Tally::default(),
        oldest: None,
        quarantined_files: quarantined.len() as u64,
        quarantine_bytes: storage.directory_bytes(quarantine::DIRECTORY)?,
        disk_bytes: storage.directory_bytes("")?,
    };
    let set_aside = set_aside(&quarantined);
    for (index, &base) in bases.iter().enumerate() {
        let next_base = bases.get(index + 1).copied();
        let Some(mut opened) = Opened::open(storage, base, next_base, known)? else { continue };
        let before = opened.before();
        let mut segment = opened.describe(acked.unwrap_or(0))?;
        segment.set_aside = set_aside.get(&base).copied().unwrap_or(0);
        segment.pending = pending(&segment, before, cursor.as_ref());
        for (consumer, (_, cursor)) in overview.consumers.iter_mut().zip(&named) {
            consumer.pending = consumer.pending.plus(pending(&segment, before, Some(cursor)));
        }
        overview.pending = overview.pending.plus(segment.pending);
        overview.pending_batches = overview.pending.batches;
        overview.end = overview.end.max(segment.end);
        if overview.oldest.is_none() && segment.pending.batches > 0 {
            overview.oldest = oldest(storage, (base, next_base), known, acked.unwrap_or(0))?;
        }
        overview.segments.push(segment);
    }
    Ok(overview)
}

impl Consumer {
    fn at(name: &str, cursor: &Cursor) -> Consumer {
        Consumer { name: name.to_owned(), acked: Sequence(cursor.acked), pending: Tally::default() }
    }
}

/// How many files of the quarantine hold bytes of which segment.
fn set_aside(quarantined: &[String]) -> BTreeMap<u64, u64> {
    let mut files = BTreeMap::new();
    for base in quarantined.iter().filter_map(|file| quarantine::base_in(file)) {
        *files.entry(base).or_insert(0) += 1;
    }
    files
}

/// What a segment holds that a consumer has not settled. Exact but for batches that are settled above its low-water mark:
/// those count as average ones of the segment.
fn pending(segment: &Segment, before: Option<Weight>, cursor: Option<&Cursor>) -> Tally {
    let all =
        Weight { events: segment.events, payload_bytes: segment.payload_bytes, raw_bytes: segment.raw_bytes };
    let (first, end) = (segment.first.0, segment.end.0);
    let Some(cursor) = cursor else { return all.tally(segment.batches) };
    let low = cursor.acked.max(first);
    if low >= end {
        return Tally::default();
    }
    let left = match before {
        Some(before) if low > first => {
            before.plus(all).without(cursor.delivered.at_least(before)).at_most(all)
        }
        _ => all,
    };
    let batches = (end - low).min(segment.batches);
    let above = cursor.above.iter().map(|&(first, upto)| upto.min(end).saturating_sub(first.max(low)));
    let settled = above.fold(0, u64::saturating_add).min(batches);
    left.without(left.share(settled, batches)).tally(batches - settled)
}

/// What is known of the first batch of a segment from `low` on, by its header.
fn oldest<S: Storage>(
    storage: &S,
    (base, next_base): (u64, Option<u64>),
    known: Known,
    low: u64,
) -> io::Result<Option<BatchInfo>> {
    let Some(mut opened) = Opened::open(storage, base, next_base, known)? else { return Ok(None) };
    opened.headers_only();
    while let Some(found) = opened.next(low)? {
        if let Found::Frame(stored) = found {
            return Ok(Some(stored.frame.info));
        }
    }
    Ok(None)
}
