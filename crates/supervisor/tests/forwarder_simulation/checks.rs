//! What must hold at every step, and at the end. None of it asks the machine what it meant to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millpond::config::checked::{Backpressure, OnFull};
use millpond::forwarder::{Key, PutResult};
use millpond::health::{Name, PutHealth};
use millpond::rate::Load;

use crate::world::{World, load_of};

/// Batches of the inputs in memory besides those that may fly: such that wait, and such that the queue was given.
const LIVE_MAX: usize = 4 + 8;
/// Queued batches in memory besides those that may fly.
const READ_AHEAD: usize = 2;

/// What is remembered of a run to judge it.
#[derive(Default)]
pub(crate) struct Watch {
    /// Puts that were not answered, and whether each began after the shards were verified.
    pub(crate) flying: BTreeMap<Key, bool>,
    /// The shards were verified, and so many puts were accepted since. Nothing before that and after the ramp.
    ramp: Option<usize>,
    /// Batches of the inputs and of the queue that are in memory.
    pub(crate) live: usize,
    pub(crate) read_back: usize,
    acknowledged_of_queue: usize,
    pub(crate) given_at: BTreeMap<u64, Duration>,
    /// What is left of batches that were delivered in part.
    left: BTreeMap<u64, Load>,
    put_once: BTreeSet<u64>,
    youngest_put: Option<u64>,
    /// What was sent from the queue, and when.
    drained: Vec<(Duration, Load)>,
}

impl Watch {
    pub(crate) fn left_of(&self, id: u64) -> Load {
        self.left.get(&id).copied().unwrap_or_else(|| load_of(id))
    }

    fn is_bounded(&self, concurrency: u32) -> bool {
        let concurrency = concurrency as usize;
        self.flying.len() <= concurrency
            && self.live <= concurrency + LIVE_MAX
            && self.read_back <= concurrency + READ_AHEAD
    }
}

impl World {
    pub(crate) fn check_put(&mut self, key: Key, id: u64) {
        assert!(!self.paused, "{key:?} is put during a pause");
        assert!(self.memory.0 || matches!(key, Key::Queued(_)), "{key:?} is put against memory");
        assert!(!self.delivered.contains(&id), "{key:?} is put and was accepted");
        let queues = self.plan.policy.backpressure == Backpressure::Queue;
        let in_order = self.plan.policy.strict_ordering || !queues;
        match key {
            Key::Live(_) if in_order && queues => {
                let old = self.queue.len() - self.watch.acknowledged_of_queue - self.given_up.len();
                assert!(old == 0 && self.parked.is_empty(), "{key:?} passes {old} batches in the queue");
            }
            // At a stop, what is delivered in part is completed at once.
            Key::Queued(_) if !self.stopped => {
                self.watch.drained.push((self.now, self.watch.left_of(id)));
            }
            Key::Live(_) | Key::Queued(_) => {}
        }
        if self.watch.put_once.insert(id) && in_order {
            let last = self.watch.youngest_put.replace(id);
            assert!(last < Some(id), "{key:?} = {id} passes {last:?}");
        }
        let known = self.watch.flying.insert(key, self.watch.ramp.is_some());
        assert!(known.is_none(), "{key:?} is put twice at once");
    }

    pub(crate) fn check_look(&self) {
        assert!(!self.paused, "the shards are looked at during a pause");
        assert!(!self.looking, "two looks at once");
    }

    /// The shards were verified, and the machine was told so.
    pub(crate) fn begin_ramp(&mut self) {
        self.watch.flying.values_mut().for_each(|since| *since = false);
        self.watch.ramp = Some(0);
    }

    pub(crate) fn answered(&mut self, key: Key, result: &PutResult) {
        let id = self.id(key);
        if result.progressed {
            self.watch.left.insert(id, result.left);
        }
        assert!(self.watch.flying.remove(&key).is_some(), "an answer to a put of {key:?} that did not fly");
        if let Some(accepted) = &mut self.watch.ramp
            && result.health == PutHealth::Open
        {
            *accepted += 1;
        }
    }

