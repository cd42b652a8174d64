//! Looking at one segment, without changing anything.

use std::io;

use super::{Segment, SegmentState};
use crate::{
    batch::{Frame, Sequence},
    cursor::Cursor,
    format::{SegmentHeader, VERSION, segment_name},
    recovery::{
        scan::{Subject, proven_durable},
        verdict::Header,
    },
    segment::{
        look::{Look, Shows, look},
        walk::{Bounds, Reason, Span, Step, Walk},
    },
    storage::{Storage, StorageFile},
    summary::Summary,
};

const READ_AHEAD: u32 = 1 << 20;

/// What is known of the queue beforehand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    /// `None`: any queue will do.
    pub(crate) queue_id: Option<u128>,
    /// Everything below was durable.
    pub(crate) durable: u64,
}

impl Known {
    pub(crate) fn from_cursor(cursor: Option<&Cursor>) -> Known {
        cursor.map_or_else(Known::default, |cursor| Known {
            queue_id: Some(cursor.queue_id),
            durable: cursor.durable,
        })
    }
}

/// What a walk over a segment meets.
#[derive(Debug)]
pub(crate) enum Found {
    Frame(Frame),
    Damage(Span),
}

/// A segment that is being looked at.
#[derive(Debug)]
pub(crate) struct Opened<F> {
    file: F,
    name: String,
    base: u64,
    next_base: Option<u64>,
    /// Everything below was durable.
    durable: u64,
    /// Whether the frames of an open segment were asked what they prove, too.
    asked: bool,
    len: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Sealed {
        walk: Walk,
        bounds: Bounds,
        end: u64,
        summary: Summary,
    },
    Open {
        walk: Walk,
        header: SegmentHeader,
        bounds: Bounds,
    },
    /// Nothing in it can be checked.
    Opaque {
        told: bool,
    },
    /// In the making, or over.
    Empty,
}

impl<F: StorageFile> Opened<F> {
    /// Opens a segment; `None` if it has gone meanwhile.
    pub(crate) fn open<S: Storage<File = F>>(
        storage: &S,
        base: u64,
        next_base: Option<u64>,
        known: Known,
    ) -> io::Result<Option<Opened<F>>> {
        let name = segment_name(Sequence(base));
        let Look { file, len, shows, .. } = match look(storage, base, known.queue_id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            look => look?,
        };
        let content = match shows {
            Shows::Sealed { end, content, .. } => {
                let walk = Walk::new(base, content.salt, READ_AHEAD);
                let bounds = Bounds { limit: content.data_len, end: Some(next_base.unwrap_or(end)) };
                Content::Sealed { walk, bounds, end, summary: content.summary }
            }
            Shows::Open { header } => {
                let walk = Walk::new(base, header.salt, READ_AHEAD);
                Content::Open { walk, header, bounds: Bounds { limit: len, end: next_base } }
            }
            Shows::Bad(Header::Unknown(version)) => {
                let why = format!("{name} has format version {version}, this program knows up to {VERSION}");
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            Shows::Bad(Header::Incomplete) if next_base.is_none() => Content::Empty,
            Shows::Bad(_) => Content::Opaque { told: false },
        };
        let durable = known.durable;
        Ok(Some(Opened { file, name, base, next_base, durable, asked: false, len, content }))
    }

    /// The file's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The next frame from `from` on, or the damage before it.
    pub(crate) fn next(&mut self, from: u64) -> io::Result<Option<Found>> {
        loop {
            let step = match &mut self.content {
                Content::Empty | Content::Opaque { told: true } => return Ok(None),
                Content::Opaque { told } => {
                    *told = true;
                    let first = self.base;
                    let next = self.next_base.unwrap_or(first);
                    let reason = Reason::Header;
                    return Ok(Some(Found::Damage(Span { position: 0, end: self.len, first, next, reason })));
                }
                Content::Sealed { walk, bounds, .. } | Content::Open { walk, bounds, .. } => {
                    walk.read_payloads(walk.expected() >= from);
                    walk.step(&self.file, *bounds)?
                }
            };
            match step {
                Step::Frame { header, payload, .. } if header.sequence >= from => {
                    let sequence = Sequence(header.sequence);
                    return Ok(Some(Found::Frame(Frame { sequence, info: header.info, payload })));
                }
                Step::Frame { .. } => {}
                Step::Bad(span) if !self.is_moving(&span)? => return Ok(Some(Found::Damage(span))),
                Step::Bad(_) | Step::Seal | Step::Zeros { .. } | Step::End => self.content = Content::Empty,
            }
        }
    }

    /// Whether this is in a commit that is being written, or was interrupted: nothing proves that it was durable.
    fn is_moving(&mut self, span: &Span) -> io::Result<bool> {
        let (Content::Open { header, .. }, None) = (&self.content, self.next_base) else { return Ok(false) };
        if !self.asked {
            self.asked = true;
            let subject = Subject { header: *header, len: self.len, next_base: None, durable: self.durable };
            self.durable = self.durable.max(proven_durable(&self.file, subject)?);
        }
        Ok(span.first >= self.durable)
    }

    pub(super) fn describe(&mut self, acked: u64) -> io::Result<Segment> {
        let mut state = SegmentState::Active;
        let mut end = self.base;
        let mut summary = Summary::default();
        match &mut self.content {
            Content::Empty => {}
            Content::Opaque { .. } => state = SegmentState::Damaged,
            Content::Sealed { end: sealed_end, summary: sealed, .. } => {
                state = SegmentState::Sealed;
                end = *sealed_end;
                summary = *sealed;
            }
            Content::Open { walk, bounds, .. } => {
                let bounds = *bounds;
                walk.read_payloads(false);
                while let Content::Open { walk, .. } = &mut self.content {
                    match walk.step(&self.file, bounds)? {
                        Step::Frame { header, .. } => {
                            summary.add(&header.info, header.batch_len());
                            end = header.sequence + 1;
                        }
                        Step::Bad(span) if self.is_moving(&span)? => break,
                        Step::Bad(span) => {
                            state = SegmentState::Damaged;
                            end = span.next;
                        }
                        Step::Seal | Step::Zeros { .. } | Step::End => break,
                    }
                }
            }
        }
        if end <= acked && end > self.base && state != SegmentState::Damaged {
            state = SegmentState::Delivered;
        }
        let time = |ms| (summary.batches > 0).then_some(ms);
        Ok(Segment {
            file: self.name.clone(),
            first: Sequence(self.base),
            end: Sequence(end),
            batches: summary.batches,
            events: summary.weight.events,
            payload_bytes: summary.weight.payload_bytes,
            raw_bytes: summary.weight.raw_bytes,
            disk_bytes: self.file.allocated_bytes()?,
            first_time_ms: time(summary.first_time_ms),
            last_time_ms: time(summary.last_time_ms),
            state,
        })
    }
}
