//! A disk that fills up during an outage: the queue takes no more and inputs wait; when space returns it goes on by
//! itself, and nothing is missing.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

use crate::disk::{self, Disk};
use crate::faults::{AGAIN, FULL, RATE, live_until_said, world};
use crate::harness::Outcome;

const DISK_MIB: u64 = 24;
const NO_SPACE: &str = "no space left on the file system of the queue";

pub(crate) fn full_ext4() -> Outcome {
    disk::needs(&["ext4"])?;
    let (always, error) = crate::block_on(async {
        tokio::join!(space_returns("ext4", "always"), space_returns("ext4", "error"))
    });
    Ok(format!("{always}; {error}"))
}

pub(crate) fn full_tmpfs() -> Outcome {
    disk::needs(&[])?;
    let (always, error) = crate::block_on(async {
        tokio::join!(space_returns("tmpfs", "always"), space_returns("tmpfs", "error"))
    });
    Ok(format!("{always}; {error}"))
}

/// Takes all space that there is; gives the bytes.
fn fill(disk: &Disk) -> u64 {
    let mut hog = File::create(disk.at().join("hog")).unwrap();
    for piece in [64 << 10, 4 << 10] {
        // Synced, since a file system may find only then that there is no room.
        while hog.write_all(&vec![1; piece]).and_then(|()| hog.sync_data()).is_ok() {}
    }
    hog.metadata().unwrap().len()
}

async fn space_returns(kind: &str, mode: &str) -> String {
    let disk = Disk::new(kind, DISK_MIB);
    let mut world = world(mode).await;
    std::os::unix::fs::symlink(disk.at(), world.path("data")).unwrap();
    let down = world.fault("down");
    world.start();
    world.live(Duration::from_millis(500), RATE).await;
    let hog_mib = fill(&disk) >> 20;
    live_until_said(&mut world, FULL).await;
    assert!(world.has_said(NO_SPACE), "{:#?}", world.said);
    world.live(Duration::from_secs(1), RATE).await;
    fs::remove_file(disk.at().join("hog")).unwrap();
    live_until_said(&mut world, AGAIN).await;
    world.live(Duration::from_millis(500), RATE).await;
    world.clear(down);
    let proof = world.finish(0).await;
    let (lines, missing, repeated) = (proof.written, proof.missing, proof.repeated);
    format!(
        "{mode}: {hog_mib} MiB taken and given back, {lines} lines, {missing} missing, {repeated} repeated"
    )
}

/// Space never returns: what the queue cannot take is sent as soon as the link is back.
pub(crate) fn full_for_good() -> Outcome {
    disk::needs(&[])?;
    Ok(crate::block_on(space_is_gone()))
}

async fn space_is_gone() -> String {
    let disk = Disk::new("tmpfs", DISK_MIB);
    let mut world = world("error").await;
    std::os::unix::fs::symlink(disk.at(), world.path("data")).unwrap();
    world.start();
    world.live(Duration::from_millis(500), RATE).await;
    fill(&disk);
    for _ in 0..3 {
        let down = world.fault("down");
        world.live(Duration::from_secs(3), RATE).await;
        world.clear(down);
        let proof = world.arrived().await;
        assert_eq!(proof.missing, 0, "{:#?}", world.said);
    }
    assert!(world.has_said(FULL), "{:#?}", world.said);
    let proof = world.finish(0).await;
    let (lines, missing, repeated) = (proof.written, proof.missing, proof.repeated);
    format!("3 outages without a byte of space, {lines} lines, {missing} missing, {repeated} repeated")
}
