//! A long drain beside inputs that never cease, on a link that is well: neither waits for the other's end.

use std::time::Duration;

use millpond::config::checked::Backpressure;
use millpond::forwarder::{Action, Event, Forwarder, Key, Policy};
use millpond::rate::{DrainLimits, Load};

use crate::examples::{accepted, healthy_policy, healthy_with};

/// What each put takes, at most.
const PUT: Duration = Duration::from_millis(100);

/// What became of the two.
struct Seen {
    /// When each live batch was given and put.
    live: Vec<(Duration, Duration)>,
    /// When batches of the queue were put.
    queued: Vec<Duration>,
}

/// The inputs give a batch each `live_every` while a queue of `backlog` batches drains without strict ordering.
fn drain(concurrency: u32, backlog: u64, live_every: Duration, drain: DrainLimits) -> Seen {
    let policy = Policy {
        backpressure: Backpressure::Queue,
        strict_ordering: false,
        drain,
        ..healthy_policy(concurrency)
    };
    let mut machine = healthy_with(policy);
    let mut seen = Seen { live: Vec::new(), queued: Vec::new() };
    let mut flying: Vec<(Duration, Key)> = Vec::new();
    let (mut events, mut read, mut given) = (vec![Event::Readable(backlog)], 0, Vec::new());
    let (mut now, mut puts) = (Duration::ZERO, 0);
    while (seen.queued.len() as u64) < backlog {
        assert!(now < Duration::from_secs(3_600), "the queue does not drain");
        let mut actions = Vec::new();
        events.drain(..).for_each(|event| machine.handle(now, event, &mut actions));
        for action in actions {
            match action {
                Action::Put(key) => {
                    // They do not all land at once.
                    puts += 1;
                    flying.push((now + PUT - Duration::from_millis(puts * 7 % 30), key));
                    match key {
                        Key::Live(id) => seen.live.push((given[id as usize - 1], now)),
                        Key::Queued(_) => seen.queued.push(now),
                    }
                }
                Action::Read(max) => {
                    let end = backlog.min(read + max as u64);
                    let load = Load { events: 10, bytes: 1_000 };
                    events.extend((read..end).map(|sequence| Event::Read { sequence, load }));
                    events.push(Event::ReadDone { more: end < backlog });
                    read = end;
                }
                Action::Done(_) => {}
                other => panic!("{other:?} on a link that is well"),
            }
        }
        if events.is_empty() {
            now = now.max(next(
                &machine,
                &flying,
                given.last().map_or(Duration::ZERO, |last| *last + live_every),
            ));
            for (_, key) in flying.extract_if(.., |(at, _)| *at <= now) {
                events.push(Event::Put { key, result: accepted() });
            }
            if machine.wants_live() && given.last().is_none_or(|last| *last + live_every <= now) {
                given.push(now);
                events.push(Event::Live(given.len() as u64));
            }
            events.push(Event::Time);
        }
    }
    seen
}

/// When something happens next.
fn next(machine: &Forwarder, flying: &[(Duration, Key)], live_at: Duration) -> Duration {
    let landing = flying.iter().map(|(at, _)| *at);
    let live = machine.wants_live().then_some(live_at);
    landing.chain(live).chain(machine.deadline()).min().expect("something flies or may be given")
}

#[test]
fn what_is_new_is_not_held_back_by_a_drain() {
    for concurrency in [2, 5, 32] {
        // Half of what the link can carry.
        let live_every = PUT * 2 / concurrency;
        let seen = drain(concurrency, 500, live_every, DrainLimits::default());
        assert!(seen.live.len() > 50, "{concurrency}: {} live ones", seen.live.len());
        for (given, put) in seen.live {
            assert!(
                put - given <= PUT,
                "{concurrency}: a permit was free after {PUT:?}, not {:?}",
                put - given
            );
        }
    }
}

#[test]
fn a_drain_goes_on_while_the_inputs_give_more_than_the_link_can_carry() {
    for concurrency in [1, 2, 5, 32] {
        let seen = drain(concurrency, 200, Duration::from_millis(1), DrainLimits::default());
        let longest = seen.queued.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= PUT * 4, "{concurrency}: the queue stood still for {longest:?}");
        // And takes no more than its share, once there is something new to share with.
        let (live, queued) = (seen.live.len(), seen.queued.len());
        let share = if concurrency == 1 { 3 } else { concurrency as usize - 1 };
        let shared = queued - concurrency as usize * 2;
        assert!(live >= shared * share, "{concurrency}: {live} live ones beside {queued}");
    }
}

#[test]
fn a_drain_that_is_limited_takes_nothing_from_what_is_new() {
    let limits = DrainLimits { events_per_sec: 20, bytes_per_sec: 0 };
    for concurrency in [2, 5] {
        // More than what is left if a permit is kept for the queue all the time.
        let live_every = PUT * 10 / (9 * concurrency);
        let seen = drain(concurrency, 20, live_every, limits);
        assert!(seen.queued.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(500)));
        let end = *seen.queued.last().unwrap();
        assert!(
            end < Duration::from_millis(500 * 20),
            "{concurrency}: the limit was not used, it took {end:?}"
        );
        let given = end.as_nanos() / live_every.as_nanos();
        let live = seen.live.len() as u128;
        assert!(
            live + u128::from(concurrency) >= given,
            "{concurrency}: {live} of {given} live ones were put"
        );
    }
}
