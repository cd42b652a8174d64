//! What happens to new events while the output is down.

use std::time::{Duration, Instant};

use crate::world::World;

/// What is dropped is counted: in = delivered + dropped.
#[tokio::test(flavor = "multi_thread")]
async fn drop_counts_what_it_drops() {
    let settings = "flush_period: 50ms\nmax_record_size: \"16 KiB\"\nbackpressure: drop";
    let mut world = World::new(2, settings).await;
    world.start();
    world.live(Duration::from_secs(1), 4_000).await;
    let down = world.fault("down");
    world.live(Duration::from_secs(4), 4_000).await;
    world.clear(down);
    world.hear("recovery", |said| said.state.as_deref() == Some("healthy")).await;
    world.live(Duration::from_secs(1), 4_000).await;
    world.stop().await;
    let proof = millpond::drill::Proof::take(world.written, &world.server.records());
    let (delivered, dropped) = (world.number("delivered"), world.number("dropped"));
    assert!(dropped > 0, "{:#?}", world.said);
    assert!(world.has_said("dropped by policy"));
    assert_eq!(world.number("events"), delivered + dropped, "{:#?}", world.said);
    assert_eq!(proof.malformed, 0);
    assert!(proof.arrived >= delivered);
}

/// A queue that is full makes inputs wait, never takes more of the disk than allowed, and loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_blocks() {
    const SIZE_MAX: u64 = 8 << 20;
    let settings = "flush_period: 50ms\nmax_record_size: \"256 KiB\"\ncompression: none\nbackpressure: queue\n\
                    queue: { mode: error, max_size: \"8 MiB\", max_segment_size: \"1 MiB\" }";
    let mut world = World::new(2, settings).await;
    let down = world.fault("down");
    world.write_lines(100_000);
    world.start();
    world.hear("a full queue", |said| said.message.contains("takes no more")).await;
    world.live(Duration::from_secs(1), 1_000).await;
    assert!(world.gauge.look().unwrap().disk_bytes <= SIZE_MAX, "{:?}", world.gauge.look());
    world.clear(down);
    world.finish(0).await;
    // What the gauge saw at its highest, looked at all the while.
}

/// With one put at a time and strict ordering, lines arrive in the order in which they were written.
#[tokio::test(flavor = "multi_thread")]
async fn strict_ordering_holds_through_an_outage() {
    let settings = "flush_period: 50ms\nmax_record_size: \"16 KiB\"\nconcurrency: 1\nbackpressure: queue\n\
                    queue: { mode: error, strict_ordering: true }";
    let mut world = World::new(1, settings).await;
    world.start();
    world.live(Duration::from_millis(500), 4_000).await;
    let down = world.fault("down");
    world.live(Duration::from_secs(2), 4_000).await;
    world.clear(down);
    world.live(Duration::from_secs(2), 4_000).await;
    world.arrived().await;
    let mut last = None;
    millpond_local_kinesis::verify(&world.server.records(), |_, event| {
        let number =
            std::str::from_utf8(&event[10..]).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
        assert!(last.is_none_or(|last| last < number), "{number} came after {last:?}");
        last = Some(number);
    });
    assert_eq!(last, Some(world.written - 1));
    world.finish(0).await;
}

/// What goes through the queue goes no faster than its limit. It may be slower than that, on a slow machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_keeps_to_its_limit() {
    let settings = "flush_period: 50ms\nmax_record_size: \"16 KiB\"\nbackpressure: queue\n\
                    queue: { mode: always, drain_rate: 2000 }";
    let mut world = World::new(1, settings).await;
    world.write_lines(6_000);
    let start = Instant::now();
    world.start();
    world.arrived().await;
    // All but the last batch were waited for; a batch holds some hundred lines.
    assert!(
        start.elapsed() > Duration::from_secs(2),
        "6000 lines at 2000 a second took {:?}",
        start.elapsed()
    );
    world.finish(0).await;
}
