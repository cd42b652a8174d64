//! The batches of a queue that a command is about, read beside whoever owns it. Nothing is written.

use std::io;

use millpond_kinesis::{Batch, Format};
use millpond_queue::inspect::{self, Entry, SegmentState, Standing};
use millpond_queue::{BatchInfo, Frame, Fs, Sequence};

use crate::backlog::meta_of;
use crate::terminal::human::TimeArg;

/// Which batches.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct BatchArgs {
    /// From this time on; by when the events were taken in
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArg>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,
    /// From this batch on
    #[arg(long, value_name = "SEQ")]
    from_seq: Option<u64>,
    /// Up to this batch, and with it
    #[arg(long, value_name = "SEQ")]
    to_seq: Option<u64>,
    /// What is delivered and still on disk, too
    #[arg(long)]
    all: bool,
}

/// A stretch of time in milliseconds since the Unix epoch, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Between {
    since_ms: i64,
    until_ms: i64,
}

impl Between {
    #[cfg(test)]
    pub(super) fn of(since_ms: i64, until_ms: i64) -> Self {
        Self { since_ms, until_ms }
    }

    /// Whether this time is in it.
    pub(super) fn contains(self, time_ms: i64) -> bool {
        (self.since_ms..self.until_ms).contains(&time_ms)
    }

    /// Whether any of what lies from `first_ms` to `last_ms` is in it.
    fn touches(self, first_ms: i64, last_ms: i64) -> bool {
        first_ms < self.until_ms && last_ms >= self.since_ms
    }

    /// Whether all of it is.
    pub(super) fn holds(self, first_ms: i64, last_ms: i64) -> bool {
        first_ms >= self.since_ms && last_ms < self.until_ms
    }
}

impl BatchArgs {
    /// The stretch of time, if there is one.
    pub(super) fn between(&self) -> Option<Between> {
        (self.since.is_some() || self.until.is_some()).then(|| Between {
            since_ms: self.since.map_or(i64::MIN, |time| time.0),
            until_ms: self.until.map_or(i64::MAX, |time| time.0),
        })
    }
}

/// What a walk over the batches meets.
#[derive(Debug)]
pub(super) enum Met {
    /// A batch.
    Batch {
        /// Its number.
        sequence: Sequence,
        /// What the queue notes about it.
        info: BatchInfo,
        /// Its records.
        batch: Batch,
    },
    /// Something that is no batch, in words.
    Trouble(String),
}

/// The batches that are meant, oldest first. What cannot be of interest is not read: segments in front of the cursor, and,
/// where there is a stretch of time, those that lie outside of it.
pub(super) fn walk(storage: Fs, args: &BatchArgs) -> io::Result<impl Iterator<Item = io::Result<Met>>> {
    let standing = if args.all { Standing::default() } else { inspect::standing(&storage)? };
    let from = Sequence(args.from_seq.unwrap_or(0)).max(standing.acked);
    let end = args.to_seq.map_or(u64::MAX, |last| last.saturating_add(1));
    let between = args.between();
    let runs = match between {
        None => vec![(0, u64::MAX)],
        Some(between) => runs(&storage, between)?,
    };
    let entries = runs.into_iter().flat_map(move |(first, run_end)| {
        let (from, end) = (from.max(Sequence(first)), Sequence(end.min(run_end)));
        inspect::entries(storage.clone(), from).take_while(move |entry| is_before(entry, end))
    });
    let met = move |entry| match entry {
        Entry::Frame(frame) if standing.is_settled(frame.sequence) => None,
        Entry::Frame(frame) => {
            let touches =
                |between: Between| between.touches(frame.info.first_time_ms, frame.info.last_time_ms);
            between.is_none_or(touches).then(|| decode(frame))
        }
        // What is lost in front of where the walk begins is nobody's question.
        Entry::Damaged { first, end, .. } if end <= from && first < end => None,
        Entry::Damaged { file, position, first, end, reason, .. } => {
            let lost = match end.0.saturating_sub(first.0) {
                0 => "no batch can be told from it".to_owned(),
                1 => format!("batch {first} cannot be read"),
                _ => format!("batches {first} to {} cannot be read", end.0 - 1),
            };
            Some(Met::Trouble(format!("{file}, byte {position}: {reason}; {lost}")))
        }
        _ => None,
    };
    Ok(entries.filter_map(move |entry| entry.map(&met).transpose()))
}

fn is_before(entry: &io::Result<Entry>, sequence: Sequence) -> bool {
    match entry {
        Ok(Entry::Frame(frame)) => frame.sequence < sequence,
        Ok(Entry::Damaged { first, .. }) => *first < sequence,
        _ => true,
    }
}

/// The sequences of the segments that may hold something of this stretch of time; neighbours are one run.
fn runs(storage: &Fs, between: Between) -> io::Result<Vec<(u64, u64)>> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for segment in inspect::overview(storage)?.segments {
        let touches = match (segment.first_time_ms, segment.last_time_ms) {
            (Some(first_ms), Some(last_ms)) => between.touches(first_ms, last_ms),
            _ => false,
        };
        if !touches && segment.state != SegmentState::Damaged {
            continue;
        }
        // The one that is appended to grows meanwhile, and of a damaged one the end is not certain.
        let end = match segment.state {
            SegmentState::Sealed | SegmentState::Delivered => segment.end.0,
            SegmentState::Active | SegmentState::Damaged => segment.end.0.max(segment.first.0 + 1),
        };
        match runs.last_mut() {
            Some((_, run_end)) if *run_end >= segment.first.0 => *run_end = end.max(*run_end),
            _ => runs.push((segment.first.0, end)),
        }
    }
    Ok(runs)
}

fn decode(frame: Frame) -> Met {
    let (sequence, info) = (frame.sequence, frame.info);
    let Some(format) = Format::from_code(info.kind) else {
        let kind = info.kind;
        return Met::Trouble(format!(
            "batch {sequence} has the kind {kind}, which is none for Kinesis: a newer millpond wrote it, or this is \
             no queue of an output"
        ));
    };
    match Batch::from_payload(meta_of(format, &info), frame.payload) {
        Ok(batch) => Met::Batch { sequence, info, batch },
        Err(error) => Met::Trouble(format!("batch {sequence} cannot be taken apart: {error}")),
    }
}
