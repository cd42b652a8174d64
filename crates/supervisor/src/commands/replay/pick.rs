//! What a replay sends: which queue, and which of its batches.

use std::path::{Path, PathBuf};

use millpond_queue::inspect::{self, Segment, Standing};
use millpond_queue::storage::LockError;
use millpond_queue::{Fs, Sequence};

use super::super::failure::Failure;
use super::super::place::{self, Owner};
use super::{ReplayArgs, WhatArgs};
use crate::replay::course::Shared;
use crate::replay::range::{Range, Which};
use crate::replay::summary;
use crate::replay::walk::{Chosen, Kind, Walk};

/// What was picked.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) directory: PathBuf,
    /// Holds the queue's lock where what is pending is sent, so that no forwarder sends the same.
    pub(super) storage: Fs,
    /// Whose queue it is, where the configuration says so.
    pub(super) owner: Option<Owner>,
    pub(super) chosen: Chosen,
    /// What is pending is the affair of the process that runs; it may have said which one it is.
    pub(super) left_to: Option<Option<u32>>,
    pub(super) segments: Vec<Segment>,
    /// What can be had of the quarantine is meant, of these batches.
    pub(super) salvage: Option<Which>,
}

impl Picked {
    /// A walk over what is meant.
    pub(super) fn walk(&self, shared: &Shared) -> Result<Walk, Failure> {
        let (storage, chosen) = (self.storage.clone(), self.chosen.clone());
        match self.salvage {
            None => Ok(Walk::new(storage, chosen, shared.clone())),
            Some(which) => Walk::salvage(storage, chosen, which, shared.clone()).map_err(|error| {
                Failure::failed(format!("{}/quarantine: {error}", self.directory.display()))
            }),
        }
    }

    /// Events that are meant, as far as the segments' summaries tell it.
    pub(super) fn events(&self) -> u64 {
        let Chosen { range, standing, .. } = &self.chosen;
        let meant = self.segments.iter().filter(|segment| {
            let times = segment.first_time_ms.zip(segment.last_time_ms);
            times.is_none_or(|(first, last)| range.holds_time(first, last))
        });
        let events = meant.map(|segment| {
            let (first, end) = (segment.first.0, segment.end.0);
            let part = range.count(standing, first, end) as f64 / end.saturating_sub(first).max(1) as f64;
            (segment.events as f64 * part).round() as u64
        });
        events.sum()
    }

    /// Goes by these times instead of those on the command line: they are what those meant when the replay began.
    pub(super) fn set_times(&mut self, since_ms: Option<i64>, until_ms: Option<i64>) {
        let range = &mut self.chosen.range;
        range.since_ms = since_ms.unwrap_or(i64::MIN);
        range.until_ms = until_ms.unwrap_or(i64::MAX);
        skip_segments(range, &self.segments);
    }
}

/// Finds the queue and the batches that are meant.
pub(super) fn pick(args: &ReplayArgs) -> Result<Picked, Failure> {
    let (owner, directory) = match &args.path {
        Some(directory) => (None, directory.clone()),
        None => {
            let owner = place::owner(args.config.load()?, args.output.as_deref())?;
            let directory = match args.what.dead_letters {
                true => owner.config.data_dir.join("dead-letters").join(&owner.output().id),
                false => owner.output().queue_directory(),
            };
            (Some(owner), directory)
        }
    };
    if args.what.dead_letters && !directory.exists() {
        let shown = directory.display();
        return Err(Failure::failed(format!(
            "there are no dead letters: {shown} is made when the first event is refused"
        )));
    }
    let storage = place::open_for_looking(&directory)?;
    let unreadable = |error| Failure::failed(format!("{}: {error}", directory.display()));
    let kind = if args.what.dead_letters { Kind::Letters } else { Kind::Batches };
    let which = which(&args.what);
    let left_to = own(args, &storage, &directory, kind, which)?;
    // After the lock: what is settled then stays settled, and nothing becomes settled while it is held.
    let standing = inspect::standing(&storage).map_err(unreadable)?;
    if args.what.quarantine {
        return quarantine(args, directory, storage, owner, standing.queue_id);
    }
    let overview = inspect::overview(&storage).map_err(unreadable)?;
    let mut range = range(&args.what, which, &overview.segments)?;
    // What is settled behind a gap is left for another run: the course of a replay passes everything once, and what is in
    // the gap will be settled, too.
    let mut left = None;
    if let Some(pid) = left_to {
        let settled = Range { which: Which::Retained, end: range.end.min(standing.acked.0), ..range };
        if which != Which::Retained && pending_in(&range, &standing, &overview.segments) {
            left = Some(pid);
        }
        range = settled;
        if which == Which::Pending {
            // Nothing that is settled was asked for, and nothing else is ours.
            range.end = 0;
        }
    } else if which == Which::Retained {
        range.end = range.end.min(standing.acked.0);
    }
    let expected = expected(&args.what, &range, &standing);
    let chosen = Chosen { kind, range, standing, expected, contiguous: true };
    let segments = overview.segments;
    let mut picked = Picked { directory, storage, owner, chosen, left_to: left, segments, salvage: None };
    picked.set_times(
        args.what.since.as_ref().map(|when| when.ms),
        args.what.until.as_ref().map(|when| when.ms),
    );
    Ok(picked)
}

