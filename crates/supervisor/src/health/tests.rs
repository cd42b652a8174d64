use super::*;

const MS: Duration = Duration::from_millis(1);

fn healthy(permits_max: u32) -> Health {
    let mut health = Health::new(permits_max, 7);
    assert!(health.on_time(Duration::ZERO));
    health.on_verdict(Duration::ZERO, Verdict::Covered);
    while health.name() != Name::Healthy {
        health.on_put(Duration::ZERO, Duration::ZERO, PutHealth::Open);
    }
    health
}

#[test]
fn a_new_output_lists_shards_then_sends_one_batch_then_ramps_up() {
    let mut health = Health::new(8, 1);
    assert_eq!(health.permits(), 0);
    assert!(health.on_time(Duration::ZERO));
    assert_eq!((health.permits(), health.name()), (0, Name::Verifying));
    health.on_verdict(MS, Verdict::Covered);
    assert_eq!((health.permits(), health.name()), (1, Name::Verifying));
    let mut seen = vec![health.permits()];
    while health.name() != Name::Healthy {
        health.on_put(MS, MS, PutHealth::Open);
        if seen.last() != Some(&health.permits()) {
            seen.push(health.permits());
        }
    }
    assert_eq!(seen, [1, 2, 4, 8]);
}

#[test]
fn the_ramp_ends_when_there_is_nothing_more_to_send() {
    let mut health = Health::new(8, 1);
    assert!(health.on_time(Duration::ZERO));
    health.on_idle();
    assert_eq!(health.name(), Name::Verifying, "idle proves nothing");
    health.on_verdict(MS, Verdict::Covered);
    health.on_idle();
    assert_eq!(health.name(), Name::Verifying, "nor does it replace the canary");
    health.on_put(MS, MS, PutHealth::Open);
    assert_eq!(health.name(), Name::Recovering);
    health.on_idle();
    assert_eq!(health.name(), Name::Healthy);
}

#[test]
fn one_lost_connection_is_not_an_outage() {
    let mut health = healthy(5);
    for _ in 0..5 {
        health.on_put(1000 * MS, 1000 * MS, PutHealth::Transient);
    }
    assert_eq!(health.name(), Name::Healthy);
    health.on_put(1001 * MS, 1001 * MS, PutHealth::Open);
    health.on_put(9000 * MS, 9000 * MS, PutHealth::Transient);
    health.on_put(9001 * MS, 9001 * MS, PutHealth::Transient);
    assert_eq!(health.name(), Name::Healthy, "the streak began anew");
}

#[test]
fn sustained_failure_is_an_outage() {
    let mut health = healthy(5);
    health.on_put(1000 * MS, 1000 * MS, PutHealth::Transient);
    health.on_put(1200 * MS, 1200 * MS, PutHealth::Transient);
    assert_eq!(health.name(), Name::Healthy);
    health.on_put(1600 * MS, 1600 * MS, PutHealth::Transient);
    assert_eq!((health.name(), health.permits()), (Name::Unhealthy, 0));
}

#[test]
fn puts_that_hung_until_their_time_out_are_an_outage_at_once() {
    let mut health = healthy(5);
    for _ in 0..3 {
        health.on_put(1000 * MS, 11_000 * MS, PutHealth::Transient);
    }
    assert_eq!(health.name(), Name::Unhealthy);
}

#[test]
fn misconfigured_is_an_outage_at_once_and_throttling_never() {
    let mut health = healthy(5);
    for second in 0..1000 {
        health.on_put(Duration::from_secs(second), Duration::from_secs(second), PutHealth::Throttled);
    }
    assert_eq!(health.name(), Name::Healthy);
    health.on_put(MS, MS, PutHealth::Misconfigured);
    assert_eq!(health.name(), Name::Unhealthy);
}

#[test]
fn a_failed_canary_falls_back_and_waits_longer() {
    let mut health = Health::new(4, 3);
    let mut now = Duration::ZERO;
    for attempt in 1..40 {
        assert!(health.on_time(now));
        health.on_verdict(now, Verdict::Unknown);
        assert_eq!(health.permits(), 1);
        health.on_put(now, now, PutHealth::Transient);
        let State::Unhealthy { attempt: failed, retry_at } = *health.state() else { panic!("still up") };
        assert_eq!(failed, attempt);
        assert!(retry_at >= now + PROBE_DELAY_MIN && retry_at <= now + PROBE_DELAY_MAX);
        assert!(!health.on_time(retry_at - MS));
        now = retry_at;
    }
}

