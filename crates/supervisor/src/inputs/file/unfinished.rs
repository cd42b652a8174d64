//! Events of several lines whose end only silence tells.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::reader::Reader;
use super::tail::TailId;

/// The files whose last event may go on.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    files: BTreeSet<TailId>,
    /// When the first of them may have been silent for long enough.
    due_at: Option<Instant>,
}

impl Unfinished {
    /// The last event of a file may go on, and did not since then.
    fn note(&mut self, id: TailId, since: Instant, timeout: Duration) {
        self.files.insert(id);
        let due_at = since + timeout;
        self.due_at = Some(self.due_at.map_or(due_at, |first| first.min(due_at)));
    }

    /// When to look at them.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }
}

impl Reader {
    /// A file was read to its end; it has so many bytes, and its last event may go on or not.
    pub(super) fn note_end(&mut self, id: TailId, size: u64, is_unfinished: bool) {
        let (Some(tail), Some(multiline)) = (self.roster.get_mut(id), &self.framer.multiline) else { return };
        tail.is_quiet = false;
        if !is_unfinished {
            tail.unfinished = None;
            return;
        }
        let since = match tail.unfinished {
            Some((before, since)) if before == size => since,
            _ => Instant::now(),
        };
        tail.unfinished = Some((size, since));
        self.unfinished.note(id, since, multiline.timeout);
    }

    /// Gives files a turn that were silent for long enough: their last event is finished.
    pub(super) fn finish_quiet(&mut self, now: Instant) {
        let Some(timeout) = self.framer.multiline.as_ref().map(|multiline| multiline.timeout) else { return };
        let before = std::mem::take(&mut self.unfinished);
        for id in before.files {
            let Some(tail) = self.roster.get_mut(id) else { continue };
            let Some((_, since)) = tail.unfinished else { continue };
            if now.duration_since(since) >= timeout {
                tail.is_quiet = true;
                self.roster.enqueue(id);
            } else {
                self.unfinished.note(id, since, timeout);
            }
        }
    }
}
