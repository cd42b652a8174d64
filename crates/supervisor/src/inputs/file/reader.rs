//! Reads the files that are known: whose turn it is, what a turn gives, what receipts acknowledge.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Timing;
use super::carried::Carried;
use super::framer::Framer;
use super::identity::{FileKey, Verdict};
use super::notices::Notices;
use super::pattern::Patterns;
use super::positions::Stored;
use super::roster::Roster;
use super::tail::{self, Look, Place, Tail, TailId, Turn};
use super::trouble::Troubles;
use super::unfinished::Unfinished;
use crate::ack_window::{AckWindow, Position};
use crate::chunk::{Chunk, Codec, Form, Framing, Receipt};
use crate::config::checked::ReadFrom;
use crate::inputs::lines::Taken;
use crate::inputs::multiline::Multiline;
use crate::inputs::{InputContext, InputCounters};

/// A receipt that has come back.
#[derive(Debug)]
pub(super) struct Returned {
    tail: TailId,
    chunk: u64,
    ok: bool,
}

/// The files of one input and everything that is known of them.
pub(super) struct Reader {
    pub(super) input: Arc<str>,
    codec: Codec,
    pub(super) framer: Framer,
    pub(super) unfinished: Unfinished,
    pub(super) counters: Arc<InputCounters>,
    pub(super) patterns: Arc<Patterns>,
    /// Where files begin that are found by the first walk and have no position.
    pub(super) first_from: ReadFrom,
    pub(super) timing: Timing,
    pub(super) roster: Roster,
    pub(super) notices: Notices,
    pub(super) troubles: Troubles,
    /// Positions of files that are not there now.
    pub(super) stored: HashMap<FileKey, Stored>,
    /// Closed files that are gone from their path and have to be looked for near it.
    pub(super) missing: Vec<TailId>,
    /// Where files went that were renamed.
    pub(super) carried: Carried,
    /// Patterns of which was said that nothing matches them.
    pub(super) told_unmatched: Vec<String>,
    /// Positions have changed since they were saved.
    pub(super) is_dirty: bool,
    has_lost: bool,
    in_flight: u64,
    scratch: Vec<u8>,
    returned: mpsc::UnboundedSender<Returned>,
}

impl Reader {
    pub(super) fn new(
        ctx: &InputContext,
        patterns: Arc<Patterns>,
        multiline: Option<Multiline>,
        first_from: ReadFrom,
        timing: Timing,
        returned: mpsc::UnboundedSender<Returned>,
    ) -> Self {
        Self {
            input: Arc::clone(&ctx.input),
            codec: ctx.codec,
            framer: Framer { max_line: ctx.max_line, multiline },
            unfinished: Unfinished::default(),
            counters: Arc::clone(&ctx.counters),
            notices: Notices::new(Arc::clone(&patterns), timing.notices),
            patterns,
            first_from,
            roster: Roster::new(timing.open_files_max),
            timing,
            troubles: Troubles::default(),
            stored: HashMap::new(),
            missing: Vec::new(),
            carried: Carried::default(),
            told_unmatched: Vec::new(),
            is_dirty: false,
            has_lost: false,
            in_flight: 0,
            scratch: Vec::new(),
            returned,
        }
    }

    /// Gives the next file its turn: a chunk to send, if it had whole lines.
    pub(super) fn turn(&mut self) -> Option<Chunk> {
        let id = self.roster.next_turn()?;
        let chunk = self.turn_of(id);
        self.counters.files_open.set(self.roster.open_files() as u64);
        chunk
    }