/// What can be had of the quarantine. Nobody else sends it, and nobody knows what is missing in it.
fn quarantine(
    args: &ReplayArgs,
    directory: PathBuf,
    storage: Fs,
    owner: Option<Owner>,
    queue_id: Option<u128>,
) -> Result<Picked, Failure> {
    let mut standing = Standing::default();
    standing.queue_id = queue_id;
    let range = range(&args.what, Which::All, &[])?;
    let chosen = Chosen { kind: Kind::Batches, range, standing, expected: None, contiguous: false };
    let salvage = Some(which(&args.what));
    let mut picked =
        Picked { directory, storage, owner, chosen, left_to: None, segments: Vec::new(), salvage };
    picked.set_times(
        args.what.since.as_ref().map(|when| when.ms),
        args.what.until.as_ref().map(|when| when.ms),
    );
    Ok(picked)
}

pub(super) fn which(what: &WhatArgs) -> Which {
    match (what.retained, what.all) {
        (true, _) => Which::Retained,
        (_, true) => Which::All,
        (false, false) => Which::Pending,
    }
}

/// Takes the queue, where that is needed, or says who has it.
fn own(
    args: &ReplayArgs,
    storage: &Fs,
    directory: &Path,
    kind: Kind,
    which: Which,
) -> Result<Option<Option<u32>>, Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(format!("{}: the lock: {error}", directory.display()));
    if args.how.consume {
        // Opening the queue takes it.
        return match storage.owned_by().map_err(failed)? {
            Some(pid) => Err(Failure::failed(format!(
                "{} is in use by {}: only it can mark batches as delivered; stop it, or leave --consume out",
                directory.display(),
                summary::owner(pid)
            ))),
            None => Ok(None),
        };
    }
    // Nobody sends dead letters by himself, and a forwarder must be able to keep the next one. What is settled, or set
    // aside, is nobody's.
    if kind == Kind::Letters || which == Which::Retained || args.what.quarantine {
        return Ok(None);
    }
    if args.how.dry_run {
        return storage.owned_by().map_err(failed);
    }
    match storage.hold() {
        Ok(()) => Ok(None),
        Err(LockError::Held { pid }) => Ok(Some(pid)),
        Err(LockError::Io(error)) => Err(failed(error)),
    }
}

fn range(what: &WhatArgs, which: Which, segments: &[Segment]) -> Result<Range, Failure> {
    let mut range = Range::all(which);
    if let Some(from) = what.from_seq {
        range.from = from;
    }
    if let Some(to) = what.to_seq {
        range.end = to.saturating_add(1);
    }
    if let Some(name) = &what.segment {
        let number = name.strip_suffix(".seg").unwrap_or(name).parse().ok();
        let at = segments.iter().position(|segment| Some(segment.first.0) == number);
        let Some(at) = at else {
            return Err(Failure::usage(format!(
                "there is no segment {name}; `millpond queue ls` shows those that there are"
            )));
        };
        range.from = segments[at].first.0;
        range.end = segments.get(at + 1).map_or(u64::MAX, |next| next.first.0);
    }
    Ok(range)
}

/// Is there anything pending that is asked for?
fn pending_in(range: &Range, standing: &Standing, segments: &[Segment]) -> bool {
    let pending = Range { which: Which::Pending, ..*range };
    segments.iter().any(|segment| pending.count(standing, segment.first.0, segment.end.0) > 0)
}

/// The first sequence that must be there.
fn expected(what: &WhatArgs, range: &Range, standing: &Standing) -> Option<u64> {
    let acked = (standing.acked > Sequence(0)).then_some(standing.acked.0);
    match range.which {
        _ if what.from_seq.is_some() || what.segment.is_some() => Some(range.from),
        Which::Pending => acked,
        // Older ones are gone, as they should be.
        Which::Retained | Which::All => None,
    }
}

/// Leaves out the segments at both ends of the queue that have no event in the time that is meant. Events need not be in
/// order, so those in between are looked at.
fn skip_segments(range: &mut Range, segments: &[Segment]) {
    let may_hold = |segment: &&Segment| {
        let times = segment.first_time_ms.zip(segment.last_time_ms);
        // Of one that cannot be read, or is still written to, nobody knows.
        let is_final =
            matches!(segment.state, inspect::SegmentState::Sealed | inspect::SegmentState::Delivered);
        !is_final || times.is_none_or(|(first, last)| range.holds_time(first, last))
    };
    let first = segments.iter().find(may_hold).map(|segment| segment.first.0);
    let end = segments.iter().rev().find(may_hold).map(|segment| segment.end.0);
    match (first, end) {
        _ if segments.is_empty() => {}
        (Some(first), Some(end)) => {
            let is_last = segments.last().is_some_and(|last| last.end.0 == end);
            range.from = range.from.max(first);
            if !is_last {
                range.end = range.end.min(end);
            }
        }
        _ => range.end = range.from,
    }
}
