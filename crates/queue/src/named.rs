//! Consumers beside the queue's own: each has a name, a cursor of its own, and holds what it has not acknowledged.

use std::io;

use crate::{
    batch::Sequence,
    checkpoint::{self, Checkpoint, CheckpointError},
    consumer::Consumer,
    error::ConsumerError,
    queue::{NoRoom, Queue},
    reader::Reader,
    storage::Storage,
    view::{Progress, Slot},
};

/// The longest name.
const NAME_LEN_MAX: usize = 64;
const PREFIX: &str = "consumer-";

/// The checkpoint of the consumer `name`.
pub(crate) fn checkpoint_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The consumer that a file belongs to.
pub(crate) fn name_in(file: &str) -> Option<&str> {
    checkpoint::name_of(file)?.strip_prefix(PREFIX).filter(|name| is_name(name))
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(fits)
}

/// A consumer of a queue, by its name.
#[derive(Debug)]
pub struct Named<'q, S: Storage> {
    queue: &'q mut Queue<S>,
    index: usize,
}

impl<S: Storage> Queue<S> {
    /// The names of all consumers but the queue's own.
    pub fn consumers(&self) -> impl Iterator<Item = &str> {
        self.consumers.iter().filter_map(|consumer| consumer.name.as_deref())
    }

    /// The consumer `name`, if there is one.
    pub fn consumer(&mut self, name: &str) -> Option<Named<'_, S>> {
        let named = |consumer: &Consumer<S>| consumer.name.as_deref() == Some(name);
        let index = self.consumers.iter().position(named)?;
        Some(Named { queue: self, index })
    }

    /// Adds the consumer `name`, which is to get everything from `from` on that is still there. One that exists
    /// already stays where it is.
    ///
    /// From now on nothing is reclaimed that it has not acknowledged: one that is no longer needed has to be removed.
    pub fn add_consumer(&mut self, name: &str, from: Sequence) -> Result<Named<'_, S>, ConsumerError> {
        if !is_name(name) {
            return Err(ConsumerError::Name { name: name.to_owned() });
        }
        if self.consumers().all(|known| known != name) {
            match self.new_consumer(name, from.0) {
                Ok(consumer) => self.consumers.push(consumer),
                Err(error) => {
                    self.clear_away(name);
                    return Err(error);
                }
            }
        }
        Ok(self.consumer(name).expect("it was there, or was put there"))
    }

    fn new_consumer(&mut self, name: &str, from: u64) -> Result<Consumer<S>, ConsumerError> {
        self.make_room(2 * checkpoint::SLOT_BYTES_MIN as u64).map_err(|why| match why {
            NoRoom::Full(reason) => ConsumerError::Full(reason),
            NoRoom::Unknown(error) => ConsumerError::Io(error),
        })?;
        let (checkpoint, _) = Checkpoint::open(self.storage.clone(), &checkpoint_name(name))?;
        let slot = Slot(self.next_slot);
        self.next_slot += 1;
        let state = self.view.lock();
        let low = from.clamp(state.first, state.durable);
        let mut consumer = Consumer::new(slot, Some(name.to_owned()), low, checkpoint, None);
        let place = state.segments.get(state.segment_at(low)).and_then(|segment| segment.content);
        consumer.delivered = match place {
            Some(content) if low < state.durable => content.before.weight,
            _ => self.total,
        };
        let durable = state.durable;
        drop(state);
        consumer.save(self.queue_id, durable).map_err(ConsumerError::Io)?;
        self.other.fixed += consumer.checkpoint.disk_bytes().map_err(ConsumerError::Io)?;
        self.view.lock().progress.insert(slot, Progress { acked: low, ..Progress::default() });
        Ok(consumer)
    }

    /// Removes what is left of a consumer that could not be made.
    fn clear_away(&mut self, name: &str) {
        if let Err(error) = checkpoint::remove(&self.storage, &checkpoint_name(name)) {
            tracing::warn!(%error, name, "the cursor of a consumer that was not added is left behind");
            self.other.fixed += 2 * checkpoint::SLOT_BYTES_MIN as u64;
        }
    }

    /// Removes the consumer `name`; what only it had not acknowledged is reclaimed at the next checkpoint. False: there
    /// was none. After an error it is gone as well, but may be back, where it was, when the queue is opened again; call
    /// again.
    pub fn remove_consumer(&mut self, name: &str) -> io::Result<bool> {
        if !is_name(name) {
            return Ok(false);
        }
        let named = |consumer: &Consumer<S>| consumer.name.as_deref() == Some(name);
        let index = self.consumers.iter().position(named);
        let consumer = index.map(|index| self.consumers.remove(index));
        // Its files may be there although it is not, if they could not be removed before.
        let removed = checkpoint::remove(&self.storage, &checkpoint_name(name));
        if let Some(consumer) = &consumer {
            self.view.lock().progress.remove(&consumer.slot);
        }
        removed?;
        if let Some(consumer) = &consumer {
            self.other.fixed = self.other.fixed.saturating_sub(consumer.checkpoint.disk_bytes()?);
        }
        Ok(consumer.is_some())
    }
}

impl<S: Storage> Named<'_, S> {
    /// Acknowledges one batch; out of order is fine. Durable with the next [`Queue::checkpoint`].
    ///
    /// # Panics
    /// If `sequence` was never durable, hence never read.
    pub fn ack(&mut self, sequence: Sequence) {
        self.queue.ack_for(self.index, sequence);
    }

    /// The low-water mark: everything below it is acknowledged.
    pub fn acked(&self) -> Sequence {
        Sequence(self.queue.consumers[self.index].low())
    }

    /// A reader that starts at `from`, or at the oldest batch still there if that is later. It leaves out what this
    /// consumer had acknowledged before the queue was opened.
    pub fn reader(&self, from: Sequence) -> Reader<S> {
        self.queue.reader_for(self.index, from)
    }
}

impl From<CheckpointError> for ConsumerError {
    fn from(error: CheckpointError) -> ConsumerError {
        match error {
            CheckpointError::Unsupported { file, version, known } => {
                ConsumerError::Unsupported { file, version, known }
            }
            CheckpointError::Io { source, .. } => ConsumerError::Io(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_consumers_and_their_files() {
        for good in ["a", "replay-2026", "x.y_z", &"n".repeat(64)] {
            let file = format!("{}.a", checkpoint_name(good));
            assert_eq!(name_in(&file), Some(good), "{file}");
        }
        for file in [
            "cursor.a",
            "consumer-.a",
            "consumer-x.c",
            "consumer-x",
            "consumer-a/b.a",
            "consumer-ä.a",
            "x.seg",
        ] {
            assert_eq!(name_in(file), None, "{file}");
        }
        assert_eq!(name_in(&format!("consumer-{}.b", "n".repeat(65))), None);
    }
}