    fn turn_of(&mut self, id: TailId) -> Option<Chunk> {
        if !self.ensure_open(id) {
            return None;
        }
        let tail = self.roster.get_mut(id)?;
        // What is lost is read again first, once nothing is on its way any more.
        let file = tail.file.as_ref().filter(|_| !tail.window.has_lost())?;
        let (from, end) = (tail.window.sent_to(), tail.end());
        match tail::read_turn(file, tail.fingerprint, from, &self.framer, end, &mut self.scratch) {
            Ok(Turn::Read { taken, fingerprint, look, is_more }) => {
                tail.fingerprint = fingerprint;
                tail.seen = Some(look);
                if taken.consumed > 0 {
                    tail.grown_at = Instant::now();
                }
                tail.is_at_end &= is_more;
                if is_more {
                    self.roster.enqueue(id);
                } else {
                    self.note_end(id, look.size, taken.is_unfinished);
                }
                self.take(id, taken)
            }
            Ok(Turn::BegunAnew { verdict, salvaged }) => {
                let chunk = self.take(id, salvaged);
                self.begin_anew(id, verdict);
                chunk
            }
            Err(error) => {
                let path = tail.path.clone();
                tail.seen = None;
                if tail.place == Place::Here {
                    self.roster.close(id);
                }
                self.troubles.tell(&self.counters, "read", &path, &error);
                None
            }
        }
    }

    /// What a turn has taken becomes a chunk on its way.
    fn take(&mut self, id: TailId, taken: Taken) -> Option<Chunk> {
        let tail = self.roster.get_mut(id)?;
        if taken.consumed == 0 {
            return None;
        }
        let from = tail.window.sent_to();
        let end = Position { offset: from.offset + taken.consumed as u64, in_cut_line: taken.in_cut_line };
        self.counters.lines_cut.add(taken.cut);
        self.counters.bytes_cut.add(taken.cut_bytes);
        if taken.cut > 0 {
            tracing::warn!(
                path = %tail.path.display(), position = from.offset, lines = taken.cut,
                "{} lines or events behind byte {} of {} are longer than max_line and were cut",
                taken.cut, from.offset, tail.path.display(),
            );
        }
        if taken.data.is_empty() {
            tail.window.passed(end);
            self.is_dirty = true;
            return None;
        }
        let number = tail.window.sent(end);
        let returned = self.returned.clone();
        let receipt = Receipt::new(move |ok| {
            if returned.send(Returned { tail: id, chunk: number, ok }).is_err() {
                tracing::debug!("a receipt came back after its input had ended");
            }
        });
        self.in_flight += 1;
        self.counters.chunks_in_flight.set(self.in_flight);
        self.counters.events.add(taken.lines);
        self.counters.bytes.add(taken.data.len() as u64);
        Some(Chunk {
            input: Arc::clone(&self.input),
            source: Arc::clone(&tail.source),
            host: None,
            codec: self.codec,
            read_at_ms: now_ms(),
            data: Bytes::from(taken.data),
            framing: taken.ends.map_or(Framing::Lines, |ends| Framing::Ends(ends.into())),
            form: Form::default(),
            receipt,
        })
    }

    /// The file was written anew in place: a new file for all that follows.
    fn begin_anew(&mut self, id: TailId, verdict: Verdict) {
        let Some(mut old) = self.roster.remove(id) else { return };
        let read_to = old.window.sent_to().offset;
        let lost = old.unread();
        tracing::info!(
            path = %old.path.display(), position = read_to, lost,
            "{} {} after it was read up to byte {read_to}; it is read from its beginning. {}",
            old.path.display(),
            if verdict == Verdict::Shorter { "was truncated" } else { "was written anew" },
            if lost > 0 { format!("{lost} bytes were gone before they could be read.") } else { String::new() },
        );
        self.counters.truncations.add(1);
        self.counters.bytes_lost.add(lost);
        let mut tail = Tail::new(old.key, &old.path, Default::default(), Position::at(0));
        tail.set_found_as(&old.found_as);
        tail.place = old.place;
        tail.file = old.file.take();
        let id = self.roster.add(tail);
        self.roster.enqueue(id);
        self.is_dirty = true;
    }

