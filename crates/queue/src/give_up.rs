//! Giving batches up: the oldest when the queue is full, those that are too old, and what a person has no use for.
//! Whatever goes is counted for every consumer that had not acknowledged it, durably, before it goes.

use std::{io, mem};

use crate::{
    batch::{DropReason, Sequence, Tally},
    check,
    consumer::Candidate,
    format::{FrameHeader, segment_name},
    queue::Queue,
    segment::{
        look::Content,
        walk::{Bounds, Step, Walk},
    },
    storage::Storage,
    view::{Read, Segment, Unchecked},
};

/// What was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GivenUp {
    /// What the queue's own consumer had not acknowledged. Batches that were given out are not in it: they count only
    /// if their acknowledgement never comes.
    pub lost: Tally,
    /// When the oldest batch that is left was appended, in milliseconds since the Unix epoch, as far as that was found
    /// out.
    pub oldest_appended_ms: Option<i64>,
}

/// Batches that are to be given up, collected from the headers of segments.
#[derive(Default)]
struct Sweep {
    /// Everything below is settled already.
    from: u64,
    candidates: Vec<Candidate>,
    /// How many of them are old for certain, and the sequence after the last of those.
    certain: usize,
    end: u64,
    /// When the first one was appended that stays.
    stays_ms: Option<i64>,
}

impl Sweep {
    /// Takes a batch in, if it was appended before `before_ms`. False: it was not, and stays.
    fn take(&mut self, header: &FrameHeader, before_ms: i64) -> bool {
        if header.sequence < self.from {
            return true;
        }
        let appended_ms = header.info.appended_ms;
        if appended_ms >= before_ms {
            self.stays_ms = Some(appended_ms);
            return false;
        }
        let read = Read::new(&header.info, header.batch_len());
        self.candidates.push(Candidate { sequence: header.sequence, read });
        if appended_ms > 0 {
            self.certain = self.candidates.len();
            self.end = header.sequence + 1;
        }
        true
    }

    /// Those that are old for certain, and their end.
    fn take_certain(&mut self) -> Option<(Vec<Candidate>, u64)> {
        let certain = self.candidates.drain(..mem::take(&mut self.certain)).collect::<Vec<_>>();
        (!certain.is_empty()).then_some((certain, self.end))
    }
}

impl<S: Storage> Queue<S> {
    /// Gives up the oldest segment with all batches in it, to make room. `None`: there is none but the one that is being
    /// written to, which never goes.
    ///
    /// What was acknowledged goes first, even if it was to be kept.
    pub fn drop_oldest(&mut self) -> io::Result<Option<GivenUp>> {
        self.advance();
        self.save_cursors()?;
        let mut given_up = GivenUp { lost: Tally::default(), oldest_appended_ms: None };
        if self.release_oldest()? {
            return Ok(Some(given_up));
        }
        let Some(oldest) = self.oldest_closed()? else { return Ok(None) };
        let mut sweep = Sweep::default();
        self.sweep(&oldest, i64::MAX, &mut sweep)?;
        given_up.lost = self.settle(DropReason::Full, &sweep.candidates, oldest.end)?;
        self.release_oldest()?;
        Ok(Some(given_up))
    }

    /// Gives up the batches that were appended before `before_ms` (milliseconds since the Unix epoch), oldest first, up
    /// to the first one that was not. Those of unknown age (0 or less) go with an older one behind them, or stay.
    ///
    /// Their space is given back by the next [`Queue::checkpoint`].
    pub fn expire(&mut self, before_ms: i64) -> io::Result<GivenUp> {
        self.advance();
        let mut lost = Tally::default();
        let mut at = self.consumers.iter().map(|consumer| consumer.low()).min().unwrap_or(0);
        let mut sweep = Sweep { from: at, ..Sweep::default() };
        while sweep.stays_ms.is_none()
            && let Some(segment) = self.segment_with(at)?
        {
            self.sweep(&segment, before_ms, &mut sweep)?;
            if let Some((candidates, end)) = sweep.take_certain() {
                lost = lost.plus(self.settle(DropReason::Expired, &candidates, end)?);
            }
            at = segment.end;
        }
        Ok(GivenUp { lost, oldest_appended_ms: sweep.stays_ms })
    }

