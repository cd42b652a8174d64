//! Who waits for whom.

use std::sync::atomic::AtomicU32;

use super::letters::Found;
use super::settle::Settler;
use super::*;

const A_WHILE: Duration = Duration::from_millis(300);
const LEASE: Lease = Lease { idle: Duration::from_millis(50), longest: Duration::from_millis(200) };
const REASON: Reason<'_> =
    Reason { code: "C", message: "m", stream: "s", partition_key: None, format: "event" };

fn place(directory: &tempfile::TempDir, size_bytes_max: u64) -> Place {
    Place { directory: directory.path().join("main"), size_bytes_max, free_bytes_min: 0 }
}

fn present(place: &Place) -> Vec<u64> {
    let storage = Fs::existing(&place.directory).unwrap();
    let found = letters::read(storage, millpond_queue::Sequence(0)).unwrap();
    let sequence = |found: std::io::Result<Found>| match found.unwrap() {
        Found::Letter(letter) => letter.sequence.0,
        other => panic!("{other:?}"),
    };
    found.map(sequence).collect()
}

/// Nobody else may have a queue that is open, so this is who waits where a command has it.
#[tokio::test]
async fn a_letter_waits_for_a_command() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(&directory, 64 << 20);
    let held = place.open(Fs::create(&place.directory).unwrap()).unwrap();
    let letters = DeadLetters::with_lease("main".to_owned(), place.clone(), LEASE);
    let stored = letters.store(&REASON, 1, Bytes::from_static(b"{}"), 1);
    tokio::pin!(stored);
    tokio::time::timeout(A_WHILE, &mut stored).await.expect_err("it waits");
    drop(held);
    stored.await.unwrap();
    assert_eq!(present(&place), [1]);
}

/// Letters come faster than the time after which nobody wants to store any more; a command has its turn all the same,
/// and no letter is lost or kept twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_has_its_turn_while_letters_come() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(&directory, 64 << 20);
    let letters = DeadLetters::with_lease("main".to_owned(), place.clone(), LEASE);
    let stored = Arc::new(AtomicU32::new(0));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (by, count) = (letters.clone(), Arc::clone(&stored));
    let storing = tokio::spawn(async move {
        while !*stopped.borrow() {
            by.store(&REASON, 1, Bytes::from_static(b"{}"), 1).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    while stored.load(Ordering::Relaxed) < 10 {
        tokio::task::yield_now().await;
    }
    let settler = Settler::new(place.clone(), Duration::from_secs(60));
    for sequence in [1, 4, 2] {
        let settler = settler.clone();
        let settle = move || settler.settle(&[millpond_queue::Sequence(sequence)]).unwrap();
        tokio::task::spawn_blocking(settle).await.unwrap();
    }
    stop.send_replace(true);
    storing.await.unwrap();
    letters.close().unwrap();
    let end = u64::from(stored.load(Ordering::Relaxed)) + 1;
    let expected: Vec<u64> = (1..end).filter(|sequence| ![1, 2, 4].contains(sequence)).collect();
    assert_eq!(present(&place), expected);
}

/// A letter for which there is no room waits, and lets commands make room meanwhile.
#[tokio::test]
async fn what_finds_no_room_is_stored_when_a_command_has_made_some() {
    let directory = tempfile::tempdir().unwrap();
    let place = place(&directory, 1 << 20);
    let letters = DeadLetters::with_lease("main".to_owned(), place.clone(), LEASE);
    let body = Bytes::from(vec![b' '; 100_000]);
    let mut kept = 0;
    let waiting = loop {
        let mut stored = Box::pin(letters.store(&REASON, 1, body.clone(), 1));
        match tokio::time::timeout(4 * LEASE.longest, &mut stored).await {
            Ok(stored) => stored.unwrap(),
            Err(_) => break stored,
        }
        kept += 1;
        assert!(kept < 100, "it never becomes full");
    };
    assert!(letters.shared.is_full.load(Ordering::Relaxed));
    let settler = Settler::new(place.clone(), Duration::from_secs(60));
    let settle =
        move || settler.settle(&(1..=kept).map(millpond_queue::Sequence).collect::<Vec<_>>()).unwrap();
    let settling = tokio::task::spawn_blocking(settle);
    waiting.await.unwrap();
    settling.await.unwrap();
    assert_eq!(present(&place).len(), 1);
    assert!(!letters.shared.is_full.load(Ordering::Relaxed));
}
