//! Repair: what cannot be read, and what keeps a queue from being opened, is set aside.
//!
//! Nothing is deleted but what was in the making when a process died, and no good frame is touched: on a healthy queue
//! there is nothing to do. A queue that can be opened needs no repair to be read (readers step over damage); after one,
//! all damaged bytes have a copy in `quarantine/`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    batch::Sequence,
    catalog, check, checkpoint,
    cursor::{self, Cursor},
    error::OpenError,
    format::{VERSION, segment_base, segment_name},
    inspect::{
        self,
        segment::{Found, Known, Opened},
    },
    named, open, quarantine,
    recovery::{load::Doing, verdict::Header},
    segment::{
        look::{Shows, look},
        walk::Span,
    },
    storage::Storage,
    view::Segment,
};

/// Something that a repair does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Damaged bytes are copied into `quarantine/`; readers step over them.
    Copy {
        /// The segment.
        file: String,
        /// Where the bytes begin.
        position: u64,
        /// How many they are.
        bytes: u64,
        /// Batches that should be there, from …
        first: Sequence,
        /// … up to and without this one.
        end: Sequence,
        /// What is wrong.
        reason: String,
    },
    /// A file of which nothing can be read is moved into `quarantine/`.
    Move {
        /// The file.
        file: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file that was in the making when a process died is removed.
    Remove {
        /// The file.
        file: String,
    },
    /// The catalog was made anew from the segments. Only a repair finds out that it has to be.
    Catalog {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Copy { file, position, bytes, first, end, reason } => write!(
                f,
                "{file}: {bytes} damaged bytes at {position} ({reason}), {} batches from {first} on: copied into \
                 quarantine/",
                end.0 - first.0
            ),
            Step::Move { file, reason } => write!(f, "{file}: {reason}: moved into quarantine/"),
            Step::Remove { file } => write!(f, "{file}: left by an interrupted creation: removed"),
            Step::Catalog { reason } => write!(f, "catalog/: built again from the segments ({reason})"),
        }
    }
}

/// A step, and what is needed to take it.
struct Task {
    step: Step,
    /// The segment and the bytes of it that are copied.
    copy: Option<(u64, Span)>,
}

impl From<Step> for Task {
    fn from(step: Step) -> Task {
        Task { step, copy: None }
    }
}

/// What a repair of the queue in `storage` would do. Takes no lock and writes nothing; beside a running owner, what it
/// says may be out of date.
pub fn plan<S: Storage>(storage: &S) -> Result<Vec<Step>, OpenError> {
    Ok(tasks(storage)?.into_iter().map(|task| task.step).collect())
}

/// Repairs the queue in `storage`, which nobody may own, and says what was done.
///
/// After an error, what was done before stays done; a repair can be repeated.
pub fn repair<S: Storage>(storage: &S) -> Result<Vec<Step>, OpenError> {
    open::lock(storage)?;
    let repaired = repair_locked(storage);
    storage.unlock();
    repaired
}

fn repair_locked<S: Storage>(storage: &S) -> Result<Vec<Step>, OpenError> {
    let mut done = Vec::new();
    for Task { step, copy } in tasks(storage)? {
        match (&step, copy) {
            (Step::Copy { file, .. }, Some((base, Span { position, end, reason, .. }))) => {
                quarantine::copy(storage, base, position, end, reason)
                    .doing(|| format!("copying damaged bytes of {file}"))?;
            }
            (Step::Move { file, .. }, _) => {
                quarantine::take(storage, file).doing(|| format!("moving {file} into quarantine"))?;
            }
            (Step::Remove { file }, _) => {
                let removed = storage.remove(file).and_then(|()| storage.sync_directory(""));
                removed.doing(|| format!("removing {file}"))?;
            }
            (Step::Copy { .. } | Step::Catalog { .. }, _) => unreachable!("{step} is not planned like this"),
        }
        done.push(step);
    }
    done.extend(repair_catalog(storage, !done.is_empty())?);
    Ok(done)
}

/// Makes the catalog anew, if it cannot be used or does not know what a repair has changed.
fn repair_catalog<S: Storage>(storage: &S, changed: bool) -> Result<Option<Step>, OpenError> {
    let Some(path) = storage.real_path(catalog::DIRECTORY).filter(|path| path.exists()) else {
        return Ok(None);
    };
    let bases = bases(storage)?;
    let ends = bases.iter().skip(1).copied().chain([u64::MAX]);
    let segments = bases.iter().zip(ends).map(|(&base, end)| Segment::unread(base, end)).collect();
    let describe = open::describe(storage.clone(), queue_id(storage, &bases, &Vec::new())?);
    let spans = open::spans(&segments);
    let reason = match catalog::check(&path, &spans, &describe) {
        Ok(()) if !changed => return Ok(None),
        Ok(()) => "segments were changed".to_owned(),
        Err(reason) => reason,
    };
    catalog::rebuild(&path, &spans, &describe).doing(|| format!("building {} again", path.display()))?;
    Ok(Some(Step::Catalog { reason }))
}

fn bases<S: Storage>(storage: &S) -> Result<Vec<u64>, OpenError> {
    inspect::list_bases(storage).doing(|| "listing the directory".to_owned())
}

