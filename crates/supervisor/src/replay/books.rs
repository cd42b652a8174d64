//! The book of a replay that acknowledges in the queue itself.

use std::io;

use millpond_queue::{Fs, Queue};

use super::course::Shared;
use crate::clock;
use crate::ledger::{Book, Settled};

/// Acknowledges, and makes that durable at once: the queue's own cursor is what a later run goes by.
#[derive(Debug)]
pub struct Consuming {
    queue: Queue<Fs>,
    shared: Shared,
}

impl Consuming {
    /// Acknowledges in this queue.
    #[must_use]
    pub fn new(queue: Queue<Fs>, shared: Shared) -> Self {
        Self { queue, shared }
    }
}

impl Book for Consuming {
    fn note(&mut self, settled: &Settled) {
        self.queue.ack(settled.sequence);
        self.shared.lock().settle(settled);
    }

    fn save(&mut self) -> io::Result<()> {
        self.queue.checkpoint(clock::unix_ms()).map(drop).map_err(io::Error::other)
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        let stats = self.queue.stats();
        {
            let lacking = &mut self.shared.lock().course.lacking;
            lacking.damaged_places = stats.damaged_spans;
            lacking.damaged_batches = stats.damaged_batches;
            lacking.missing_batches = stats.missing_batches;
        }
        self.queue.close(clock::unix_ms()).map_err(io::Error::other)
    }
}
