//! Where one batch is.

use std::io;

use super::{
    consumers::{known, read_cursor},
    list_bases,
    segment::{Found, Opened, Stored},
    verify::Damage,
};
use crate::{
    batch::{Frame, Sequence},
    storage::Storage,
};

/// Where a batch is, if it is anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Whereabouts {
    /// On disk, and both of its checksums are right.
    Here {
        /// The segment.
        file: String,
        /// Where its frame begins.
        position: u64,
        /// How long the frame is, header and payload as they are stored.
        bytes: u64,
        /// The queue has packed its payload.
        packed: bool,
        /// The batch.
        frame: Frame,
    },
    /// It should be here, and cannot be read.
    Damaged(Damage),
    /// It should be on disk, and no file holds it.
    Missing,
    /// It was settled, and its segment has gone.
    Gone,
    /// There has been no such batch yet.
    NotYet {
        /// The sequence of the next one.
        end: Sequence,
    },
}

/// Looks for the batch `sequence`.
pub fn find<S: Storage>(storage: &S, sequence: Sequence) -> io::Result<Whereabouts> {
    let known = known(storage)?;
    let bases = list_bases(storage)?;
    let at = bases.partition_point(|&base| base <= sequence.0);
    let next_base = bases.get(at).copied();
    let mut end = known.durable.max(Sequence::FIRST.0);
    if let Some(&base) = at.checked_sub(1).and_then(|at| bases.get(at))
        && let Some(mut opened) = Opened::open(storage, base, next_base, known)?
    {
        end = end.max(base);
        while let Some(found) = opened.next(sequence.0)? {
            match found {
                Found::Frame(Stored { frame, position, bytes, packed, .. }) if frame.sequence == sequence => {
                    let file = opened.name().to_owned();
                    return Ok(Whereabouts::Here { file, position, bytes, packed, frame });
                }
                Found::Frame(_) => break,
                Found::Damage(span)
                    if span.position < span.end && (span.first..span.next).contains(&sequence.0) =>
                {
                    return Ok(Whereabouts::Damaged(Damage::new(opened.name(), &span)));
                }
                Found::Damage(_) => {}
            }
        }
        end = end.max(opened.expected());
    }
    let settled = read_cursor(storage)?.is_some_and(|cursor| sequence.0 < cursor.acked);
    Ok(match next_base {
        _ if settled || sequence < Sequence::FIRST => Whereabouts::Gone,
        None if sequence.0 >= end => Whereabouts::NotYet { end: Sequence(end) },
        // What was in front of the first segment has been settled, whether a cursor says so or not.
        Some(_) if at == 0 => Whereabouts::Gone,
        _ => Whereabouts::Missing,
    })
}
