//! How many dead letters there are: what is on disk counts, whoever has put it there or taken it away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millpond_queue::inspect::{self, Entry, Standing};
use millpond_queue::{Fs, Sequence};
use tokio::sync::{Mutex, oneshot};

/// Looks at the dead letters of one output, and does not keep them open.
#[derive(Debug, Clone)]
pub struct DeadLetterView {
    directory: PathBuf,
    /// What the last look has found, so that the next one needs to look at what is new only. Whoever looks has it: a disk
    /// that does not answer holds up one thread and no more.
    known: Arc<Mutex<Option<Known>>>,
}

/// What is known.
#[derive(Debug)]
struct Known {
    /// Where the cursor was.
    standing: Standing,
    /// Everything below is counted.
    end: Sequence,
    events: u64,
}

impl DeadLetterView {
    /// Counts them. That they cannot be counted is said now, while somebody looks at the log.
    pub(super) fn new(output: &str, directory: &Path) -> Self {
        let mut known = None;
        if let Err(error) = count(directory, &mut known) {
            let directory = directory.display();
            tracing::warn!(output, %directory, %error, "the dead letters cannot be counted: can this user read them?");
        }
        Self { directory: directory.to_owned(), known: Arc::new(Mutex::new(known)) }
    }

    /// Where they are kept; it does not exist before the first one.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Events that are kept now; nothing if that cannot be found out, or not within `patience`.
    pub async fn events(&self, patience: Duration) -> Option<u64> {
        let looking = async {
            let mut known = Arc::clone(&self.known).lock_owned().await;
            let directory = self.directory.clone();
            let (reply, answer) = oneshot::channel();
            // A thread of its own: those of the runtime are few, and for what is forwarded.
            let looking = std::thread::Builder::new().name("dead-letters".to_owned());
            let looking = looking.spawn(move || {
                let events = count(&directory, &mut known);
                drop(known);
                // Nobody may be waiting any more.
                reply.send(events).ok();
            });
            looking.ok()?;
            match answer.await.ok()? {
                Ok(events) => Some(events),
                Err(error) => {
                    tracing::debug!(directory = %self.directory.display(), %error, "the dead letters cannot be counted");
                    None
                }
            }
        };
        tokio::time::timeout(patience, looking).await.ok()?
    }
}

/// Events in the dead letters in `directory`; 0 if it does not exist. Changes nothing on disk.
fn count(directory: &Path, known: &mut Option<Known>) -> io::Result<u64> {
    let last = known.take();
    if !directory.try_exists()? {
        return Ok(0);
    }
    let storage = Fs::existing(directory)?;
    let standing = inspect::standing(&storage)?;
    let mut now = match last {
        // Nothing was taken out.
        Some(last) if last.standing == standing => last,
        _ => count_closed(&storage, standing)?,
    };
    now.take_in(inspect::entries(storage, now.end))?;
    let events = now.events;
    *known = Some(now);
    Ok(events)
}

/// Counts what is in closed segments by what they say of themselves, and looks only into those of which some letters are
/// gone. The last segment is left to the walk.
fn count_closed(storage: &Fs, standing: Standing) -> io::Result<Known> {
    let segments = inspect::overview(storage)?.segments;
    let mut known = Known { end: standing.acked, events: 0, standing };
    let Some((_, closed)) = segments.split_last() else { return Ok(known) };
    for segment in closed {
        let is_settled = segment.end <= known.standing.acked;
        let is_touched = segment.first < known.standing.acked
            || known.standing.above.iter().any(|&(first, end)| first < segment.end && segment.first < end);
        if is_settled {
            continue;
        }
        if is_touched {
            let entries = inspect::entries(storage.clone(), segment.first.max(known.standing.acked));
            let within = |entry: &io::Result<Entry>| match entry {
                Ok(Entry::Frame(frame)) => frame.sequence < segment.end,
                Ok(Entry::Damaged { first, .. }) => *first < segment.end,
                _ => true,
            };
            known.take_in(entries.take_while(within))?;
        } else {
            known.events += segment.events;
        }
        known.end = known.end.max(segment.end);
    }
    Ok(known)
}

impl Known {
    fn take_in(&mut self, entries: impl Iterator<Item = io::Result<Entry>>) -> io::Result<()> {
        for entry in entries {
            if let Entry::Frame(frame) = entry?
                && frame.sequence >= self.end
            {
                if !self.standing.is_settled(frame.sequence) {
                    self.events += u64::from(frame.info.events);
                }
                self.end = frame.sequence.next();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::settle::Settler;
    use crate::dead_letters::{DeadLetters, Place, Reason};

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn store(letters: &DeadLetters, count: u32) {
        let reason = Reason { code: "C", message: "m", stream: "s", partition_key: None, format: "event" };
        for _ in 0..count {
            letters.store(&reason, 3, bytes::Bytes::from_static(b"{}"), 1).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_on_disk_counts_whoever_has_changed_it() {
        let directory = tempfile::tempdir().unwrap();
        let place =
            Place { directory: directory.path().join("main"), size_bytes_max: 64 << 20, free_bytes_min: 0 };
        let letters = DeadLetters::new("main".to_owned(), place.clone());
        let view = letters.view();
        assert_eq!(view.events(PATIENCE).await, Some(0));
        store(&letters, 10).await;
        assert_eq!(view.events(PATIENCE).await, Some(30));
        let settler = Settler::new(place.clone(), Duration::from_secs(30));
        // Beside what stores, which lets go of them after a second; some at the front, some amidst.
        let settled = [1, 2, 5].map(Sequence);
        let settler = tokio::task::spawn_blocking(move || {
            settler.settle(&settled).unwrap();
            settler
        })
        .await
        .unwrap();
        assert_eq!(view.events(PATIENCE).await, Some(21));
        store(&letters, 2).await;
        assert_eq!(view.events(PATIENCE).await, Some(27));
        letters.close().unwrap();
        assert_eq!(view.events(PATIENCE).await, Some(27));
        assert_eq!(DeadLetterView::new("main", &place.directory).events(PATIENCE).await, Some(27));
        settler.settle(&(1..=12).map(Sequence).collect::<Vec<_>>()).unwrap();
        assert_eq!(view.events(PATIENCE).await, Some(0));
        std::fs::remove_dir_all(&place.directory).unwrap();
        assert_eq!(view.events(PATIENCE).await, Some(0));
    }
}
