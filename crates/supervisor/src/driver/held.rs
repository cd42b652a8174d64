//! The batches of one output that are in memory, and how much of it they take.

use std::collections::HashMap;
use std::sync::Arc;

use millpond_kinesis::{Batch, Pending};
use millpond_queue::DropReason;

use crate::chunk::Receipt;
use crate::forwarder::{Event, Key};

/// A batch in memory.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) batch: Arc<Batch>,
    pub(super) pending: Pending,
    pub(super) receipts: Vec<Receipt>,
    pub(super) may_have_arrived: bool,
    /// It is being put.
    pub(super) flying: bool,
    /// The queue has given it up meanwhile. It is sent all the same; if that fails until the stop, it is lost.
    pub(super) given_up: Option<DropReason>,
}

impl Held {
    /// A batch of which nothing was sent yet.
    pub(super) fn new(batch: Batch, receipts: Vec<Receipt>) -> Self {
        let pending = Pending::all(&batch);
        Self {
            batch: Arc::new(batch),
            pending,
            receipts,
            may_have_arrived: false,
            flying: false,
            given_up: None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Batches {
    held: HashMap<Key, Held>,
    /// So many bytes of batches from the inputs may be in flight, and so many of queued ones may be held.
    bytes_max: u64,
    flying_live_bytes: u64,
    queued_bytes: u64,
    /// What the machine was told last: may more be put, may more be read.
    told: (bool, bool),
}

impl Batches {
    pub(super) fn new(bytes_max: u64) -> Self {
        assert!(bytes_max > 0, "an output that can hold nothing");
        Self { held: HashMap::new(), bytes_max, flying_live_bytes: 0, queued_bytes: 0, told: (true, true) }
    }

    pub(super) fn insert(&mut self, key: Key, held: Held) {
        assert!(!held.flying, "{key:?} flies before it is held");
        if let Key::Queued(_) = key {
            self.queued_bytes += held.batch.wire_bytes();
        }
        let known = self.held.insert(key, held);
        assert!(known.is_none(), "{key:?} is held twice");
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Held> {
        self.fly(key, false);
        let held = self.held.remove(&key)?;
        if let Key::Queued(_) = key {
            self.queued_bytes -= held.batch.wire_bytes();
        }
        Some(held)
    }

    /// A put of the batch begins or has ended.
    pub(super) fn fly(&mut self, key: Key, flying: bool) {
        let Some(held) = self.held.get_mut(&key) else { return };
        let was_flying = std::mem::replace(&mut held.flying, flying);
        match (key, was_flying, flying) {
            (Key::Live(_), false, true) => self.flying_live_bytes += held.batch.wire_bytes(),
            (Key::Live(_), true, false) => self.flying_live_bytes -= held.batch.wire_bytes(),
            _ => {}
        }
    }

    /// No put that flies will be answered any more: what it carried may have arrived.
    pub(super) fn forget_answers(&mut self) {
        self.held.values_mut().filter(|held| held.flying).for_each(|held| held.may_have_arrived = true);
    }

    pub(super) fn get(&self, key: Key) -> Option<&Held> {
        self.held.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Held> {
        self.held.get_mut(&key)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Held)> {
        self.held.iter_mut()
    }

    /// How many bytes may be read back now. The machine asks for nothing when there are none.
    pub(super) fn readable_bytes(&self) -> u64 {
        self.bytes_max.saturating_sub(self.queued_bytes)
    }

    /// What the machine is to be told of the memory, if that has changed.
    pub(super) fn news(&mut self) -> Option<Event> {
        let (puts, reads) = (self.flying_live_bytes < self.bytes_max, self.queued_bytes < self.bytes_max);
        let told = std::mem::replace(&mut self.told, (puts, reads));
        (told != (puts, reads)).then_some(Event::Memory { puts, reads })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millpond_kinesis::{BatchMeta, Format, RecordRef};

    use super::*;

    /// A batch of so many bytes with its key.
    fn held(bytes: usize) -> Held {
        let meta =
            BatchMeta { format: Format::Gzip, events: 1, raw_bytes: 0, first_time_ms: 0, last_time_ms: 0 };
        let data = Bytes::from(vec![0; bytes - 1]);
        let record = RecordRef { partition_key: "k", explicit_hash_key: None, data };
        Held::new(Batch::from_records(meta, &[record]), Vec::new())
    }

    #[test]
    fn what_flies_and_what_is_read_is_counted_and_changes_are_told_once() {
        let (live, queued) = (Key::Live, Key::Queued);
        let mut batches = Batches::new(100);
        batches.insert(live(1), held(99));
        batches.insert(live(2), held(99));
        batches.insert(queued(1), held(60));
        batches.fly(live(1), true);
        assert_eq!((batches.news(), batches.readable_bytes()), (None, 40));
        batches.fly(live(2), true);
        assert_eq!(batches.news(), Some(Event::Memory { puts: false, reads: true }));
        assert_eq!(batches.news(), None);
        batches.insert(queued(2), held(60));
        assert_eq!(batches.news(), Some(Event::Memory { puts: false, reads: false }));
        assert_eq!(batches.readable_bytes(), 0);
        batches.fly(live(1), false);
        batches.fly(live(1), false);
        assert_eq!(batches.news(), Some(Event::Memory { puts: true, reads: false }));
        assert!(batches.remove(live(2)).is_some() && batches.remove(live(2)).is_none());
        assert!(batches.remove(queued(1)).is_some());
        assert_eq!(batches.news(), Some(Event::Memory { puts: true, reads: true }));
        assert_eq!((batches.flying_live_bytes, batches.readable_bytes()), (0, 40));
    }
}
