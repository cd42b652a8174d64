//! The disk that holds the queue and the positions loses its power under the forwarder: nothing is missing.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::disk::{self, Disk};
use crate::harness::{Outcome, needs_program, number};
use crate::world::World;

const RATE: u64 = 4_000;

pub(crate) fn power_cuts() -> Outcome {
    disk::needs(&["ext4", "xfs"])?;
    needs_program("xfs_io", "xfsprogs")?;
    let rounds = number("MILLPOND_CUTS").unwrap_or(20).div_ceil(2);
    let mut random = crate::random("power_cuts");
    let (one, other) = (random.fork(), random.fork());
    // Side by side: mostly they wait.
    let (one, other) = crate::block_on(async {
        tokio::join!(cuts_of("ext4", "always", rounds, one), cuts_of("xfs", "error", rounds, other))
    });
    Ok(format!("{one}; {other}"))
}

async fn cuts_of(kind: &str, mode: &str, rounds: u64, mut random: fastrand::Rng) -> String {
    let disk = Disk::new(kind, 400);
    let settings = format!(
        "flush_period: 50ms\nmax_record_size: \"8 KiB\"\ncompression: none\nbackpressure: queue\n\
         queue: {{ mode: {mode}, max_size: \"64 MiB\", max_segment_size: \"1 MiB\", min_free: \"0 B\" }}"
    );
    let mut world = World::new(3, &settings).await;
    symlink(disk.at(), world.path("data")).unwrap();
    let mut repeated_max = 0;
    for round in 0..rounds {
        // Two rounds in an outage, then one in which what is queued leaves.
        let down = (round % 3 != 2).then(|| world.fault("down"));
        world.write_lines(random.u64(50..400));
        world.start();
        world.live(Duration::from_millis(random.u64(50..1_500)), RATE).await;
        tokio::time::sleep(Duration::from_micros(random.u64(..50_000))).await;
        disk.cut_power();
        world.kill_9().await;
        disk.remount();
        if let Some(down) = down {
            world.clear(down);
        }
        repeated_max += world.written;
    }
    world.write_lines(100);
    world.start();
    let proof = world.finish(repeated_max).await;
    let (lines, missing, repeated) = (proof.written, proof.missing, proof.repeated);
    format!("{kind}, {mode}: {rounds} cuts, {lines} lines, {missing} missing, {repeated} repeated")
}