/// The checkpoints of all consumers, and what each holds: nothing, a cursor, or what is no cursor of any queue.
type Cursors = Vec<(String, Option<Result<Cursor, &'static str>>)>;

fn cursors<S: Storage>(storage: &S, names: &[String]) -> Result<Cursors, OpenError> {
    let checkpoints = names.iter().filter_map(|file| {
        let name = checkpoint::name_of(file)?;
        (name == cursor::NAME || named::name_in(file).is_some()).then(|| name.to_owned())
    });
    let checkpoints: BTreeSet<String> = checkpoints.collect();
    let read = |name: String| {
        let cursor = match open::decode_cursor(&name, checkpoint::load(storage, &name)?.body) {
            Err(OpenError::Foreign { reason, .. }) => Some(Err(reason)),
            cursor => cursor?.map(Ok),
        };
        Ok((name, cursor))
    };
    checkpoints.into_iter().map(read).collect()
}

/// The id that most segments have; that of a cursor, where it is as good as any.
fn queue_id<S: Storage>(storage: &S, bases: &[u64], cursors: &Cursors) -> Result<Option<u128>, OpenError> {
    let mut votes = BTreeMap::new();
    for &base in bases {
        let look = look(storage, base, None).doing(|| format!("reading {}", segment_name(Sequence(base))))?;
        if let Some(id) = look.shows.queue_id() {
            *votes.entry(id).or_insert(0) += 1 + cursors.len();
        }
    }
    for cursor in cursors.iter().filter_map(|(_, cursor)| cursor.as_ref()?.as_ref().ok()) {
        *votes.entry(cursor.queue_id).or_insert(0) += 1;
    }
    Ok(votes.into_iter().max_by_key(|&(_, votes)| votes).map(|(id, _)| id))
}

fn tasks<S: Storage>(storage: &S) -> Result<Vec<Task>, OpenError> {
    let names = storage.list("").doing(|| "listing the directory".to_owned())?;
    let mut bases: Vec<u64> = names.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    let cursors = cursors(storage, &names)?;
    let queue_id = queue_id(storage, &bases, &cursors)?;
    let mut tasks = Vec::new();
    let leftovers = names.iter().filter(|name| open::is_leftover(name));
    tasks.extend(leftovers.map(|file| Step::Remove { file: file.clone() }.into()));
    let mut known = Known { queue_id, ..Known::default() };
    for (name, cursor) in cursors {
        let reason = match cursor {
            None => None,
            Some(Err(reason)) => Some(reason),
            Some(Ok(cursor)) if Some(cursor.queue_id) != queue_id => Some(check::FOREIGN_CURSOR),
            Some(Ok(cursor)) => {
                if name == cursor::NAME {
                    known.durable = cursor.durable;
                }
                None
            }
        };
        if let Some(reason) = reason {
            let slots = names.iter().filter(|file| checkpoint::name_of(file) == Some(&name));
            tasks.extend(slots.map(|file| Step::Move { file: file.clone(), reason }.into()));
        }
    }
    // From the last one on, since one that goes is no longer the end of the one in front.
    let mut next_base = None;
    for &base in bases.iter().rev() {
        let found = segment_tasks(storage, base, next_base, known)?;
        let goes = found.iter().any(|task| matches!(task.step, Step::Move { .. }));
        tasks.extend(found);
        if !goes {
            next_base = Some(base);
        }
    }
    Ok(tasks)
}

/// What is to be done about a segment.
fn segment_tasks<S: Storage>(
    storage: &S,
    base: u64,
    next_base: Option<u64>,
    known: Known,
) -> Result<Vec<Task>, OpenError> {
    let file = segment_name(Sequence(base));
    let look = look(storage, base, known.queue_id).doing(|| format!("reading {file}"))?;
    let was_durable = next_base.unwrap_or(known.durable) > base;
    let reason = match look.shows {
        Shows::Sealed { .. } | Shows::Open { .. } => None,
        Shows::Bad(Header::Unknown(version)) => {
            return Err(OpenError::Unsupported { file, version, known: VERSION });
        }
        // An interrupted creation, which the next opening makes again.
        Shows::Bad(Header::Incomplete) if !was_durable => None,
        Shows::Bad(Header::Damaged) => Some("its header is damaged"),
        Shows::Bad(_) => Some(check::FOREIGN),
    };
    if let Some(reason) = reason {
        return Ok(vec![Step::Move { file, reason }.into()]);
    }
    let reading = || format!("reading {file}");
    let opened = Opened::open(storage, base, next_base, known).doing(reading)?;
    let Some(mut opened) = opened else { return Ok(Vec::new()) };
    let mut tasks = Vec::new();
    while let Some(found) = opened.next(0).doing(reading)? {
        let Found::Damage(span) = found else { continue };
        let bytes = span.end - span.position;
        let kept = quarantine::holds(storage, base, &span).doing(|| "reading quarantine/".to_owned())?;
        // A segment with more damage than that goes there as a whole, when it is delivered.
        if bytes == 0 || kept || tasks.len() >= quarantine::COPIES_PER_SEGMENT_MAX {
            continue;
        }
        let step = Step::Copy {
            file: file.clone(),
            position: span.position,
            bytes,
            first: Sequence(span.first),
            end: Sequence(span.next),
            reason: span.reason.to_string(),
        };
        tasks.push(Task { step, copy: Some((base, span)) });
    }
    Ok(tasks)
}
