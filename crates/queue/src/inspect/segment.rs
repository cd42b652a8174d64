//! Looking at one segment, without changing anything.

use std::io;

use super::overview::{Segment, SegmentState};
use crate::{
    batch::{Frame, Sequence, Tally},
    format::{FRAMES_AT, SEGMENT_HEADER_COPY_AT, SegmentHeader, VERSION, segment_name},
    recovery::{
        scan::{Subject, proven_durable},
        verdict::Header,
    },
    segment::{
        look::{Look, Shows, look},
        read_full,
        walk::{Bounds, Reason, Span, Step, Walk},
    },
    storage::{Storage, StorageFile},
    summary::{Summary, Weight},
};

const READ_AHEAD: u32 = 1 << 20;

/// What is known of the queue beforehand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    /// `None`: any queue will do.
    pub(crate) queue_id: Option<u128>,
    /// Everything below was durable.
    pub(crate) durable: u64,
    /// Everything below is settled for all consumers, so that it may be gone. Segments go oldest first, but a power cut
    /// may bring some of them back, in any combination.
    pub(crate) settled: u64,
}

/// What a walk over a segment meets.
#[derive(Debug)]
pub(crate) enum Found {
    Frame(Stored),
    Damage(Span),
}

/// A good frame, and where it is.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) frame: Frame,
    pub(crate) position: u64,
    /// Header and payload, as they are stored.
    pub(crate) bytes: u64,
    pub(crate) packed: bool,
    /// The payload's length as it was handed in.
    pub(crate) len: u32,
}

/// A segment that is being looked at.
#[derive(Debug)]
pub(crate) struct Opened<F> {
    file: F,
    name: String,
    base: u64,
    next_base: Option<u64>,
    known: Known,
    /// Payloads are left out.
    headers_only: bool,
    /// Everything below was durable.
    durable: u64,
    /// Whether the frames of an open segment were asked what they prove, too.
    asked: bool,
    len: u64,
    /// Where the walk was when it ended.
    reached: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Sealed {
        walk: Walk,
        header: SegmentHeader,
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
            Shows::Sealed { header, end, content } => {
                let walk = Walk::new(base, content.salt, READ_AHEAD);
                let bounds = Bounds { limit: content.data_len, end: Some(next_base.unwrap_or(end)) };
                Content::Sealed { walk, header, bounds, end, summary: content.summary }
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
        let (headers_only, asked) = (false, false);
        Ok(Some(Opened {
            file,
            name,
            base,
            next_base,
            known,
            headers_only,
            durable,
            asked,
            len,
            reached: base,
            content,
        }))
    }

    /// From now on payloads are neither read nor checked.
    pub(super) fn headers_only(&mut self) {
        self.headers_only = true;
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
                    walk.read_payloads(!self.headers_only && walk.expected() >= from);
                    walk.step(&self.file, *bounds)?
                }
            };
            match step {
                Step::Frame { header, position, payload } if header.sequence >= from => {
                    let frame = Frame { sequence: Sequence(header.sequence), info: header.info, payload };
                    let (bytes, packed) = (header.frame_len(), header.unpacked_len.is_some());
                    let len = header.batch_len();
                    return Ok(Some(Found::Frame(Stored { frame, position, bytes, packed, len })));
                }
                Step::Frame { .. } => {}
                Step::Bad(span) if self.may_be_gone(&span) => {}
                Step::Bad(span) if !self.is_moving(&span)? => return Ok(Some(Found::Damage(span))),
                Step::Bad(_) | Step::Seal | Step::Zeros { .. } | Step::End => {
                    self.reached = match &step {
                        Step::Bad(span) => span.first,
                        _ => self.expected(),
                    };
                    self.content = Content::Empty;
                }
            }
        }
    }

    /// Whether nothing is missing but what was settled long ago.
    fn may_be_gone(&self, span: &Span) -> bool {
        span.position == span.end && span.next <= self.known.settled
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

    /// What is wrong with the two copies of the header: the position of each that is damaged or says something else than
    /// the segment's own.
    pub(super) fn bad_headers(&self) -> io::Result<Vec<u64>> {
        let (Content::Sealed { header, .. } | Content::Open { header, .. }) = &self.content else {
            return Ok(Vec::new());
        };
        let mut block = vec![0; FRAMES_AT as usize];
        read_full(&self.file, &mut block, 0)?;
        let copies = [0, SEGMENT_HEADER_COPY_AT].into_iter();
        let bad = copies.filter(|&at| SegmentHeader::decode(&block[at..]) != Ok(*header));
        Ok(bad.map(|at| at as u64).collect())
    }

    /// The sequence that comes next.
    pub(super) fn expected(&self) -> u64 {
        match &self.content {
            Content::Sealed { walk, .. } | Content::Open { walk, .. } => walk.expected(),
            Content::Opaque { .. } | Content::Empty => self.reached,
        }
    }

    /// What the seal says that the frames amount to, if they are to be in here whole.
    pub(super) fn promised(&self) -> Option<Summary> {
        match &self.content {
            Content::Sealed { end, summary, .. } if self.next_base.is_none_or(|next| next == *end) => {
                Some(*summary)
            }
            _ => None,
        }
    }

    /// Its length.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// What the queue amounted to where this segment begins.
    pub(super) fn before(&self) -> Option<Weight> {
        match &self.content {
            Content::Sealed { header, .. } | Content::Open { header, .. } => Some(header.before.weight),
            Content::Opaque { .. } | Content::Empty => None,
        }
    }

    pub(super) fn describe(&mut self, acked: u64) -> io::Result<Segment> {
        let mut state = SegmentState::Active;
        let mut end = self.base;
        let mut summary = Summary::default();
        match &mut self.content {
            Content::Empty => {}
            Content::Opaque { .. } => {
                state = SegmentState::Damaged;
                end = self.next_base.unwrap_or(end);
            }
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
                        Step::Bad(span) if self.may_be_gone(&span) => {}
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
            first_appended_ms: time(summary.first_appended_ms),
            pending: Tally::default(),
            set_aside: 0,
            state,
        })
    }
}
