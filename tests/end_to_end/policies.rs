//! What the policies of a queue do, from outside: what is dropped is counted to the event, what is kept is kept.

use std::time::Duration;

use millpond_queue::Fs;
use millpond_queue::inspect::{self, Overview, SegmentState};
use tokio::time::Instant;

use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(60);
const SIZE_MAX: u64 = 8 << 20;
/// Records of one event, not compressed, and a queue of at most 8 MiB in files of 1 MiB.
const SMALL: &str = "flush_period: 50ms\ncompression: none\nsend_batched: false\nbackpressure: queue\n\
                     queue: { max_size: \"8 MiB\", max_segment_size: \"1 MiB\", ";

fn overview(world: &World) -> Overview {
    inspect::overview(&Fs::existing(&world.path("data/queues/main")).unwrap()).unwrap()
}

/// Lets the forwarder go on until `is_so`, and sees to it that its queue stays within its size all the while.
async fn until(world: &mut World, what: &str, mut is_so: impl FnMut(&mut World) -> bool) {
    let start = Instant::now();
    while !is_so(world) {
        assert!(start.elapsed() < PATIENCE, "{what} never was; {:#?}", world.said);
        world.live(Duration::from_millis(50), 0).await;
        let bytes = world.gauge.look().map_or(0, |depth| depth.disk_bytes);
        assert!(bytes <= SIZE_MAX, "{bytes} bytes on disk");
    }
}

/// The file was read to its end, and its position there is written: all events in it count as acknowledged.
fn all_is_acknowledged(world: &mut World) -> bool {
    let end = std::fs::metadata(world.path("app.log")).unwrap().len().to_le_bytes();
    let files = std::fs::read_dir(world.path("data/inputs")).into_iter().flatten();
    let holds_end =
        |path| std::fs::read(path).unwrap_or_default().windows(end.len()).any(|window| window == end);
    let entries = files.flat_map(|entry| match entry.unwrap() {
        entry if entry.path().is_dir() => std::fs::read_dir(entry.path()).unwrap().flatten().collect(),
        entry => vec![entry],
    });
    entries.map(|entry| entry.path()).any(holds_end)
}

/// The running numbers of what has arrived.
fn numbers(world: &World) -> Vec<u64> {
    let mut numbers = Vec::new();
    millpond_local_kinesis::verify(&world.server.records(), |_, event| {
        let number = std::str::from_utf8(&event[10..]).unwrap().split(' ').next().unwrap();
        numbers.push(number.parse().unwrap());
    });
    numbers.sort_unstable();
    numbers
}