#[test]
fn probes_are_put_off_longer_the_longer_the_outage_lasts() {
    let secs = Duration::from_secs;
    let bounds = [(0, 0, 1), (1, 0, 2), (2, 3, 4), (3, 9, 8), (9, 30, 8), (9, 160, 20), (30, 86_400, 60)];
    for (attempt, down_for, bound) in bounds {
        assert_eq!(probe_delay_max(attempt, secs(down_for)), secs(bound), "{attempt} in {down_for} s");
    }
}

#[test]
fn a_late_success_while_down_brings_the_next_probe_forward() {
    let mut health = healthy(5);
    health.on_put(MS, MS, PutHealth::Misconfigured);
    health.on_put(2 * MS, 2 * MS, PutHealth::Open);
    assert!(health.on_time(2 * MS));
    assert_eq!(health.permits(), 0, "but shards are verified before anything is sent");
}

#[test]
fn a_pause_ends_in_a_look_at_the_shards_and_a_ramp() {
    let mut health = healthy(8);
    health.pause();
    assert_eq!((health.name(), health.permits(), health.deadline()), (Name::Paused, 0, None));
    health.on_put(MS, MS, PutHealth::Open);
    health.on_put(MS, MS, PutHealth::Misconfigured);
    health.on_idle();
    assert!(!health.on_time(Duration::from_secs(1_000_000)), "a pause does not end by itself");
    assert_eq!(health.name(), Name::Paused);
    health.resume(2 * MS);
    assert!(health.on_time(2 * MS), "and nobody waits once it is over");
    health.on_verdict(2 * MS, Verdict::Covered);
    assert_eq!(health.permits(), 1);
    health.resume(3 * MS);
    assert_eq!(health.permits(), 1, "what is not paused is not resumed");
}

#[test]
fn one_look_at_the_shards_at_a_time_however_often_it_is_paused() {
    let mut health = Health::new(8, 1);
    assert!(health.on_time(Duration::ZERO));
    health.pause();
    health.pause();
    health.resume(MS);
    assert!(!health.on_time(MS), "the one from before the pause goes on");
    health.pause();
    health.on_verdict(2 * MS, Verdict::Covered);
    assert_eq!(health.name(), Name::Paused, "its answer ends no pause");
    health.resume(3 * MS);
    assert!(health.on_time(3 * MS), "and is not good enough for afterwards");
}

#[test]
fn every_event_in_every_state_keeps_the_promises() {
    let states = [
        State::Healthy { failures: 0, failing_since: Duration::ZERO },
        State::Healthy { failures: 2, failing_since: Duration::ZERO },
        State::Unhealthy { attempt: 3, retry_at: 5000 * MS },
        State::VerifyingShards { attempt: 1 },
        State::VerifyingCanary { attempt: 1 },
        State::Recovering { permits: 2, accepted: 1 },
        State::Paused { looking: false },
    ];
    let now = 2000 * MS;
    for state in &states {
        for put in [PutHealth::Open, PutHealth::Throttled, PutHealth::Transient, PutHealth::Misconfigured] {
            let mut health = Health::new(5, 1);
            health.state = state.clone();
            let was_up = health.permits() > 0;
            health.on_put(now, now, put);
            let is_up = health.permits() > 0;
            assert!(was_up || !is_up, "{state:?} + {put:?}: a put alone never brings an output up");
            let harmless = matches!(put, PutHealth::Open | PutHealth::Throttled);
            assert!(!was_up || is_up || !harmless, "{state:?} + {put:?}: an open way never brings it down");
            assert!(put != PutHealth::Misconfigured || !is_up, "{state:?}: misconfigured stops sending");
        }
        let mut health = Health::new(5, 1);
        health.state = state.clone();
        health.on_put(now, now, PutHealth::Echo);
        assert_eq!(health.state, *state, "an echo changes nothing");
        for verdict in [Verdict::Covered, Verdict::Unknown, Verdict::Bad] {
            let mut health = Health::new(5, 1);
            health.state = state.clone();
            health.on_verdict(now, verdict);
            let asked = matches!(state, State::VerifyingShards { .. });
            assert!(asked || health.state == *state, "{state:?}: an answer nobody asked for changes nothing");
        }
    }
}
