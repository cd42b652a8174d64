//! What requests share: memory for their bodies, and the patience with slow clients.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Something is short that slow clients may be holding: memory, places for connections.
///
/// As long as nobody waits for it, a slow client disturbs nobody and is left in peace.
#[derive(Debug)]
pub(super) struct Pressure(watch::Sender<usize>);

/// Somebody waits.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Pressure);

impl Pressure {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// From now on, until the result is dropped, somebody waits.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.0.send_modify(|waiting| *waiting += 1);
        Waiting(self)
    }

    /// Returns when somebody waits.
    pub(super) async fn felt(&self) {
        // The sender is there as long as `self` is.
        if self.0.subscribe().wait_for(|waiting| *waiting > 0).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|waiting| *waiting -= 1);
    }
}

/// Memory for the bodies of all requests.
#[derive(Debug)]
pub(super) struct Budget {
    room: Arc<Semaphore>,
    bytes_max: usize,
    patience: Duration,
    pressure: Arc<Pressure>,
}

/// A part of it. It goes back when this is dropped.
#[derive(Debug)]
pub(super) struct Share(OwnedSemaphorePermit);

/// There was no memory, and none became free in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Short;

impl Budget {
    /// So many bytes; who finds none waits for no longer than `patience`.
    pub(super) fn new(bytes_max: usize, patience: Duration, pressure: Arc<Pressure>) -> Self {
        let bytes_max = bytes_max.min(u32::MAX as usize);
        Self { room: Arc::new(Semaphore::new(bytes_max)), bytes_max, patience, pressure }
    }

    /// A share of nothing, to begin with.
    pub(super) fn share(&self) -> Share {
        let nothing = Arc::clone(&self.room).try_acquire_many_owned(0);
        Share(nothing.expect("nothing is always there, and the semaphore is never closed"))
    }

    /// Makes a share this large. What is more than the whole budget is as good as all of it: one request can always
    /// have that.
    pub(super) async fn resize(&self, share: &mut Share, bytes: usize) -> Result<(), Short> {
        let bytes = bytes.min(self.bytes_max);
        let Some(more) = bytes.checked_sub(share.0.num_permits()).filter(|more| *more > 0) else {
            share.shrink(bytes);
            return Ok(());
        };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if let Ok(granted) = Arc::clone(&self.room).try_acquire_many_owned(more) {
            share.0.merge(granted);
            return Ok(());
        }
        let _waiting = self.pressure.wait();
        match tokio::time::timeout(self.patience, Arc::clone(&self.room).acquire_many_owned(more)).await {
            Ok(Ok(granted)) => {
                share.0.merge(granted);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(Short),
        }
    }
}

impl Share {
    fn shrink(&mut self, bytes: usize) {
        let spare = self.0.num_permits().saturating_sub(bytes);
        drop(self.0.split(spare));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patience for what will never come.
    const SHORT: Duration = Duration::from_millis(10);
    /// For what comes.
    const LONG: Duration = Duration::from_secs(60);

    fn budget(bytes_max: usize, patience: Duration) -> Budget {
        Budget::new(bytes_max, patience, Arc::new(Pressure::new()))
    }

    #[tokio::test]
    async fn what_is_given_back_can_be_had_again() {
        let budget = budget(100, SHORT);
        let (mut one, mut two) = (budget.share(), budget.share());
        assert_eq!(budget.resize(&mut one, 80).await, Ok(()));
        assert_eq!(budget.resize(&mut two, 40).await, Err(Short));
        assert_eq!(budget.resize(&mut one, 60).await, Ok(()));
        assert_eq!(budget.resize(&mut two, 40).await, Ok(()));
        drop(one);
        assert_eq!(budget.resize(&mut two, 100).await, Ok(()));
        assert_eq!(budget.room.available_permits(), 0);
        drop(two);
        assert_eq!(budget.room.available_permits(), 100);
    }

    #[tokio::test]
    async fn more_than_there_is_means_all_of_it() {
        let budget = budget(100, SHORT);
        let mut share = budget.share();
        assert_eq!(budget.resize(&mut share, 1_000).await, Ok(()));
        assert_eq!(budget.room.available_permits(), 0);
    }

    #[tokio::test]
    async fn who_waits_is_felt_and_who_has_given_up_is_not() {
        let budget = budget(100, LONG);
        let (mut one, mut two) = (budget.share(), budget.share());
        budget.resize(&mut one, 100).await.unwrap();
        let felt = async {
            budget.pressure.felt().await;
            drop(one);
        };
        let (granted, ()) = tokio::join!(budget.resize(&mut two, 1), felt);
        assert_eq!(granted, Ok(()));
        let quiet = tokio::time::timeout(SHORT, budget.pressure.felt()).await;
        assert!(quiet.is_err(), "nobody waits any more");
    }
}