    pub(crate) fn settled(&mut self, key: Key, id: u64) {
        match key {
            Key::Live(_) => self.watch.live -= 1,
            Key::Queued(_) => {
                self.watch.read_back -= 1;
                self.watch.acknowledged_of_queue += 1;
            }
        }
        if let (Some(wait_max), Some(given_at)) = (self.plan.wait_max, self.watch.given_at.remove(&id)) {
            let waited = self.now - given_at;
            assert!(waited <= wait_max, "{key:?} = {id} had to wait for {waited:?}");
        }
    }

    pub(crate) fn check_step(&mut self) {
        let concurrency = self.plan.policy.concurrency;
        assert!(self.watch.is_bounded(concurrency), "more in memory than {concurrency} puts need");
        match self.machine.health().name() {
            // After an outage one batch goes, and for each that is accepted one more may.
            Name::Verifying | Name::Recovering => {
                let flying = self.watch.flying.values().filter(|since| **since).count();
                assert!(
                    self.watch.ramp.is_none_or(|accepted| flying <= accepted + 1),
                    "{flying} puts in flight, and {:?} accepted since the shards were verified",
                    self.watch.ramp
                );
            }
            Name::Healthy | Name::Unhealthy | Name::Paused => self.watch.ramp = None,
        }
    }

    /// Every batch that was given has exactly one fate, and only a policy or a stop keeps one from being delivered.
    pub(crate) fn check_fates(&self) {
        let queued: BTreeSet<u64> = self.queue.iter().copied().collect();
        for id in 0..self.given {
            let fates = [
                self.acknowledged.contains(&id),
                queued.contains(&id) && !self.acknowledged.contains(&id) && !self.given_up.contains(&id),
                self.dropped.contains(&id),
                self.abandoned.contains(&id),
                self.given_up.contains(&id),
            ];
            // A queue that answers too late has what its input will give again.
            let twice = self.out_of_time && self.abandoned.contains(&id) && queued.contains(&id);
            let count = fates.iter().filter(|fate| **fate).count();
            assert!(count == 1 || (twice && count == 2), "batch {id}: {fates:?}");
        }
        let policy = &self.plan.policy;
        if policy.backpressure == Backpressure::Block {
            assert!(self.dropped.is_empty() && queued.is_empty());
        }
        if policy.on_full != OnFull::Drop && policy.backpressure == Backpressure::Queue {
            assert!(self.dropped.is_empty());
        }
        if !self.stopped {
            let done = &self.acknowledged | &self.given_up;
            let left: Vec<_> = queued.difference(&done).collect();
            assert!(
                left.is_empty() && self.parked.is_empty() && self.abandoned.is_empty(),
                "ended before the drain did: {left:?} left"
            );
        }
        self.check_limits();
    }

    /// In no stretch of time more was sent from the queue than its limits allow, and one batch.
    fn check_limits(&self) {
        let limits = self.plan.policy.drain;
        self.check_limit(limits.events_per_sec, |load| load.events);
        self.check_limit(limits.bytes_per_sec, |load| load.bytes);
    }

    fn check_limit(&self, per_sec: u64, amount: impl Fn(&Load) -> u64) {
        if per_sec == 0 {
            return;
        }
        // The worst stretch that ends with each batch: what was sent in it, less what was allowed in it, without its last
        // batch. In billionths, so that nothing is rounded.
        let allowed = |stretch: Duration| i128::from(per_sec) * stretch.as_nanos().cast_signed();
        let (mut excess, mut before): (i128, Option<(Duration, u64)>) = (0, None);
        for (at, load) in &self.watch.drained {
            if let Some((before_at, before_amount)) = before {
                let sent = i128::from(before_amount) * 1_000_000_000;
                excess = excess.max(0) + sent - allowed(*at - before_at);
                assert!(excess <= 0, "more than {per_sec} a second and one batch before {at:?}");
            }
            before = Some((*at, amount(load)));
        }
    }
}
