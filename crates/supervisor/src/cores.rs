//! How many processors there are, and whose turn it is to fill one of them.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The processors that this process may use, by affinity and cgroup.
#[must_use]
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Waits for one of the turns to compress, of which the process has as many as processors. More at a time are not faster:
/// each has a batch and its tables in the processors' caches, and they would take these from one another (measured with
/// four on two processors: 10 % more processor time, 10 MB more memory).
pub async fn turn_to_compress() -> OwnedSemaphorePermit {
    static TURNS: OnceLock<Arc<Semaphore>> = OnceLock::new();
    let turns = TURNS.get_or_init(|| Arc::new(Semaphore::new(count())));
    Arc::clone(turns).acquire_owned().await.expect("nobody closes the turns")
}
