//! What one consumer of the model was given and has acknowledged, and what may be left of that after anything.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millpond_queue::{DropReason, Losses, Queue, Reader, Sequence, Tally, storage::mem::Mem};

/// A consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Own,
    Named,
}

/// The low-water mark of a consumer.
pub(crate) fn acked(queue: &mut Queue<Mem>, who: Who) -> u64 {
    match who {
        Who::Own => queue.acked().0,
        Who::Named => queue.consumer("c").unwrap().acked().0,
    }
}

/// A reader of a consumer.
pub(crate) fn reader(queue: &mut Queue<Mem>, who: Who, from: Sequence) -> Reader<Mem> {
    match who {
        Who::Own => queue.reader(from),
        Who::Named => queue.consumer("c").unwrap().reader(from),
    }
}

/// Why a batch is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acked,
    GivenUp(DropReason),
    /// Given up while it was given out.
    Adrift(DropReason),
    /// As before, and then acknowledged all the same.
    Rescued(DropReason),
}

#[derive(Default)]
pub(crate) struct Told {
    reader: Option<Reader<Mem>>,
    /// Given out, not acknowledged.
    read: Vec<u64>,
    pub(crate) low: u64,
    /// Settled above the low-water mark.
    above: BTreeSet<u64>,
    fates: BTreeMap<u64, Fate>,
    /// The low-water mark that is promised to survive, and what is promised to survive above it.
    low_saved: u64,
    above_saved: BTreeSet<u64>,
    /// Acknowledged in an earlier life, above the low-water mark: their weight is not known.
    earlier: BTreeSet<u64>,
    /// The low-water mark has passed such a batch: from then on, what is pending may be an estimate.
    pub(crate) is_estimate: bool,
}

impl Clone for Told {
    /// The expectations; the reader belongs to its process.
    fn clone(&self) -> Told {
        Told {
            reader: None,
            read: Vec::new(),
            low: self.low,
            above: self.above.clone(),
            fates: self.fates.clone(),
            low_saved: self.low_saved,
            above_saved: self.above_saved.clone(),
            earlier: self.earlier.clone(),
            is_estimate: self.is_estimate,
        }
    }
}

impl Told {
    pub(crate) fn new(low: u64) -> Told {
        Told { low, low_saved: low, ..Told::default() }
    }

    pub(crate) fn has_settled(&self, sequence: u64) -> bool {
        sequence < self.low || self.above.contains(&sequence)
    }

    /// After an opening, the low-water mark is here.
    pub(crate) fn is_back_at(&mut self, low: u64) {
        self.reader = None;
        self.read.clear();
        assert!(low >= self.low_saved, "at {low}, the cursor was at {}", self.low_saved);
        assert!(low <= self.low, "at {low}, acknowledged was {}", self.low);
        // What was below the low-water mark in memory may be above the one on disk.
        self.above.extend(low..self.low);
        self.low = low;
        self.low_saved = low;
    }

    /// After an opening, these are left out above the low-water mark.
    pub(crate) fn skips(&mut self, low: u64, skipped: BTreeSet<u64>) {
        assert!(skipped.is_subset(&self.above), "{skipped:?} were skipped, {:?} acknowledged", self.above);
        let promised = self.above_saved.split_off(&low);
        assert!(promised.is_subset(&skipped), "{promised:?} were acknowledged, {skipped:?} skipped");
        // The others are pending again, as if nothing had happened to them.
        self.fates.retain(|sequence, _| *sequence < low || skipped.contains(sequence));
        // The process that could have acknowledged them is gone.
        for fate in self.fates.values_mut() {
            if let Fate::Adrift(reason) = *fate {
                *fate = Fate::GivenUp(reason);
            }
        }
        self.earlier.clone_from(&skipped);
        self.above_saved.clone_from(&skipped);
        self.above = skipped;
    }

    /// A process has begun to read.
    pub(crate) fn starts(&mut self, reader: Reader<Mem>) {
        self.reader = Some(reader);
        self.read.clear();
    }

