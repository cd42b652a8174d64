//! How much is in the queue, by looking at its files beside the running forwarder.

use std::path::PathBuf;

use millpond_queue::{Fs, inspect};

/// What is queued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Batches not delivered.
    pub batches: u64,
    /// Real bytes on disk of all files of the queue.
    pub disk_bytes: u64,
}

/// Looks at a queue now and then.
#[derive(Debug)]
pub struct QueueGauge {
    directory: PathBuf,
    peak: Depth,
}

impl QueueGauge {
    /// A gauge for the queue in this directory, which need not exist yet.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, peak: Depth::default() }
    }

    /// How much is queued now; `None` before there is a queue.
    pub fn look(&mut self) -> Option<Depth> {
        let storage = Fs::existing(&self.directory).ok()?;
        let overview = inspect::overview(&storage).ok()?;
        let depth = Depth { batches: overview.pending_batches, disk_bytes: overview.disk_bytes };
        if depth.batches > self.peak.batches {
            self.peak = depth;
        }
        Some(depth)
    }

    /// The most that was seen.
    #[must_use]
    pub fn peak(&self) -> Depth {
        self.peak
    }
}
