use super::*;
use crate::config::checked::{Backpressure, OnFull, QueueMode};
use crate::forwarder::{Action, Key};
use crate::forwarder::{Event, Policy, PutResult};
use crate::health::{PutHealth, Verdict};
use crate::rate::{DrainLimits, Load};

struct Rig {
    machine: Forwarder,
    publisher: Publisher,
    view: OutputView,
}

impl Rig {
    fn new() -> Self {
        let policy = Policy {
            backpressure: Backpressure::Queue,
            queue_mode: QueueMode::Error,
            strict_ordering: true,
            on_full: OnFull::Block,
            drain: DrainLimits::default(),
            concurrency: 4,
        };
        let machine = Forwarder::new(policy, 0, 1);
        let publisher = Publisher::new(&machine);
        let view = publisher.view(None);
        Self { machine, publisher, view }
    }

    /// Gives the machine an event; says what is seen of it, and whether those who wait are woken.
    fn handle(&mut self, event: Event) -> (OutputState, bool) {
        let mut actions: Vec<Action> = Vec::new();
        self.machine.handle(Duration::ZERO, event, &mut actions);
        self.publisher.handled(&self.machine);
        let woken = self.view.state.has_changed().unwrap();
        self.view.state.mark_unchanged();
        (self.view.now(), woken)
    }

    fn put_ended(&mut self, id: u64, health: PutHealth) -> (OutputState, bool) {
        let finished = health == PutHealth::Open;
        let result = PutResult {
            finished,
            progressed: finished,
            health,
            since: Duration::ZERO,
            left: Load::default(),
        };
        self.handle(Event::Put { key: Key::Live(id), result })
    }

    fn healthy() -> Self {
        let mut rig = Self::new();
        rig.handle(Event::Time);
        rig.handle(Event::Verified(Verdict::Covered));
        rig.handle(Event::Live(0));
        rig.put_ended(0, PutHealth::Open);
        rig
    }
}

#[test]
fn a_condition_is_told_once_and_counts_wake_nobody() {
    let mut rig = Rig::new();
    assert_eq!((rig.view.now().condition, rig.view.now().spooling), (Condition::Unhealthy, true));
    let seen = |(state, woken): (OutputState, bool)| (state.condition, state.puts_max, state.spooling, woken);
    assert_eq!(seen(rig.handle(Event::Time)), (Condition::Verifying, 0, true, true));
    assert_eq!(seen(rig.handle(Event::Verified(Verdict::Covered))), (Condition::Verifying, 1, false, true));
    let (state, woken) = rig.handle(Event::Live(0));
    assert_eq!((state.puts_in_flight, state.live_waiting, woken), (1, 0, false));
    let (state, woken) = rig.handle(Event::Live(1));
    assert_eq!((state.puts_in_flight, state.live_waiting, woken), (1, 1, false));
    assert_eq!(seen(rig.put_ended(0, PutHealth::Open)), (Condition::Recovering, 2, false, true));
    assert_eq!(seen(rig.put_ended(1, PutHealth::Open)), (Condition::Healthy, 4, false, true));
    assert_eq!(seen(rig.handle(Event::Pause(true))), (Condition::Paused, 0, true, true));
}

/// Looking at the shards again and again is no end of an outage.
#[test]
fn an_outage_lasts_until_the_output_is_healthy() {
    let mut rig = Rig::new();
    assert!(rig.view.now().unwell_since_ms.is_some(), "nothing was proven yet");
    rig.publisher.0.send_modify(|state| state.unwell_since_ms = Some(5));
    assert_eq!(rig.handle(Event::Time).0.unwell_since_ms, Some(5), "verifying");
    rig.handle(Event::Verified(Verdict::Covered));
    rig.handle(Event::Live(0));
    rig.handle(Event::Live(1));
    assert_eq!(rig.put_ended(0, PutHealth::Open).0.unwell_since_ms, Some(5), "recovering");
    assert_eq!(rig.put_ended(1, PutHealth::Open).0.unwell_since_ms, None, "healthy");
    rig.handle(Event::Live(2));
    assert_eq!(rig.put_ended(2, PutHealth::Throttled).0.unwell_since_ms, None, "throttled");
    let (paused, _) = rig.handle(Event::Pause(true));
    assert_eq!(paused.unwell_since_ms, Some(paused.since_ms));
}