    /// Gives up everything below `end`, because a person has said so.
    ///
    /// Its space is given back by the next [`Queue::checkpoint`]. After an error, what was given up before stays given up
    /// and counted; call again.
    pub fn purge(&mut self, end: Sequence) -> io::Result<GivenUp> {
        self.advance();
        let end = end.min(self.durable()).0;
        let mut lost = Tally::default();
        let mut at = self.consumers.iter().map(|consumer| consumer.low()).min().unwrap_or(end);
        while at < end
            && let Some(segment) = self.segment_with(at)?
        {
            let upto = segment.end.min(end);
            let mut sweep = Sweep { from: at, ..Sweep::default() };
            self.sweep(&Segment { end: upto, ..segment }, i64::MAX, &mut sweep)?;
            lost = lost.plus(self.settle(DropReason::Purged, &sweep.candidates, upto)?);
            at = upto;
        }
        Ok(GivenUp { lost, oldest_appended_ms: None })
    }

    /// Settles everything below `end` for every consumer, and makes that durable. Gives what the queue's own lost.
    fn settle(&mut self, reason: DropReason, candidates: &[Candidate], end: u64) -> io::Result<Tally> {
        let mut state = self.view.lock();
        let mut own = None;
        for consumer in &mut self.consumers {
            let lost = consumer.give_up(reason, candidates, end, &mut state);
            own.get_or_insert(lost);
        }
        drop(state);
        self.advance();
        self.save_cursors()?;
        Ok(own.unwrap_or_default())
    }

    /// The oldest segment, unless it is the last one.
    fn oldest_closed(&self) -> io::Result<Option<Segment>> {
        let state = self.view.lock();
        let oldest = state.segments.front().filter(|_| state.segments.len() > 1).map(|oldest| oldest.base);
        drop(state);
        oldest.map_or(Ok(None), |base| self.checked(base))
    }

    /// The segment that `sequence` is in, or the next one that holds anything.
    fn segment_with(&self, sequence: u64) -> io::Result<Option<Segment>> {
        let state = self.view.lock();
        if sequence >= state.durable {
            return Ok(None);
        }
        let base = state.segments.get(state.segment_at(sequence)).map(|segment| segment.base);
        drop(state);
        base.map_or(Ok(None), |base| self.checked(base))
    }

    /// The segment `base`, and where it ends, for certain: it and the one behind it have been looked at.
    fn checked(&self, base: u64) -> io::Result<Option<Segment>> {
        loop {
            let state = self.view.lock();
            let Ok(index) = state.segments.binary_search_by_key(&base, |segment| segment.base) else {
                return Ok(None);
            };
            let pair = [state.segments.get(index), state.segments.get(index + 1)];
            let unchecked = pair.into_iter().flatten().find(|segment| !segment.checked);
            let Some(unchecked) = unchecked.map(|segment| Unchecked { base: segment.base, end: segment.end })
            else {
                return Ok(state.segments.get(index).cloned());
            };
            drop(state);
            check::check(&self.storage, &self.view, self.queue_id, unchecked).map_err(io::Error::other)?;
        }
    }

    /// Reads the headers of a segment up to the first batch that stays.
    fn sweep(&self, segment: &Segment, before_ms: i64, sweep: &mut Sweep) -> io::Result<()> {
        let Some(Content { salt, data_len, .. }) = segment.content else { return Ok(()) };
        let file = self.storage.open(&segment_name(Sequence(segment.base)))?;
        let mut walk = Walk::new(segment.base, salt, self.options.read_ahead_bytes);
        walk.read_payloads(false);
        let bounds = Bounds { limit: data_len, end: Some(segment.end) };
        loop {
            match walk.step(&file, bounds)? {
                Step::Frame { header, .. } => {
                    if !sweep.take(&header, before_ms) {
                        return Ok(());
                    }
                }
                Step::Bad(span) => check::report(&self.view, segment.base, &span),
                Step::Seal | Step::Zeros { .. } | Step::End => return Ok(()),
            }
        }
    }
}
