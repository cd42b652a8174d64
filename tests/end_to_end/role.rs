//! The credentials of a role run out while lines flow, again and again.

use std::time::Duration;

use millpond_local_kinesis::{Operation, Options, RoleLifetime, StreamSpec, start};

use crate::world::World;

/// A world whose output takes on a role that lasts so long.
async fn world(lifetime: RoleLifetime, settings: &str) -> World {
    let options = Options {
        streams: vec![StreamSpec::new("logs", 3)],
        role_lifetime: Some(lifetime),
        seed: Some(7),
        ..Options::default()
    };
    let server = start(options).await.unwrap();
    let role = format!(
        "flush_period: 50ms\nmax_record_size: \"64 KiB\"\n{settings}\nassume_role: {{ enabled: true, \
         arn: \"arn:aws:iam::123456789012:role/edge\", sts_endpoint: \"{}\" }}",
        server.endpoint()
    );
    let mut world = World::new(3, &role).await;
    let config = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), config.replace(&world.server.endpoint(), &server.endpoint())).unwrap();
    world.server = server;
    world
}

/// What asked for the role, and what was refused because it had run out.
fn asked_and_refused(world: &World) -> (u64, u64) {
    let counts = world.server.counts();
    let put_refused = counts.requests_of(Operation::PutRecord, "ExpiredTokenException");
    let list_refused = counts.requests_of(Operation::ListShards, "ExpiredTokenException");
    (counts.requests_of(Operation::AssumeRole, "ok"), put_refused + list_refused)
}

/// The credentials say that they last an hour, and each time it is the service that says they do not.
async fn revoked(settings: &str) {
    const LASTING: Duration = Duration::from_secs(15);
    let mut world = world(RoleLifetime::Unstated(Duration::from_secs(2)), settings).await;
    world.start();
    world.live(LASTING, 4_000).await;
    world.arrived().await;
    let (asked, refused) = asked_and_refused(&world);
    // In whole seconds, a session lasts one or two.
    assert!((7..=LASTING.as_secs() + 2).contains(&asked), "asked {asked} times, refused {refused}");
    // Of the puts in flight each may find it out, and none asks for a session of its own.
    assert!((asked - 1..=5 * asked).contains(&refused), "asked {asked} times, refused {refused}");
    assert!(!world.has_said("run out"), "it is renewed within the attempt: {:#?}", world.said);
    world.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_revoked_is_taken_on_again() {
    revoked("backpressure: block").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_revoked_is_taken_on_again_through_the_queue() {
    revoked("backpressure: queue\nqueue: { mode: always }").await;
}

/// The credentials say when they run out. While STS is out of reach, those at hand serve until then, and no longer.
async fn not_renewed(how: &str, until_said: Duration) {
    let lifetime = RoleLifetime::Stated(Duration::from_secs(7));
    let mut world = world(lifetime, "backpressure: queue\nqueue: { mode: error }").await;
    world.start();
    world.live(Duration::from_secs(2), 4_000).await;
    let begin = world.server.counts().events;
    let out_of_reach = world.fault(&format!("{how},op=AssumeRole"));
    world.live(Duration::from_secs(5), 4_000).await;
    let served = world.server.counts().events;
    // They are good for five seconds at least, of which two may go by in waiting for others.
    assert!(served > begin + 4_000, "{begin} events, then {served}: {:#?}", world.said);
    assert!(world.has_said("those at hand serve until they run out"), "{:#?}", world.said);
    world.live(until_said, 4_000).await;
    assert!(world.has_said("credentials cannot be fetched"), "{:#?}", world.said);
    world.clear(out_of_reach);
    world.arrived().await;
    let (_, refused) = asked_and_refused(&world);
    assert_eq!(refused, 0, "a put was signed with credentials that said they had run out");
    world.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_serves_to_its_end_and_no_longer() {
    not_renewed("down", Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_serves_to_its_end_while_sts_does_not_answer() {
    // A put that has no credentials waits ten seconds for them.
    not_renewed("hang", Duration::from_secs(13)).await;
}
