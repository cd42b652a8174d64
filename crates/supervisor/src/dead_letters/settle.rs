//! Taking letters out: those that were sent again, or given up. For commands, beside a forwarder or not.
//!
//! The cursor of a queue tells what is settled by a mark and a limited number of ranges above it. Letters that are taken out
//! here and there would soon need more. So those that stay between two ranges are copied to the end then, where nothing is
//! settled, and the two ranges become one. A letter that is copied has another number.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use millpond_queue::inspect::{self, Entry};
use millpond_queue::{Frame, Fs, OpenError, Queue, Sequence};

use super::{LOCK_RETRY, Place, by};

/// With more ranges than this, some are joined; so letters can be taken out for a while before it must be done again.
const RANGES_TARGET: usize = Queue::<Fs>::RANGES_SAVED_MAX / 2;
/// Bytes of letters that are copied before they are made durable.
const COPIED_BYTES_MAX: u64 = 4 << 20;

/// Takes letters out.
#[derive(Debug, Clone)]
pub struct Settler {
    place: Place,
    patience: Duration,
}

/// What has come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Letters that stay and have another number now.
    pub moved: u64,
    /// How many letters can be taken out next, wherever they are, so that it is certain to be noted.
    pub next_max: usize,
}

/// Why letters could not be taken out.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Somebody else has them.
    #[error(
        "{}: another process has the dead letters ({}), and does not let go of them; end it, or try again",
        directory.display(), by(*pid)
    )]
    Locked {
        /// Where.
        directory: PathBuf,
        /// Who.
        pid: Option<u32>,
    },
    /// Anything else, in words.
    #[error("{}: {reason}", directory.display())]
    Failed {
        /// Where.
        directory: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Settler {
    /// Waits for whoever has them for so long.
    #[must_use]
    pub fn new(place: Place, patience: Duration) -> Self {
        Self { place, patience }
    }

    /// Takes these letters out, durably. Blocks. With none, it finds out whether any could be.
    ///
    /// # Errors
    /// See [`SettleError`]; then some or all of them are still there.
    pub fn settle(&self, letters: &[Sequence]) -> Result<Settled, SettleError> {
        let failed = |reason: String| {
            let directory = self.place.directory.clone();
            SettleError::Failed { directory, reason }
        };
        let storage = Fs::existing(&self.place.directory).map_err(|error| failed(error.to_string()))?;
        let mut queue = self.open(&storage)?;
        // What was not durable when it was seen may be gone after a crash.
        let durable = queue.durable();
        letters.iter().filter(|letter| **letter < durable).for_each(|letter| queue.ack(*letter));
        let checkpoint = |queue: &mut Queue<Fs>| {
            queue.checkpoint(crate::clock::unix_ms()).map_err(|error| failed(error.to_string()))
        };
        checkpoint(&mut queue)?;
        let mut moved = 0;
        if queue.acked_above().len() > RANGES_TARGET {
            let joined = join(&mut queue, &storage, &mut moved);
            checkpoint(&mut queue)?;
            let left = queue.acked_above().len();
            if let Err(reason) = joined.and_then(|()| enough(left)) {
                return Err(failed(format!(
                    "not all of the letters could be taken out ({reason}): those that remain may be sent twice"
                )));
            }
        }
        let next_max = Queue::<Fs>::RANGES_SAVED_MAX.saturating_sub(queue.acked_above().len());
        queue.close(crate::clock::unix_ms()).map_err(|error| failed(error.to_string()))?;
        Ok(Settled { moved, next_max })
    }

    /// Opens them as soon as nobody else has them.
    fn open(&self, storage: &Fs) -> Result<Queue<Fs>, SettleError> {
        let until = Instant::now() + self.patience;
        loop {
            let directory = self.place.directory.clone();
            match self.place.open(storage.clone()) {
                Ok(queue) => return Ok(queue),
                Err(OpenError::Locked { pid }) if Instant::now() >= until => {
                    return Err(SettleError::Locked { directory, pid });
                }
                // The system tells nobody when a lock is free, within a limit.
                Err(OpenError::Locked { .. }) => std::thread::sleep(LOCK_RETRY),
                Err(error) => return Err(SettleError::Failed { directory, reason: error.to_string() }),
            }
        }
    }
}

fn enough(ranges: usize) -> Result<(), String> {
    if ranges <= Queue::<Fs>::RANGES_SAVED_MAX {
        return Ok(());
    }
    Err("they lie too far apart".to_owned())
}

/// Joins ranges until they are few enough. Where letters cannot be copied, ranges stay, as long as they can be saved.
fn join(queue: &mut Queue<Fs>, storage: &Fs, moved: &mut u64) -> Result<(), String> {
    for (first, end) in gaps_to_close(queue.acked(), &queue.acked_above(), RANGES_TARGET) {
        match copy(queue, storage, first, end) {
            Ok(copied) => *moved += copied,
            Err(error) if queue.acked_above().len() > Queue::<Fs>::RANGES_SAVED_MAX => {
                return Err(error.to_string());
            }
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// What lies in front of ranges and has to be settled, so that no more than `target` of them remain: as little as possible.
/// Pure.
fn gaps_to_close(
    acked: Sequence,
    ranges: &[(Sequence, Sequence)],
    target: usize,
) -> Vec<(Sequence, Sequence)> {
    let ends = std::iter::once(acked).chain(ranges.iter().map(|range| range.1));
    let mut gaps: Vec<_> = ends.zip(ranges.iter().map(|range| range.0)).collect();
    gaps.sort_by_key(|(first, end)| end.0 - first.0);
    gaps.truncate(ranges.len().saturating_sub(target));
    gaps
}

/// Copies the letters from `first` up to `end` to the end, and settles them where they were. What cannot be read stays
/// where it is.
fn copy(queue: &mut Queue<Fs>, storage: &Fs, first: Sequence, end: Sequence) -> io::Result<u64> {
    let mut copied = 0;
    let mut waiting = Vec::new();
    let mut bytes = 0;
    for entry in inspect::entries(storage.clone(), first) {
        match entry? {
            Entry::Frame(frame) if frame.sequence < end => {
                bytes += frame.payload.len() as u64;
                waiting.push(frame);
            }
            Entry::Damaged { first: damaged, .. } if damaged < end => {}
            _ => break,
        }
        if bytes > COPIED_BYTES_MAX {
            copied += copy_some(queue, &std::mem::take(&mut waiting))?;
            bytes = 0;
        }
    }
    Ok(copied + copy_some(queue, &waiting)?)
}

fn copy_some(queue: &mut Queue<Fs>, frames: &[Frame]) -> io::Result<u64> {
    for frame in frames {
        queue.append(frame.info, std::slice::from_ref(&frame.payload)).map_err(io::Error::other)?;
    }
    // IMPORTANT: the copies are durable before the originals count as settled.
    let durable = queue.commit().map_err(io::Error::other)?;
    debug_assert!(frames.iter().all(|frame| frame.sequence < durable.upto), "a copy is behind its original");
    let settled: BTreeSet<Sequence> = frames.iter().map(|frame| frame.sequence).collect();
    settled.iter().for_each(|sequence| queue.ack(*sequence));
    Ok(settled.len() as u64)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dead_letters::letters::{self, Found};
    use crate::dead_letters::{DeadLetters, Reason};

    fn sequences(ranges: &[(u64, u64)]) -> Vec<(Sequence, Sequence)> {
        ranges.iter().map(|&(first, end)| (Sequence(first), Sequence(end))).collect()
    }

    #[test]
    fn the_smallest_gaps_are_closed() {
        let check = |acked, ranges: &[(u64, u64)], target, expected: &[(u64, u64)]| {
            assert_eq!(gaps_to_close(Sequence(acked), &sequences(ranges), target), sequences(expected));
        };
        let ranges = [(5, 6), (7, 9), (20, 21)];
        check(1, &ranges, 3, &[]);
        check(1, &ranges, 2, &[(6, 7)]);
        check(1, &ranges, 1, &[(6, 7), (1, 5)]);
        check(1, &ranges, 0, &[(6, 7), (1, 5), (9, 20)]);
    }

    fn place(directory: &tempfile::TempDir, size_bytes_max: u64) -> Place {
        Place { directory: directory.path().join("main"), size_bytes_max, free_bytes_min: 0 }
    }

    async fn with_letters(place: &Place, count: u32, bytes: usize) {
        let kept = DeadLetters::new("main".to_owned(), place.clone());
        let reason = Reason { code: "C", message: "m", stream: "s", partition_key: None, format: "event" };
        let bodies = (0..count).map(|number| {
            let mut body = number.to_string().into_bytes();
            body.resize(bytes.max(body.len()), b' ');
            Bytes::from(body)
        });
        let mut storing = tokio::task::JoinSet::new();
        for body in bodies {
            let (kept, reason) = (kept.clone(), reason.clone());
            storing.spawn(async move { kept.store(&reason, 1, body, 7).await.unwrap() });
        }
        storing.join_all().await;
        kept.close().unwrap();
    }

    /// The numbers in the letters that are there, and their sequences.
    fn present(place: &Place) -> Vec<(u32, u64)> {
        let storage = Fs::existing(&place.directory).unwrap();
        let found = letters::read(storage, Sequence(0)).unwrap().map(|found| match found.unwrap() {
            Found::Letter(letter) => {
                assert_eq!(letter.refused_ms, 7);
                let body = std::str::from_utf8(&letter.body).unwrap();
                (body.trim_end().parse().unwrap(), letter.sequence.0)
            }
            other => panic!("{other:?}"),
        });
        found.collect()
    }

    #[tokio::test]
    async fn letters_that_are_taken_out_here_and_there_stay_out() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(&directory, 64 << 20);
        with_letters(&place, 600, 0).await;
        let settler = Settler::new(place.clone(), Duration::ZERO);
        let before = present(&place);
        let (out, stay): (Vec<_>, Vec<_>) = before.iter().partition(|(_, sequence)| sequence % 2 == 0);
        let mut moved = 0;
        for chunk in out.chunks(32) {
            let settled =
                settler.settle(&chunk.iter().map(|(_, at)| Sequence(*at)).collect::<Vec<_>>()).unwrap();
            assert!(settled.next_max >= 32, "{settled:?}");
            moved += settled.moved;
        }
        assert!(moved > 100, "{moved}");
        let mut after: Vec<u32> = present(&place).iter().map(|(number, _)| *number).collect();
        after.sort_unstable();
        let mut expected: Vec<u32> = stay.iter().map(|(number, _)| *number).collect();
        expected.sort_unstable();
        assert_eq!(after, expected, "each of them once");
    }

    #[tokio::test]
    async fn who_has_no_room_to_copy_says_how_many_can_still_be_taken_out() {
        let directory = tempfile::tempdir().unwrap();
        let mut place = place(&directory, 64 << 20);
        with_letters(&place, 400, 20_000).await;
        place.size_bytes_max = 1 << 20;
        let settler = Settler::new(place.clone(), Duration::ZERO);
        let out =
            |from: u64, count: u64| (from..from + 2 * count).step_by(2).map(Sequence).collect::<Vec<_>>();
        assert_eq!(settler.settle(&out(2, 100)).unwrap(), Settled { moved: 0, next_max: 28 });
        assert_eq!(settler.settle(&out(202, 28)).unwrap(), Settled { moved: 0, next_max: 0 });
        assert_eq!(present(&place).len(), 400 - 128);
        let error = settler.settle(&out(258, 1)).unwrap_err().to_string();
        assert!(error.contains("sent twice"), "{error}");
        // In front, there is always room for it.
        assert_eq!(settler.settle(&[Sequence(1)]).unwrap(), Settled { moved: 0, next_max: 1 });
    }

    #[tokio::test]
    async fn who_does_not_let_go_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(&directory, 64 << 20);
        with_letters(&place, 1, 0).await;
        let held = place.open(Fs::existing(&place.directory).unwrap()).unwrap();
        let settler = Settler::new(place.clone(), Duration::ZERO);
        let error = settler.settle(&[Sequence(1)]).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        assert_eq!(settler.settle(&[Sequence(1)]).unwrap().next_max, 128);
        assert_eq!(present(&place), []);
    }
}
