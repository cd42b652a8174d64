//! Where the consumers of a queue stand, by what is on disk.

use std::{collections::BTreeSet, io};

use super::{list_bases, segment::Known};
use crate::{
    batch::{Sequence, Tally},
    checkpoint::{self, CheckpointError},
    cursor::{self, BodyError, Cursor, VERSION},
    named,
    segment::look::look,
    storage::Storage,
};

/// How often the slots of a cursor are read when neither holds one: the owner may have been writing to one of them, and
/// then to the other.
const READS_MAX: usize = 3;

/// Where the queue's own consumer stands, by the newest valid cursor: what has happened since it was written is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Standing {
    /// Which queue it is; copies of it have the same id. `None` where no file says.
    pub queue_id: Option<u128>,
    /// The low-water mark: everything below is settled.
    pub acked: Sequence,
    /// What is settled above it: first sequences and exclusive ends, ascending.
    pub above: Vec<(Sequence, Sequence)>,
}

impl Standing {
    /// Whether the batch is delivered, given up or lost, so that the owner will not send it again.
    pub fn is_settled(&self, sequence: Sequence) -> bool {
        sequence < self.acked || self.above.iter().any(|&(first, end)| (first..end).contains(&sequence))
    }
}

/// Where the queue's own consumer stands.
pub fn standing<S: Storage>(storage: &S) -> io::Result<Standing> {
    if let Some(cursor) = read_cursor(storage)? {
        let above = cursor.above.iter().map(|&(first, end)| (Sequence(first), Sequence(end))).collect();
        return Ok(Standing { queue_id: Some(cursor.queue_id), acked: Sequence(cursor.acked), above });
    }
    for base in list_bases(storage)? {
        let queue_id = look(storage, base, None)?.shows.queue_id();
        if queue_id.is_some() {
            return Ok(Standing { queue_id, ..Standing::default() });
        }
    }
    Ok(Standing::default())
}

/// Where the queue's own consumer was when its cursor was saved. The time of that is the file's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// The slot, relative to the queue's directory.
    pub file: String,
    /// Rises by one with each save.
    pub generation: u64,
    /// The low-water mark.
    pub acked: Sequence,
    /// The first sequence that was not durable then.
    pub durable: Sequence,
    /// What everything below the low-water mark amounts to, since the queue began.
    pub settled: Tally,
}

/// Where the queue's own consumer was at the last two saves of its cursor, the newest first. Beside a running owner there
/// may be one less: it was being written to.
pub fn marks<S: Storage>(storage: &S) -> io::Result<Vec<Mark>> {
    let bodies = checkpoint::bodies(storage, cursor::NAME)?;
    let mark = |(file, generation, body): (String, u64, Vec<u8>)| {
        let Cursor { acked, durable, delivered, .. } = Cursor::decode(&body).ok()?;
        let settled = delivered.tally(acked - 1);
        Some(Mark { file, generation, acked: Sequence(acked), durable: Sequence(durable), settled })
    };
    Ok(bodies.into_iter().filter_map(mark).collect())
}

/// What the cursors say that helps to read segments.
pub(super) fn known<S: Storage>(storage: &S) -> io::Result<Known> {
    Ok(known_from(read_cursor(storage)?.as_ref(), &read_consumers(storage)?))
}

pub(super) fn known_from(own: Option<&Cursor>, named: &[(String, Cursor)]) -> Known {
    let all = || own.into_iter().chain(named.iter().map(|(_, cursor)| cursor));
    Known {
        queue_id: own.map(|cursor| cursor.queue_id),
        durable: own.map_or(0, |cursor| cursor.durable),
        // Without its own cursor, nobody knows.
        settled: own.and_then(|_| all().map(|cursor| cursor.acked).min()).unwrap_or(0),
    }
}

/// The cursor of the queue's own consumer.
pub(super) fn read_cursor<S: Storage>(storage: &S) -> io::Result<Option<Cursor>> {
    load_cursor(storage, cursor::NAME)
}

/// The cursors of the named consumers, by name.
pub(super) fn read_consumers<S: Storage>(storage: &S) -> io::Result<Vec<(String, Cursor)>> {
    let names: BTreeSet<String> =
        storage.list("")?.iter().filter_map(|file| named::name_in(file)).map(str::to_owned).collect();
    let mut consumers = Vec::with_capacity(names.len());
    for name in names {
        if let Some(cursor) = load_cursor(storage, &named::checkpoint_name(&name))? {
            consumers.push((name, cursor));
        }
    }
    Ok(consumers)
}

fn load_cursor<S: Storage>(storage: &S, name: &str) -> io::Result<Option<Cursor>> {
    for _ in 0..READS_MAX {
        let found = checkpoint::load(storage, name).map_err(|error| match error {
            CheckpointError::Io { source, .. } => source,
            unsupported @ CheckpointError::Unsupported { .. } => {
                io::Error::new(io::ErrorKind::Unsupported, unsupported)
            }
        })?;
        if found.body.is_some() || !found.damaged {
            return match found.body.map(|body| Cursor::decode(&body)) {
                Some(Err(BodyError::Version(version))) => {
                    let why =
                        format!("{name} has format version {version}, this program knows up to {VERSION}");
                    Err(io::Error::new(io::ErrorKind::Unsupported, why))
                }
                cursor => Ok(cursor.and_then(Result::ok)),
            };
        }
    }
    Ok(None)
}
