//! What all connections share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::events::Sink;
use crate::pacer::Pacer;
use crate::store::Store;
use crate::tally::Tally;
use crate::{Counts, FaultControl, Limits, RoleLifetime};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) store: Mutex<Store>,
    pub(crate) faults: FaultControl,
    pub(crate) tally: Tally,
    /// Where decoded events go, if anywhere.
    pub(crate) sink: Option<Sink>,
    pub(crate) dice: Mutex<fastrand::Rng>,
    pub(crate) limits: Limits,
    pub(crate) role_lifetime: Option<RoleLifetime>,
    /// KiB of request bodies that may still be read into memory.
    pub(crate) body_room: Semaphore,
    /// The fault `rate`: what clients send, and what they get.
    pub(crate) incoming: Pacer,
    pub(crate) outgoing: Pacer,
    /// `/_local/…` is reachable while the endpoint is down.
    pub(crate) has_control_listener: bool,
    /// True once the endpoint stops; the sender is the server.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Endpoint {
    /// A panic elsewhere is a bug that has been told of; the streams are still worth looking at.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number from 0 up to 1.
    pub(crate) fn dice(&self) -> f64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    /// An id as the service gives one to each request.
    pub(crate) fn request_id(&self) -> String {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let (a, b, c, d, e) = (dice.u32(..), dice.u16(..), dice.u16(..), dice.u16(..), dice.u64(..));
        format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{:012x}", e & 0xffff_ffff_ffff)
    }

    /// The totals, by shard too.
    pub(crate) fn counts(&self) -> Counts {
        Counts { shards: self.store().shard_counts(), ..self.tally.counts() }
    }

    /// Returns when the endpoint stops.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the server was dropped, which stops the endpoint as well.
        stopping.wait_for(|stopping| *stopping).await.map(|_| ()).unwrap_or_default();
    }
}