#[test]
fn throttled_is_told_of_what_is_well_apart_from_that() {
    let mut rig = Rig::healthy();
    rig.handle(Event::Live(1));
    let (state, woken) = rig.put_ended(1, PutHealth::Throttled);
    assert_eq!((state.condition, state.puts_max, woken), (Condition::Throttled, 2, true));
    let mut rig = Rig::new();
    rig.handle(Event::Time);
    rig.handle(Event::Verified(Verdict::Covered));
    rig.handle(Event::Live(0));
    assert_eq!(rig.put_ended(0, PutHealth::Throttled).0.condition, Condition::Recovering);
}

#[test]
fn a_failure_stays_with_the_time_it_was_seen_last() {
    let mut rig = Rig::healthy();
    rig.publisher.failed("connection refused");
    let first = rig.view.now().last_failure.unwrap();
    assert!(rig.view.state.has_changed().unwrap());
    rig.view.state.mark_unchanged();
    rig.publisher.failed("connection refused");
    assert!(!rig.view.state.has_changed().unwrap(), "the same again is no news");
    let again = rig.view.now().last_failure.unwrap();
    assert!(again.reason == first.reason && again.at_ms >= first.at_ms);
    rig.handle(Event::Time);
    assert_eq!(rig.view.now().last_failure, Some(again), "although all is well");
    rig.publisher.failed("access denied");
    assert_eq!(&*rig.view.now().last_failure.unwrap().reason, "access denied");
}

#[test]
fn shards_and_the_room_of_the_queue_are_told_when_they_change() {
    let mut rig = Rig::new();
    for (open, news) in [(2, true), (2, false), (4, true)] {
        rig.publisher.counted_shards(open);
        assert_eq!((rig.view.now().open_shards, rig.view.state.has_changed().unwrap()), (Some(open), news));
        rig.view.state.mark_unchanged();
    }
    assert!(rig.view.now().shards_seen_ms.is_some());
    for (room, news) in
        [(Ok(()), false), (Err("full".to_owned()), true), (Err("full".to_owned()), false), (Ok(()), true)]
    {
        rig.publisher.queue_room(&room);
        assert_eq!(rig.view.now().queue_full.is_some(), room.is_err());
        assert_eq!(rig.view.state.has_changed().unwrap(), news, "{room:?}");
        rig.view.state.mark_unchanged();
    }
}

#[test]
fn each_condition_has_a_word_of_its_own() {
    let words: std::collections::BTreeSet<_> = Condition::ALL.map(Condition::as_str).into();
    assert_eq!(words.len(), Condition::ALL.len());
}

#[tokio::test]
async fn an_output_without_a_queue_has_no_queue_and_one_that_is_closed_does_not_answer() {
    let rig = Rig::new();
    assert_eq!(rig.view.queue(Duration::from_secs(60)).await.unwrap(), None);
    let directory = tempfile::tempdir().unwrap();
    let options = millpond_queue::Options { free_bytes_min: 0, ..millpond_queue::Options::default() };
    let storage = millpond_queue::Fs::create(directory.path()).unwrap();
    let (queue, _) = millpond_queue::Queue::open(storage, options).unwrap();
    let policy = crate::queue_thread::Policy::default();
    let (alive, ended) = tokio::sync::oneshot::channel::<()>();
    let on_report = Box::new(move |_| assert!(!alive.is_closed(), "somebody waits for its end"));
    let thread = crate::queue_thread::QueueThread::spawn("queue", queue, policy, on_report).unwrap();
    let view = rig.publisher.view(Some(thread.stats_request()));
    assert_eq!(view.queue(Duration::from_secs(60)).await.unwrap().map(|stats| stats.batches), Some(0));
    drop(thread);
    let end = tokio::time::timeout(Duration::from_secs(60), ended).await;
    assert!(end.is_ok(), "a view does not keep the queue from being closed");
    assert!(view.queue(Duration::from_secs(60)).await.is_err());
}
