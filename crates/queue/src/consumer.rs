//! One consumer: what it has acknowledged, its cursor on disk, what was given up instead of being delivered to it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io, mem,
};

use crate::{
    ack::AckWindow,
    batch::{DropReason, Losses, Tally},
    checkpoint::Checkpoint,
    cursor::{Cursor, RANGES_MAX},
    storage::Storage,
    summary::Weight,
    timeline::Timeline,
    view::{Read, Slot, State},
};

/// A batch that is to be given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) sequence: u64,
    pub(crate) read: Read,
}

/// A consumer.
#[derive(Debug)]
pub(crate) struct Consumer<S: Storage> {
    pub(crate) slot: Slot,
    /// `None`: the queue's own.
    pub(crate) name: Option<String>,
    pub(crate) acks: AckWindow,
    /// What everything below the low-water mark amounts to, since the queue began.
    pub(crate) delivered: Weight,
    /// What was given up, and will certainly not be delivered.
    pub(crate) losses: Losses,
    /// Given up while they were given out: delivered, if an acknowledgement comes. If none has come when the process
    /// ends, they are lost; the cursor on disk counts them so.
    adrift: BTreeMap<u64, (DropReason, Tally)>,
    pub(crate) timeline: Timeline,
    pub(crate) checkpoint: Checkpoint<S>,
    /// The cursor as it is on disk.
    pub(crate) saved: Option<Cursor>,
}

impl<S: Storage> Consumer<S> {
    /// A consumer that stands at `low`. `saved`: its cursor on disk, if there is one.
    pub(crate) fn new(
        slot: Slot,
        name: Option<String>,
        low: u64,
        checkpoint: Checkpoint<S>,
        saved: Option<Cursor>,
    ) -> Consumer<S> {
        let (losses, points) =
            saved.as_ref().map(|cursor| (cursor.losses, cursor.points.clone())).unwrap_or_default();
        Consumer {
            slot,
            name,
            acks: AckWindow::new(low),
            delivered: Weight::default(),
            losses,
            adrift: BTreeMap::new(),
            timeline: Timeline::new(points),
            checkpoint,
            saved,
        }
    }

    /// Everything below is settled.
    pub(crate) fn low(&self) -> u64 {
        self.acks.low()
    }

    /// Everything below is settled, and a crash does not change that.
    pub(crate) fn saved_low(&self) -> Option<u64> {
        self.saved.as_ref().map(|saved| saved.acked)
    }

    pub(crate) fn ack(&mut self, sequence: u64) {
        self.adrift.remove(&sequence);
        self.acks.settle(sequence, sequence + 1);
    }

    /// Gives up all batches below `end` that are not settled; `candidates` are those of them that can be read. Gives
    /// what is lost for certain.
    pub(crate) fn give_up(
        &mut self,
        reason: DropReason,
        candidates: &[Candidate],
        end: u64,
        state: &mut State,
    ) -> Tally {
        let progress = state.progress_mut(self.slot);
        let mut lost = Tally::default();
        for &Candidate { sequence, read } in candidates {
            if self.acks.contains(sequence) {
                continue;
            }
            match progress.reads.entry(sequence) {
                Entry::Occupied(_) => {
                    self.adrift.insert(sequence, (reason, read.tally()));
                }
                Entry::Vacant(weighed) => {
                    weighed.insert(read);
                    lost = lost.plus(read.tally());
                }
            }
        }
        progress.floor = progress.floor.max(end);
        self.losses.add(reason, lost);
        self.acks.settle(self.acks.low(), end);
        lost
    }

    /// Takes what was settled into account. `total`: what everything durable amounts to.
    pub(crate) fn advance(&mut self, state: &mut State, total: Weight) {
        let low = self.low();
        assert!(low <= state.durable, "what is not durable cannot be settled");
        let durable = state.durable;
        let progress = state.progress_mut(self.slot);
        let from = mem::replace(&mut progress.acked, low);
        assert!(low >= from, "the low-water mark went back");
        if low == from {
            return;
        }
        let kept = progress.reads.split_off(&low);
        let passed = mem::replace(&mut progress.reads, kept);
        if low >= durable {
            self.delivered = total;
            return;
        }
        // Where the mark has come into another segment whose totals are known, they are exact;
        // otherwise what was passed is added.
        let segment = state.segments.get(state.segment_at(low));
        let before = segment.and_then(|segment| Some((segment.base, segment.content?.before.weight)));
        let (start, mut weight) = match before {
            Some((base, before)) if base >= from => (base.min(low), before),
            _ => (from, self.delivered),
        };
        let mut known = 0;
        for read in passed.range(start..).map(|(_, read)| read) {
            weight = weight.plus(read.weight);
            known += 1;
        }
        // Those that nobody read here count as an average batch of what was pending.
        let pending = total.without(weight);
        self.delivered = weight.plus(pending.share(low - start - known, durable - start));
    }

    /// Makes durable where the consumer is.
    pub(crate) fn save(&mut self, queue_id: u128, durable: u64) -> io::Result<()> {
        let mut losses = self.losses;
        self.adrift.values().for_each(|&(reason, tally)| losses.add(reason, tally));
        let cursor = Cursor {
            queue_id,
            acked: self.low(),
            durable,
            delivered: self.delivered,
            losses,
            above: self.acks.above().take(RANGES_MAX).collect(),
            points: self.timeline.points().to_vec(),
        };
        if self.saved.as_ref() != Some(&cursor) {
            self.checkpoint.save(&cursor.encode())?;
            self.saved = Some(cursor);
        }
        Ok(())
    }
}