    /// Opens the file if it is closed; false if it cannot be read now.
    fn ensure_open(&mut self, id: TailId) -> bool {
        let Some(tail) = self.roster.get(id) else { return false };
        if tail.file.is_some() {
            return true;
        }
        if tail.place == Place::Vanished {
            return false;
        }
        let (path, key) = (tail.path.clone(), tail.key);
        match self.open_as(&path, key) {
            Ok(Some((file, _))) => {
                self.roster.opened(id, file);
                true
            }
            Ok(None) => {
                self.look(&path);
                self.find_missing();
                self.roster.get(id).is_some_and(|tail| tail.file.is_some())
            }
            Err(error) => {
                if let Some(tail) = self.roster.get_mut(id) {
                    tail.seen = None;
                }
                self.troubles.tell(&self.counters, "open", &path, &error);
                false
            }
        }
    }

    /// Opens the file of this identity at this path; `None` if it is not there.
    pub(super) fn open_as(&mut self, path: &Path, key: FileKey) -> io::Result<Option<(File, Look)>> {
        match tail::open(path) {
            Ok((file, metadata)) => {
                self.troubles.is_well(path);
                Ok((FileKey::of(&metadata) == key).then(|| (file, Look::of(&metadata))))
            }
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A receipt has come back.
    pub(super) fn receipt(&mut self, returned: &Returned) {
        self.in_flight -= 1;
        self.counters.chunks_in_flight.set(self.in_flight);
        // A file that was begun anew has another number; what was on its way of the old one acknowledges nothing.
        let Some(tail) = self.roster.get_mut(returned.tail) else { return };
        self.is_dirty |= tail.window.receipt(returned.chunk, returned.ok);
        self.has_lost |= tail.window.has_lost();
    }

    /// Reads again what an output has dropped without delivering it, although nobody stops.
    pub(super) fn rewind(&mut self) {
        self.has_lost = false;
        for id in self.roster.ids() {
            let Some(tail) = self.roster.get_mut(id) else { continue };
            if !tail.window.has_lost() {
                continue;
            }
            if tail.window.awaited() > 0 {
                self.has_lost = true;
                continue;
            }
            let acked = tail.window.acked();
            tracing::warn!(
                path = %tail.path.display(), position = acked.offset,
                "an output gave lines of {} back; it is read again from byte {}", tail.path.display(), acked.offset,
            );
            tail.window = AckWindow::new(acked);
            self.counters.chunks_resent.add(1);
            self.roster.enqueue(id);
        }
    }

    /// Whether something has to be read again, see [`rewind`](Self::rewind).
    pub(super) fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// Receipts that have not come back yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// What has to be stored now.
    pub(super) fn positions(&self) -> Vec<Stored> {
        let now = now_ms();
        let here = self.roster.iter().map(|(_, tail)| tail.stored(now));
        here.chain(self.stored.values().cloned()).collect()
    }

    /// Deleted files, which nobody can read any more once this process has ended.
    pub(super) fn only_deleted_have_turns(&mut self) {
        while self.roster.next_turn().is_some() {}
        let deleted: Vec<TailId> =
            self.roster.iter().filter(|(_, tail)| tail.place == Place::Deleted).map(|(id, _)| id).collect();
        for id in deleted {
            if let Some(tail) = self.roster.get_mut(id) {
                tail.is_at_end = true;
            }
            self.roster.enqueue(id);
        }
    }

    /// Says what of deleted files was not read when the input stops.
    pub(super) fn tell_unread_deleted(&mut self) {
        for (_, tail) in self.roster.iter() {
            if tail.place == Place::Deleted && tail.unread() > 0 {
                self.counters.bytes_lost.add(tail.unread());
                tracing::warn!(
                    path = %tail.path.display(), bytes = tail.unread(),
                    "{} was deleted, and {} bytes of it were not read before the stop", tail.path.display(), tail.unread(),
                );
            }
        }
    }
}

/// Nothing is there any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The directory in which a path is.
pub(super) fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}
