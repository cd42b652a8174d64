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

/// The credentials say when they run out, so that none is used after that, even when there are no others to be had.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_used_beyond_its_end() {
    let lifetime = RoleLifetime::Stated(Duration::from_secs(4));
    let mut world = world(lifetime, "backpressure: queue\nqueue: { mode: error }").await;
    world.start();
    for _ in 0..2 {
        world.live(Duration::from_secs(2), 4_000).await;
        let before = world.server.counts().events;
        assert!(before > 0, "{:#?}", world.said);
        let out_of_reach = world.fault("down,op=AssumeRole");
        world.live(Duration::from_secs(6), 4_000).await;
        assert!(world.has_said("cannot be fetched"), "{:#?}", world.said);
        world.clear(out_of_reach);
    }
    world.arrived().await;
    let (asked, refused) = asked_and_refused(&world);
    assert!(asked > 4, "asked {asked} times");
    assert_eq!(refused, 0, "a put was signed with credentials that said they had run out");
    assert!(world.has_said("those at hand serve until they run out"), "{:#?}", world.said);
    world.finish(0).await;
}