    pub(crate) fn read(&mut self, durable: &BTreeMap<u64, Bytes>, end: u64, batches: usize) {
        let Some(reader) = &mut self.reader else { return };
        for _ in 0..batches {
            let position = reader.position().0;
            // What was given up is passed over; what was acknowledged in this life was read before.
            let given_up = |sequence: &u64| matches!(self.fates.get(sequence), Some(Fate::GivenUp(_)));
            let left_out = |sequence: &u64| self.earlier.contains(sequence) || given_up(sequence);
            let expected = (position..).find(|sequence| !left_out(sequence)).unwrap();
            match reader.next() {
                Ok(Some(frame)) => {
                    assert_eq!(frame.sequence.0, expected);
                    assert_eq!(frame.payload, durable[&expected], "{expected}");
                    self.read.push(expected);
                }
                Ok(None) => assert!(expected >= end, "{expected} is not read, {end} is the end"),
                Err(_) => assert!((position..=expected).contains(&reader.position().0)),
            }
        }
    }

    pub(crate) fn take_read(&mut self, back: usize) -> Option<u64> {
        let last = self.read.len().checked_sub(1)?;
        Some(self.read.remove(back.min(last)))
    }

    pub(crate) fn acks(&mut self, sequence: u64) {
        let fate = match self.fates.get(&sequence) {
            Some(Fate::Adrift(reason) | Fate::Rescued(reason)) => Fate::Rescued(*reason),
            _ => Fate::Acked,
        };
        self.fates.insert(sequence, fate);
        if sequence >= self.low {
            self.above.insert(sequence);
        }
        self.advance();
    }

    /// Moves the low-water mark over what is settled.
    fn advance(&mut self) {
        while self.above.remove(&self.low) {
            self.is_estimate |= self.earlier.contains(&self.low);
            self.low += 1;
        }
    }

    /// Where the low-water mark would be if everything below `end` were settled.
    pub(crate) fn low_after(&self, end: u64) -> u64 {
        (self.low.max(end)..).find(|sequence| !self.above.contains(sequence)).unwrap()
    }

    /// Everything below `low` is settled now. Gives how many batches were lost for certain.
    pub(crate) fn gave_up(&mut self, low: u64, reason: DropReason) -> u64 {
        let mut lost = 0;
        for sequence in self.low..low {
            if self.above.contains(&sequence) {
                continue;
            }
            let fate = if self.read.contains(&sequence) {
                Fate::Adrift(reason)
            } else {
                lost += 1;
                Fate::GivenUp(reason)
            };
            self.fates.insert(sequence, fate);
            self.above.insert(sequence);
        }
        self.advance();
        assert_eq!(self.low, low);
        lost
    }

    pub(crate) fn is_saved(&mut self) {
        self.low_saved = self.low;
        self.above_saved.clone_from(&self.above);
    }

    /// The losses that the queue names are those of the model.
    pub(crate) fn check_losses(&mut self, losses: &Losses) {
        for reason in DropReason::ALL {
            let with = |fate: Fate| self.fates.iter().filter(move |(_, is)| **is == fate);
            let certain: Vec<u64> = with(Fate::GivenUp(reason)).map(|(sequence, _)| *sequence).collect();
            // The cursor that counted them as lost may be older than their acknowledgement.
            let possible: Vec<u64> = with(Fate::Rescued(reason)).map(|(sequence, _)| *sequence).collect();
            let Tally { batches, events, .. } = losses.of(reason);
            let (least, most) = (certain.len() as u64, (certain.len() + possible.len()) as u64);
            assert!((least..=most).contains(&batches), "{losses:?}, {:?}", self.fates);
            let (least, more) = (certain.iter().sum::<u64>(), possible.iter().sum::<u64>());
            assert!((least..=least + more).contains(&events), "{losses:?}, {:?}", self.fates);
        }
    }
}
