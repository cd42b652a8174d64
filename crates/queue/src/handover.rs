//! Batches that were just written, kept in memory for a reader that is about to ask for them. Pure.
//!
//! A reader that keeps up gets them from here instead of reading them back. One that is further behind finds nothing
//! here, and nothing is kept for it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::batch::BatchInfo;

/// A batch in memory.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) sequence: u64,
    pub(crate) info: BatchInfo,
    pub(crate) parts: Vec<Bytes>,
    pub(crate) len: u32,
}

impl Fresh {
    /// The payload in one piece.
    pub(crate) fn payload(mut self) -> Bytes {
        if self.parts.len() == 1 {
            return self.parts.remove(0);
        }
        let mut whole = BytesMut::with_capacity(self.len as usize);
        self.parts.iter().for_each(|part| whole.extend_from_slice(part));
        whole.freeze()
    }
}

/// The batches between a reader that keeps up and the durable end.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    bytes_max: u64,
    bytes: u64,
    fresh: VecDeque<Fresh>,
    /// What the reader asked for last.
    wanted: u64,
}

impl Handover {
    pub(crate) fn new(bytes_max: u64) -> Handover {
        Handover { bytes_max, ..Handover::default() }
    }

    /// Takes a batch that has become durable, the next one after those before.
    pub(crate) fn put(&mut self, fresh: Fresh) {
        let first = self.fresh.front().map_or(fresh.sequence, |oldest| oldest.sequence);
        self.bytes += u64::from(fresh.len);
        if self.wanted < first || self.bytes > self.bytes_max {
            // The reader has to read it back, and all that comes before it catches up.
            self.fresh.clear();
            self.bytes = 0;
            return;
        }
        self.fresh.push_back(fresh);
    }

    /// Gives out the batch `sequence`, if it is here. Those before it will not be asked for any more.
    pub(crate) fn take(&mut self, sequence: u64) -> Option<Fresh> {
        self.wanted = sequence;
        while let Some(oldest) = self.fresh.pop_front_if(|oldest| oldest.sequence <= sequence) {
            self.bytes -= u64::from(oldest.len);
            if oldest.sequence == sequence {
                self.wanted = sequence + 1;
                return Some(oldest);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(sequence: u64, len: u32) -> Fresh {
        let parts = vec![Bytes::from(vec![sequence as u8; len as usize])];
        Fresh { sequence, info: BatchInfo::default(), parts, len }
    }

    fn sequences(handover: &Handover) -> Vec<u64> {
        handover.fresh.iter().map(|fresh| fresh.sequence).collect()
    }

    #[test]
    fn a_reader_that_keeps_up_is_served_from_memory() {
        let mut handover = Handover::new(100);
        assert!(handover.take(1).is_none());
        (1..=3).for_each(|sequence| handover.put(fresh(sequence, 10)));
        assert_eq!(handover.take(1).map(|fresh| fresh.sequence), Some(1));
        assert_eq!(handover.take(3).map(|fresh| fresh.sequence), Some(3), "2 was not wanted");
        assert!(handover.take(4).is_none());
        assert_eq!(handover.bytes, 0);
    }

    #[test]
    fn nothing_is_kept_for_a_reader_that_is_behind() {
        let mut handover = Handover::new(100);
        assert!(handover.take(1).is_none());
        handover.put(fresh(2, 10));
        assert_eq!(sequences(&handover), [], "1 has to be read first");
        assert!(handover.take(3).is_none());
        handover.put(fresh(3, 10));
        assert_eq!(sequences(&handover), [3]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut handover = Handover::new(25);
        assert!(handover.take(1).is_none());
        (1..=4).for_each(|sequence| handover.put(fresh(sequence, 10)));
        assert_eq!((sequences(&handover), handover.bytes), (vec![], 0));
        assert!(handover.take(5).is_none());
        handover.put(fresh(5, 25));
        handover.put(fresh(6, 1));
        assert_eq!(sequences(&handover), []);
    }

    #[test]
    fn parts_are_put_together() {
        let parts = vec![Bytes::from_static(b"head"), Bytes::from_static(b" body")];
        let fresh = Fresh { sequence: 1, info: BatchInfo::default(), parts, len: 9 };
        assert_eq!(fresh.payload(), "head body");
    }
}
