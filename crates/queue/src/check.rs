//! Looking into a segment that nobody has looked into since the queue was opened.
//!
//! Opening looks at the ends of the queue only, so that it takes no longer for a long one. All
//! others are looked at when they are needed: before they are read, before they are removed, and
//! before their base is taken for the end of the segment in front.

use std::io;

use crate::{
    batch::Sequence,
    error::ReadError,
    format::{VERSION, segment_name},
    recovery::verdict::{Body, Facts, Header, Place, Verdict, verdict},
    segment::{
        look::{Shows, content_before, look},
        walk::{Reason, Span},
    },
    storage::Storage,
    view::{Unchecked, View},
};

/// Looks into a segment with others behind it, and tells the view.
pub(crate) fn check<S: Storage>(
    storage: &S,
    view: &View,
    queue_id: u128,
    unchecked: Unchecked,
) -> Result<(), ReadError> {
    let Unchecked { base, end } = unchecked;
    let file = segment_name(Sequence(base));
    let look = match look(storage, base, Some(queue_id)) {
        // Reclaimed between the look-up and now: the next look-up says where to go on.
        Err(error) if error.kind() == io::ErrorKind::NotFound && view.lock().segment_mut(base).is_none() => {
            return Ok(());
        }
        look => {
            look.map_err(|source| ReadError::Io { file: file.clone(), sequence: Sequence(base), source })?
        }
    };
    if let Shows::Bad(header) = look.shows {
        refuse(file, header, base, end)?;
        let span = Span { position: 0, end: look.len, first: base, next: end, reason: Reason::Header };
        report(view, base, &span);
    }
    view.learn(base, content_before(look.shows, end, look.len, look.disk_bytes));
    Ok(())
}

/// What the table says of an earlier segment without a good header: `Ok` if it is damaged.
pub(crate) fn refuse(file: String, header: Header, base: u64, end: u64) -> Result<(), ReadError> {
    let facts = Facts { place: Place::Earlier, header, body: Body::Bad, was_durable: end > base };
    match verdict(facts) {
        Verdict::Unsupported(version) => Err(ReadError::Unsupported { file, version, known: VERSION }),
        Verdict::Foreign => Err(ReadError::Foreign { file, reason: FOREIGN }),
        Verdict::Damaged => Ok(()),
        verdict => unreachable!("{verdict:?} for an earlier segment with {header:?}"),
    }
}

/// Why a cursor is refused whose checksum is right.
pub(crate) const SENSELESS_CURSOR: &str = "its numbers make no sense";

/// Why a cursor is refused.
pub(crate) const FOREIGN_CURSOR: &str = "it is the cursor of another queue";

/// Why a file is refused.
pub(crate) const FOREIGN: &str = "it does not begin with the header of a segment of this queue";

/// Notes damage, and says so in the log if it is news.
pub(crate) fn report(view: &View, base: u64, span: &Span) {
    if view.note_damage(base, span) {
        tracing::error!(
            file = segment_name(Sequence(base)),
            position = span.position,
            bytes = span.end - span.position,
            first = span.first,
            batches = span.next - span.first,
            reason = %span.reason,
            "damage in the queue: skipped, and set aside at the next checkpoint"
        );
    }
}