fn last_has_arrived(world: &mut World) -> bool {
    numbers(world).last() == Some(&(world.written - 1))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_make_room_for_the_newest() {
    let mut world = World::new(2, &format!("{SMALL} on_full: drop_oldest }}")).await;
    let down = world.fault("down");
    world.write_lines(60_000);
    world.start();
    // Inputs never wait: all is read and acknowledged while nothing can be sent.
    until(&mut world, "everything acknowledged", all_is_acknowledged).await;
    world.clear(down);
    until(&mut world, "the end of the drain", last_has_arrived).await;
    world.live(Duration::from_millis(200), 0).await;
    world.stop().await;
    let (delivered, dropped) = (world.number("delivered"), world.number("dropped"));
    assert_eq!((world.number("events"), delivered + dropped), (world.written, world.written));
    assert_eq!(world.number("dropped_oldest"), dropped);
    assert!(dropped > world.written / 10, "{dropped}");
    let arrived = numbers(&world);
    assert_eq!(arrived, (dropped..world.written).collect::<Vec<_>>(), "the newest, and all of them");
    assert!(!world.has_said("takes no more"), "{:#?}", world.said);
    let drop_lines = world.said.iter().filter(|said| said.reason.as_deref() == Some("queue_full_oldest"));
    assert!(drop_lines.count() < 10, "{:#?}", world.said);
}

/// A batch that was about to be sent when it was given up is sent all the same, or counted when it cannot be.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_while_it_is_sent_is_counted_at_the_stop() {
    let mut world = World::new(2, &format!("{SMALL} on_full: drop_oldest, mode: always }}")).await;
    let config = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), format!("shutdown_timeout: 100ms\n{config}")).unwrap();
    let hang = world.fault("hang,op=PutRecords");
    world.write_lines(60_000);
    world.start();
    until(&mut world, "everything acknowledged", all_is_acknowledged).await;
    world.stop().await;
    assert_eq!((world.number("events"), world.number("delivered")), (world.written, 0));
    let dropped = world.number("dropped_oldest");
    world.clear(hang);
    world.start();
    until(&mut world, "the end of the drain", last_has_arrived).await;
    world.stop().await;
    let arrived = numbers(&world).len() as u64;
    assert_eq!((arrived + dropped, world.number("delivered")), (world.written, arrived));
    assert!(world.has_said("since it began"), "{:#?}", world.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_expires() {
    let settings = "flush_period: 50ms\nbackpressure: queue\nqueue: { max_age: 2s, max_size: \"8 MiB\" }";
    let mut world = World::new(2, settings).await;
    let down = world.fault("down");
    world.start();
    world.live(Duration::from_secs(5), 2_000).await;
    world.clear(down);
    world.hear("a look at the shards", |said| said.message.contains("shards verified")).await;
    world.write_lines(1_000);
    until(&mut world, "the end of the drain", last_has_arrived).await;
    world.live(Duration::from_millis(200), 0).await;
    world.stop().await;
    let (delivered, expired) = (world.number("delivered"), world.number("expired"));
    assert_eq!((world.number("events"), delivered + expired), (world.written, world.written));
    assert_eq!(world.number("dropped"), expired);
    assert!((2_000..world.written).contains(&expired), "{expired}");
    assert_eq!(numbers(&world), (expired..world.written).collect::<Vec<_>>(), "those that were young enough");
    assert!(world.said.iter().any(|said| said.reason.as_deref() == Some("expired")), "{:#?}", world.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_now_and_then_loses_nothing_to_a_kill() {
    // With the longer one, positions of what is not synced are written when the process dies.
    for interval in ["100ms", "2s"] {
        let settings = format!(
            "flush_period: 50ms\nmax_record_size: \"64 KiB\"\nbackpressure: queue\n\
             queue: {{ mode: always, sync: \"{interval}\" }}"
        );
        let mut world = World::new(2, &settings).await;
        world.start();
        for outage in [false, true, false] {
            let down = outage.then(|| world.fault("down"));
            world.live(Duration::from_millis(fastrand::u64(1_200..1_800)), 4_000).await;
            world.kill_9().await;
            if let Some(down) = down {
                world.clear(down);
            }
            world.start();
        }
        let repeated_max = 3 * world.written;
        world.finish(repeated_max).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_batches_are_small_on_disk_and_arrive_as_they_were() {
    let mut world = World::new(2, &format!("{SMALL} compression: gzip }}")).await;
    let down = world.fault("down");
    world.write_lines(40_000);
    world.start();
    until(&mut world, "everything acknowledged", all_is_acknowledged).await;
    let segments = overview(&world).segments;
    let payload_bytes: u64 = segments.iter().map(|segment| segment.payload_bytes).sum();
    assert!(payload_bytes > SIZE_MAX, "more is queued than could be, were it not packed: {payload_bytes}");
    let disk_bytes = overview(&world).disk_bytes;
    assert!(disk_bytes < payload_bytes / 3, "{disk_bytes} of {payload_bytes}");
    world.clear(down);
    world.finish(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_batches_are_kept_until_their_space_is_needed() {
    let mut world = World::new(2, &format!("{SMALL} mode: always, retain: 1h }}")).await;
    world.write_lines(12_000);
    world.start();
    world.arrived().await;
    let delivered = |world: &World| {
        let segments = overview(world).segments;
        segments.iter().filter(|segment| segment.state == SegmentState::Delivered).count()
    };
    until(&mut world, "an empty queue", |world| overview(world).pending_batches == 0).await;
    let (kept, first) = (delivered(&world), overview(&world).segments[0].first);
    assert!(kept >= 2, "{:#?}", overview(&world));
    // More than fits: what was delivered first gives way, nothing else does.
    for _ in 0..10 {
        world.write_lines(4_000);
        until(&mut world, "the end of the drain", last_has_arrived).await;
    }
    until(&mut world, "an empty queue", |world| overview(world).pending_batches == 0).await;
    assert!(overview(&world).segments[0].first > first);
    assert!(delivered(&world) >= 3, "{:#?}", overview(&world));
    assert!(!world.has_said("takes no more"), "{:#?}", world.said);
    world.finish(0).await;
}
