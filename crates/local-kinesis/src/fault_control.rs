//! The faults that are on, and switching them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::store::Stream;
use crate::{Fault, FaultKind};

/// A fault that was set; it is never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u64);

/// A fault that is on.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveFault {
    /// For [`FaultControl::clear`].
    pub id: FaultId,
    /// The fault as it was set.
    pub fault: Fault,
    /// Until it clears itself; none: it stays.
    pub remaining: Option<Duration>,
    /// How many requests, records or connections it has struck.
    pub hits: u64,
}

/// Switches faults on and off while the endpoint runs. Cheap to clone; all clones act on the same endpoint.
#[derive(Debug, Clone)]
pub struct FaultControl {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How many are set; lets requests pass without the lock while there are none.
    set: AtomicUsize,
    /// Counts the changes.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    next_id: u64,
    active: Vec<Arc<Active>>,
}

/// A fault that is on, as the endpoint sees it.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: FaultId,
    pub(crate) fault: Fault,
    /// The number in the name of its shard.
    pub(crate) shard: Option<u32>,
    until: Option<Instant>,
    hits: AtomicU64,
}

impl Active {
    /// Counts something that the fault has struck.
    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it acts on everything, not on a shard or operation only.
    fn is_general(&self) -> bool {
        self.fault.shard.is_none() && self.fault.op.is_none()
    }

    fn remaining(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }
}

impl FaultControl {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        let state = State { next_id: 1, active: Vec::new() };
        let shared =
            Shared { state: Mutex::new(state), set: AtomicUsize::new(0), changed: watch::Sender::new(0) };
        let control = Self { shared: Arc::new(shared) };
        for fault in faults {
            control.set(fault);
        }
        control
    }

    /// Adds a fault to those that are on.
    pub fn set(&self, fault: Fault) -> FaultId {
        let mut state = self.state();
        let id = FaultId(state.next_id);
        state.next_id += 1;
        // A duration beyond what the clock can express is as good as none.
        let until = fault.lasting.and_then(|lasting| Instant::now().checked_add(lasting));
        let shard = fault.shard.as_deref().and_then(Stream::shard_index);
        tracing::info!(%fault, id = id.0, "fault set");
        state.active.push(Arc::new(Active { id, fault, shard, until, hits: AtomicU64::new(0) }));
        self.publish(&state);
        id
    }

    /// Takes one away; false if it was not on any more.
    pub fn clear(&self, id: FaultId) -> bool {
        self.retain(|active| active.id != id) > 0
    }

    /// Takes all away; the endpoint behaves again. Gives how many there were.
    pub fn clear_all(&self) -> usize {
        self.retain(|_| false)
    }

    /// The faults that are on, in the order in which they were set.
    #[must_use]
    pub fn active(&self) -> Vec<ActiveFault> {
        let now = Instant::now();
        let describe = |active: &Arc<Active>| ActiveFault {
            id: active.id,
            fault: active.fault.clone(),
            remaining: active.remaining(now),
            hits: active.hits.load(Ordering::Relaxed),
        };
        self.snapshot().iter().map(describe).collect()
    }

    /// The faults that are on now.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Active>> {
        if self.shared.set.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let now = Instant::now();
        self.retain(|active| active.until.is_none_or(|until| until > now));
        self.state().active.clone()
    }

    /// The fault by which the endpoint is unreachable, if there is one.
    pub(crate) fn down(&self) -> Option<Arc<Active>> {
        let is_down = |active: &Arc<Active>| active.fault.kind == FaultKind::Down && active.is_general();
        self.snapshot().into_iter().find(is_down)
    }

    /// Bytes per second that all connections share, if limited.
    pub(crate) fn rate(&self) -> Option<u64> {
        let rate = |active: &Arc<Active>| match active.fault.kind {
            FaultKind::Rate(bytes) => Some(bytes),
            _ => None,
        };
        self.snapshot().iter().filter_map(rate).min()
    }

    /// Tells of changes; call before looking, so that none is missed.
    pub(crate) fn subscribe(&self) -> FaultChanges {
        FaultChanges { control: self.clone(), changed: self.shared.changed.subscribe() }
    }

    /// Waits until a fault is off.
    pub(crate) async fn cleared(&self, id: FaultId) {
        let mut changes = self.subscribe();
        while self.snapshot().iter().any(|active| active.id == id) {
            changes.next().await;
        }
    }

    fn retain(&self, keep: impl Fn(&Active) -> bool) -> usize {
        let mut state = self.state();
        let before = state.active.len();
        for gone in state.active.iter().filter(|active| !keep(active)) {
            tracing::info!(fault = %gone.fault, id = gone.id.0, "fault cleared");
        }
        state.active.retain(|active| keep(active));
        let gone = before - state.active.len();
        if gone > 0 {
            self.publish(&state);
        }
        gone
    }

    fn publish(&self, state: &State) {
        self.shared.set.store(state.active.len(), Ordering::Release);
        self.shared.changed.send_modify(|changes| *changes += 1);
    }

    /// A panic elsewhere cannot leave the list half-changed, so a poisoned lock is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for changes of the faults.
pub(crate) struct FaultChanges {
    control: FaultControl,
    changed: watch::Receiver<u64>,
}

impl FaultChanges {
    /// Returns when faults were set or cleared since the last call, or one has run out.
    pub(crate) async fn next(&mut self) {
        let now = Instant::now();
        let soonest = self.control.state().active.iter().filter_map(|active| active.remaining(now)).min();
        let expiry = async {
            match soonest {
                Some(remaining) => tokio::time::sleep(remaining).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.changed.changed() => changed.expect("the control, which sends, is held here"),
            () = expiry => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        text.parse().unwrap()
    }

    fn names(control: &FaultControl) -> Vec<String> {
        control.active().iter().map(|active| active.fault.to_string()).collect()
    }

    #[test]
    fn faults_come_and_go() {
        let control = FaultControl::new(vec![fault("denied")]);
        let down = control.set(fault("down"));
        control.set(fault("rate:100"));
        control.set(fault("rate:50"));
        assert_eq!(names(&control), ["denied", "down", "rate:100", "rate:50"]);
        assert_eq!(control.rate(), Some(50));
        assert_eq!(control.down().map(|active| active.id), Some(down));
        assert!(control.clear(down));
        assert!(!control.clear(down));
        assert!(control.down().is_none());
        assert_eq!(control.clear_all(), 3);
        assert_eq!(names(&control), Vec::<String>::new());
        assert_eq!(control.rate(), None);
        assert!(control.set(fault("down")) > down, "an id is used twice");
    }

    #[test]
    fn down_for_some_is_not_down() {
        let control = FaultControl::new(vec![fault("down,shard=0"), fault("down,op=PutRecord")]);
        assert!(control.down().is_none());
    }

    #[tokio::test]
    async fn faults_run_out() {
        let control = FaultControl::new(vec![fault("denied,for=30ms"), fault("empty")]);
        let remaining: Vec<_> = control.active().iter().map(|active| active.remaining.is_some()).collect();
        assert_eq!(remaining, [true, false]);
        let id = control.active()[0].id;
        control.cleared(id).await;
        assert_eq!(names(&control), ["empty"]);
    }

    #[tokio::test]
    async fn clearing_is_noticed() {
        let control = FaultControl::new(Vec::new());
        let id = control.set(fault("hang"));
        let waiting = tokio::spawn({
            let control = control.clone();
            async move { control.cleared(id).await }
        });
        control.clear_all();
        waiting.await.unwrap();
    }
}
