//! Every byte that counts, checked.

use std::{collections::VecDeque, io};

use super::{
    consumers, list_bases,
    segment::{Found, Known, Opened, Stored},
};
use crate::{
    batch::Sequence,
    format::{SEGMENT_HEADER_LEN, segment_base, segment_name},
    quarantine,
    segment::walk::Span,
    storage::{Storage, StorageFile},
    summary::Summary,
};

const MISSING: &str = "what should follow is in no file";

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The segment.
    pub file: String,
    /// Where the bytes begin.
    pub position: u64,
    /// How many they are; none, where batches are missing without a trace.
    pub bytes: u64,
    /// Batches that cannot be read because of it, from …
    pub first: Sequence,
    /// … up to and without this one. None, where everything can be read all the same.
    pub end: Sequence,
    /// What is wrong.
    pub reason: String,
    /// There is a copy of the bytes in `quarantine/`.
    pub set_aside: bool,
}

impl Damage {
    pub(super) fn new(file: &str, span: &Span) -> Damage {
        let bytes = span.end - span.position;
        // Where nothing is, nothing is wrong with it.
        let reason = if bytes == 0 { MISSING.to_owned() } else { span.reason.to_string() };
        Damage {
            file: file.to_owned(),
            position: span.position,
            bytes,
            first: Sequence(span.first),
            end: Sequence(span.next),
            reason,
            set_aside: false,
        }
    }
}

/// What a check meets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checked {
    /// A good frame: its bytes, header and payload as they are stored.
    Frame {
        /// How many they are.
        bytes: u64,
    },
    /// Something that is not good.
    Damaged(Damage),
    /// The end of a segment; these are the good frames in it.
    Segment {
        /// The segment.
        file: String,
        /// Its length.
        bytes: u64,
        /// Batches that can be read.
        batches: u64,
        /// Events in them.
        events: u64,
        /// Payload bytes in them.
        payload_bytes: u64,
    },
}

/// A check of every frame of every segment, of both copies of each segment's header, and of what each seal says about its
/// frames. What was there when it began is checked; beside a running owner, what is reclaimed meanwhile is left out, and
/// what is being written just now is no damage. Ends at the first error of the disk.
#[derive(Debug)]
pub struct Verify<S: Storage> {
    storage: S,
    known: Known,
    bases: VecDeque<u64>,
    bytes: u64,
    current: Option<Current<S::File>>,
    failed: bool,
}

#[derive(Debug)]
struct Current<F> {
    opened: Opened<F>,
    /// Found, and not told yet.
    damage: VecDeque<Damage>,
    /// What the seal says of the frames.
    promised: Option<Summary>,
    whole: bool,
    summary: Summary,
    told: bool,
}

impl<S: Storage> Verify<S> {
    /// Begins a check of the queue in `storage`.
    pub fn new(storage: S) -> io::Result<Verify<S>> {
        let known = consumers::known(&storage)?;
        let bases = list_bases(&storage)?;
        let mut bytes = 0;
        for &base in &bases {
            match storage.open(&segment_name(Sequence(base))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => bytes += file?.len()?,
            }
        }
        Ok(Verify { storage, known, bases: bases.into(), bytes, current: None, failed: false })
    }

    /// How many bytes there were to check when it began.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn step(&mut self) -> io::Result<Option<Checked>> {
        loop {
            if let Some(current) = &mut self.current {
                let Some(checked) = current.step(&self.storage)? else {
                    self.current = None;
                    continue;
                };
                return Ok(Some(checked));
            }
            let Some(base) = self.bases.pop_front() else { return Ok(None) };
            let next_base = self.bases.front().copied();
            self.current =
                Opened::open(&self.storage, base, next_base, self.known)?.map(Current::begin).transpose()?;
        }
    }
}

impl<S: Storage> Iterator for Verify<S> {
    type Item = io::Result<Checked>;

    fn next(&mut self) -> Option<io::Result<Checked>> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

impl<F: StorageFile> Current<F> {
    fn begin(opened: Opened<F>) -> io::Result<Current<F>> {
        let at = Sequence(opened.expected());
        let reason = "a copy of the segment's header is not what it should be; what else says the same stands in for it";
        let damage = opened.bad_headers()?.into_iter().map(|position| Damage {
            file: opened.name().to_owned(),
            position,
            bytes: SEGMENT_HEADER_LEN as u64,
            first: at,
            end: at,
            reason: reason.to_owned(),
            set_aside: false,
        });
        let (damage, promised, summary) = (damage.collect(), opened.promised(), Summary::default());
        Ok(Current { opened, damage, promised, whole: true, summary, told: false })
    }

    /// The next thing; `None` after the end was told.
    fn step<S: Storage>(&mut self, storage: &S) -> io::Result<Option<Checked>> {
        if let Some(damage) = self.damage.pop_front() {
            return Ok(Some(Checked::Damaged(damage)));
        }
        match self.opened.next(0)? {
            Some(Found::Frame(Stored { frame, bytes, .. })) => {
                self.summary.add(&frame.info, frame.payload.len() as u32);
                Ok(Some(Checked::Frame { bytes }))
            }
            Some(Found::Damage(span)) => {
                self.whole = false;
                let name = self.opened.name();
                let base = segment_base(name).expect("a segment is found by its name");
                let set_aside = quarantine::holds(storage, base, &span)?;
                Ok(Some(Checked::Damaged(Damage { set_aside, ..Damage::new(name, &span) })))
            }
            None => Ok(self.end()),
        }
    }

    /// Compares what was found with what the seal says, then tells the end, once.
    fn end(&mut self) -> Option<Checked> {
        let file = self.opened.name().to_owned();
        if self.promised.take().is_some_and(|promised| self.whole && promised != self.summary) {
            let (position, at) = (self.opened.len(), Sequence(self.opened.expected()));
            let reason = "its seal says something else than its frames".to_owned();
            let damage = Damage { file, position, bytes: 0, first: at, end: at, reason, set_aside: false };
            return Some(Checked::Damaged(damage));
        }
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        let Summary { batches, weight, .. } = self.summary;
        let (events, payload_bytes) = (weight.events, weight.payload_bytes);
        Some(Checked::Segment { file, bytes: self.opened.len(), batches, events, payload_bytes })
    }
}
