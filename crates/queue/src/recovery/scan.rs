//! Reading a segment from end to end, when no seal describes it.

use std::io;

use super::verdict::{Body, Facts, Header, Place, Verdict, verdict};
use crate::{
    format::{FRAMES_AT, SegmentHeader},
    segment::walk::{Bounds, Reason, Span, Step, Walk},
    storage::StorageFile,
    summary::Summary,
};

/// How much is read at once.
const READ_AHEAD: u32 = 1 << 20;

/// What a scan found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The position after the last frame that counts.
    pub(crate) data_len: u64,
    /// The sequence after the last frame that counts, lost ones included.
    pub(crate) end: u64,
    pub(crate) summary: Summary,
    /// A seal closes the segment at `data_len`.
    pub(crate) sealed: bool,
    pub(crate) damage: Vec<Span>,
    /// What an interrupted commit left behind `data_len`.
    pub(crate) torn_bytes: u64,
    /// Where the frames begin that nothing proves to have been durable.
    pub(crate) unproven_at: Option<u64>,
}

/// A segment to scan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) header: SegmentHeader,
    pub(crate) len: u64,
    /// The base of the next segment: frames from there on were written again there.
    pub(crate) next_base: Option<u64>,
    /// Everything below this was durable at some time.
    pub(crate) durable: u64,
}

impl Subject {
    fn place(&self) -> Place {
        match self.next_base {
            None => Place::Tail,
            Some(_) => Place::Earlier,
        }
    }
}

/// Scans a segment with a good header.
///
/// In the tail, two passes are needed when something is bad: the first one finds out what the
/// frames behind it prove about what was durable.
pub(crate) fn scan<F: StorageFile>(file: &F, subject: Subject) -> io::Result<Scan> {
    let durable = match subject.next_base {
        Some(next_base) => next_base,
        None => subject.durable.max(proven_durable(file, subject)?),
    };
    let bounds = Bounds { limit: subject.len, end: subject.next_base };
    let base = subject.header.base;
    let mut walk = Walk::new(base, subject.header.salt, READ_AHEAD);
    let mut scan = Scan {
        data_len: FRAMES_AT,
        end: base,
        summary: Summary::default(),
        sealed: false,
        damage: Vec::new(),
        torn_bytes: 0,
        unproven_at: None,
    };
    loop {
        let step = walk.step(file, bounds)?;
        let (body, first) = match &step {
            Step::Frame { .. } | Step::Seal | Step::End => (Body::Good, scan.end),
            Step::Zeros { .. } => (Body::Zeros, scan.end),
            Step::Bad(span) => (Body::Bad, span.first),
        };
        match step {
            Step::Frame { header, position, .. } => {
                scan.summary.add(&header.info, header.batch_len());
                if header.sequence >= durable && scan.unproven_at.is_none() {
                    scan.unproven_at = Some(position);
                }
                scan.end = header.sequence + 1;
                scan.data_len = position + header.frame_len();
                continue;
            }
            Step::Seal => {
                scan.sealed = true;
                return Ok(scan);
            }
            Step::Zeros { .. } | Step::Bad(_) | Step::End => {}
        }
        let was_durable = first < durable;
        let facts = Facts { place: subject.place(), header: Header::Good, body, was_durable };
        match (verdict(facts), step) {
            (Verdict::Clean | Verdict::Unwritten, _) => return Ok(scan),
            (Verdict::TornTail, _) => {
                scan.torn_bytes = subject.len - scan.data_len;
                return Ok(scan);
            }
            (Verdict::Damaged, Step::Bad(span)) => {
                // Behind the last bad frame of a tail, only the proof says how many there were.
                let next = if span.end >= subject.len { span.next.max(durable) } else { span.next };
                scan.take_damage(Span { next, ..span });
            }
            (Verdict::Damaged | Verdict::Missing, Step::Zeros { position }) => {
                let (first, reason) = (scan.end, Reason::Header);
                scan.take_damage(Span { position, end: subject.len, first, next: durable, reason });
                return Ok(scan);
            }
            (Verdict::Missing | Verdict::Damaged, _) => {
                let (position, first) = (scan.data_len, scan.end);
                let reason = Reason::Truncated;
                scan.take_damage(Span { position, end: position, first, next: durable, reason });
                return Ok(scan);
            }
            (verdict, step) => unreachable!("a good header never leads to {verdict:?} at {step:?}"),
        }
    }
}

impl Scan {
    fn take_damage(&mut self, span: Span) {
        self.end = span.next;
        self.data_len = span.end;
        self.damage.push(span);
    }
}

/// What the good frames of a segment prove to have been durable. Reads on behind damage.
pub(crate) fn proven_durable<F: StorageFile>(file: &F, subject: Subject) -> io::Result<u64> {
    let bounds = Bounds { limit: subject.len, end: None };
    let mut walk = Walk::new(subject.header.base, subject.header.salt, READ_AHEAD);
    // Headers prove as much as whole frames do.
    walk.read_payloads(false);
    let mut proven = subject.header.base;
    loop {
        match walk.step(file, bounds)? {
            Step::Frame { header, .. } => proven = proven.max(header.proves_durable()),
            Step::Seal => return Ok(walk.expected()),
            Step::Bad(_) => {}
            Step::Zeros { .. } | Step::End => return Ok(proven),
        }
    }
}
