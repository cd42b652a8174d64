//! Frames out of what was set aside.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs fails")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use millpond_queue::inspect::salvage::{Salvaged, salvage};
use millpond_queue::{BatchInfo, Fs, Options, Queue};

const SEGMENT: &str = "00000000000000000001.seg";
const PAYLOAD: usize = 1_000;
/// From the beginning of one frame to that of the next.
const FRAME: usize = 80 + PAYLOAD;

fn options() -> Options {
    Options { free_bytes_min: 0, catalog: false, ..Options::default() }
}

/// A queue that was killed with this many batches in its only segment, and whose segment was changed then.
fn damaged(batches: u8, change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (mut queue, _) = Queue::open(Fs::create(directory.path()).unwrap(), options()).unwrap();
    for number in 1..=batches {
        let info = BatchInfo { kind: 1, events: number.into(), ..BatchInfo::default() };
        queue.append(info, &[Bytes::from(vec![number; PAYLOAD])]).unwrap();
        assert_eq!(queue.commit().unwrap().upto.0, u64::from(number) + 1);
    }
    queue.checkpoint(1).unwrap();
    drop(queue);
    let segment = directory.path().join(SEGMENT);
    let mut bytes = std::fs::read(&segment).unwrap();
    change(&mut bytes);
    std::fs::write(&segment, bytes).unwrap();
    let path = directory.path().to_owned();
    (directory, path)
}

/// Both copies of the header are gone.
fn behead(bytes: &mut [u8]) {
    bytes[..4096].fill(0xAA);
}

/// What the next opening sets aside, and what can be had of it.
fn salvaged(path: &Path) -> Vec<Salvaged> {
    let (queue, recovery) = Queue::open(Fs::create(path).unwrap(), options()).unwrap();
    assert!(recovery.findings.iter().any(millpond_queue::Finding::is_loss), "{recovery:?}");
    queue.close(1).unwrap();
    look(path)
}

fn look(path: &Path) -> Vec<Salvaged> {
    salvage(Fs::existing(path).unwrap()).unwrap().map(Result::unwrap).collect()
}

/// Their numbers; each is what was appended.
fn numbers(found: &[Salvaged]) -> Vec<u64> {
    let frames = found.iter().map(|salvaged| {
        let Salvaged::Frame { frame, was_readable } = salvaged else { panic!("{salvaged:?}") };
        assert!(!was_readable);
        let number = frame.sequence.0;
        assert_eq!(u64::from(frame.info.events), number);
        assert!(
            frame.payload.len() == PAYLOAD && frame.payload.iter().all(|&byte| u64::from(byte) == number)
        );
        number
    });
    frames.collect()
}

fn move_aside(path: &Path) {
    std::fs::create_dir(path.join("quarantine")).unwrap();
    std::fs::rename(path.join(SEGMENT), path.join("quarantine").join(SEGMENT)).unwrap();
}

#[test]
fn frames_of_a_segment_without_a_header() {
    let (_directory, path) = damaged(6, |bytes| behead(bytes));
    move_aside(&path);
    assert_eq!(numbers(&look(&path)), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn only_good_frames() {
    let (_directory, path) = damaged(6, |bytes| {
        behead(bytes);
        // A payload, the number of events in a header, and the end of the file.
        bytes[4096 + FRAME + 500] ^= 1;
        bytes[4096 + 3 * FRAME + 12] ^= 1;
        bytes.truncate(4096 + 6 * FRAME - 1);
    });
    move_aside(&path);
    assert_eq!(numbers(&look(&path)), [1, 3, 5]);
}

#[test]
fn one_frame_alone_proves_nothing() {
    let (_directory, path) = damaged(2, |bytes| {
        behead(bytes);
        bytes[4096 + 500] ^= 1;
    });
    move_aside(&path);
    let found = look(&path);
    assert!(
        matches!(&found[..], [Salvaged::Nothing { file, reason: "no two good frames are in it" }] if file.ends_with(SEGMENT)),
        "{found:?}"
    );
}

#[test]
fn what_an_opening_sets_aside_by_itself() {
    let (_directory, path) = damaged(4, |bytes| {
        // The checksum of both copies; what they say is still there, and not believed.
        bytes[92] ^= 1;
        bytes[2048 + 92] ^= 1;
    });
    assert_eq!(numbers(&salvaged(&path)), [1, 2, 3, 4]);
    // Looking again gives the same, and changes nothing.
    assert_eq!(look(&path).len(), 4);
}

#[test]
fn a_segment_that_can_be_read_was_read() {
    let (_directory, path) = damaged(3, |_| {});
    move_aside(&path);
    let found = look(&path);
    assert_eq!(found.len(), 3);
    assert!(
        found.iter().all(|found| matches!(found, Salvaged::Frame { was_readable: true, .. })),
        "{found:?}"
    );
}

#[test]
fn a_segment_of_another_queue_gives_nothing() {
    let (_other, other) = damaged(3, |_| {});
    let (_directory, path) = damaged(3, |_| {});
    std::fs::create_dir(path.join("quarantine")).unwrap();
    std::fs::copy(other.join(SEGMENT), path.join("quarantine").join(SEGMENT)).unwrap();
    assert!(matches!(&look(&path)[..], [Salvaged::Nothing { reason: "it belongs to another queue", .. }]));
}
