//! One file that is being read.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::OFlags;

use super::framer::Framer;
use super::identity::{FINGERPRINT_BYTES_MAX, FileKey, Fingerprint, Verdict, judge};
use super::positions::Stored;
use crate::ack_window::{AckWindow, Position};
use crate::inputs::lines::Taken;
use crate::inputs::multiline::End;

/// Bytes of a chunk, unless a single line is longer.
pub(super) const CHUNK_BYTES_MAX: usize = 256 << 10;

/// Number of a file among all that were read since the start; a file that is begun anew gets a new one, so that
/// receipts for its old content cannot acknowledge the new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TailId(pub(super) u64);

/// One file that is being read.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) key: FileKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) window: AckWindow,
    /// Where it is now, as far as known.
    pub(super) path: PathBuf,
    /// Where it was found; what its events bear.
    pub(super) found_as: PathBuf,
    pub(super) source: Arc<str>,
    pub(super) place: Place,
    /// Open while there is something to read, for a while after that, and until the end once it has left its path.
    pub(super) file: Option<File>,
    /// How it looked when it was last looked at; `None`: has to be read whatever it looks like.
    pub(super) seen: Option<Look>,
    pub(super) grown_at: Instant,
    pub(super) is_queued: bool,
    /// Nothing will follow: a last line without a line end is taken as it is.
    pub(super) is_at_end: bool,
    /// Nothing came for a while: the last event of several lines is finished.
    pub(super) is_quiet: bool,
    /// The last event may go on: how large the file was then, and since when.
    pub(super) unfinished: Option<(u64, Instant)>,
}

/// Whether a file is where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is.
    Here,
    /// It was renamed, to a path that matches, too (`is_named`), or to one that does not. It is read to its end, as
    /// whoever wrote it may go on for a while.
    Moved {
        /// It is known by its new path.
        is_named: bool,
    },
    /// It was deleted while it was open. It is read to its end.
    Deleted,
    /// It is gone from its path, was not open, and is nowhere near: only receipts are awaited.
    Vanished,
}

/// What a metadata call shows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) size: u64,
    modified: (i64, i64),
}

impl Look {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

impl Tail {
    /// A file at `path` in which reading begins at `start`.
    pub(super) fn new(key: FileKey, path: &Path, fingerprint: Fingerprint, start: Position) -> Self {
        Self {
            key,
            fingerprint,
            window: AckWindow::new(start),
            path: path.to_owned(),
            found_as: path.to_owned(),
            source: path.to_string_lossy().into(),
            place: Place::Here,
            file: None,
            seen: None,
            grown_at: Instant::now(),
            is_queued: false,
            is_at_end: false,
            is_quiet: false,
            unfinished: None,
        }
    }

    /// Gives events another source than the path at which the file is.
    pub(super) fn set_found_as(&mut self, path: &Path) {
        self.found_as = path.to_owned();
        self.source = path.to_string_lossy().into();
    }

    /// What follows what can be read now.
    pub(super) fn end(&self) -> End {
        match (self.is_at_end, self.is_quiet) {
            (true, _) => End::Over,
            (false, true) => End::Quiet,
            (false, false) => End::Open,
        }
    }

    /// Bytes known to be in the file and not read yet.
    pub(super) fn unread(&self) -> u64 {
        self.seen.map_or(0, |look| look.size.saturating_sub(self.window.sent_to().offset))
    }

    /// Nothing is on its way, and nothing has to be sent again.
    pub(super) fn is_settled(&self) -> bool {
        self.window.awaited() == 0 && !self.window.has_lost()
    }

    /// What is to be stored about it.
    pub(super) fn stored(&self, now_ms: i64) -> Stored {
        Stored {
            key: self.key,
            fingerprint: self.fingerprint,
            position: self.window.acked(),
            seen_ms: now_ms,
            path: self.found_as.clone(),
        }
    }
}

/// Opens a file for reading; never waits for the other end of a pipe that took the file's place.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it is no longer a file"));
    }
    Ok((file, metadata))
}

/// The first bytes of a file.
pub(super) fn read_prefix(file: &File, prefix: &mut [u8; FINGERPRINT_BYTES_MAX]) -> io::Result<usize> {
    read_full(file, prefix, 0)
}

/// What a turn of reading has given.
#[derive(Debug)]
pub(super) enum Turn {
    /// Whole lines, or none.
    Read {
        taken: Taken,
        /// Covers more of the file than before, if that was short.
        fingerprint: Fingerprint,
        look: Look,
        /// There is more to read now.
        is_more: bool,
    },
    /// The file was written anew: reading has to begin at its first byte. What could be read of the old content just
    /// before it went is in `salvaged`.
    BegunAnew { verdict: Verdict, salvaged: Taken },
}

/// Reads whole messages from a position: up to a chunk full, or a single one. `end` holds if there is no more in the file
/// than is read.
pub(super) fn read_turn(
    file: &File,
    fingerprint: Fingerprint,
    from: Position,
    framer: &Framer,
    end: End,
    scratch: &mut Vec<u8>,
) -> io::Result<Turn> {
    // One byte before it, too: a line begins behind the end of another.
    let back = usize::from(from.offset > 0);
    let begin = from.offset - back as u64;
    let mut filled = fill(file, scratch, 0, back + CHUNK_BYTES_MAX, begin)?;
    let is_full = filled == back + CHUNK_BYTES_MAX;
    let at_line = back == 0 || scratch.first() == Some(&b'\n');
    let mut taken = framer.take(behind(scratch, back, filled), from, at_line, End::Open);
    if taken.consumed == 0 && is_full {
        // A single message.
        filled += fill(file, scratch, filled, back + framer.window(), begin)?;
        taken = framer.take(behind(scratch, back, filled), from, at_line, End::Open);
    }
    let read = behind(scratch, back, filled);
    // IMPORTANT: looked at after reading. If it is the same file now, it was the same one while it was read.
    let metadata = file.metadata()?;
    let look = Look::of(&metadata);
    let mut prefix = [0; FINGERPRINT_BYTES_MAX];
    let prefix_len = read_prefix(file, &mut prefix)?;
    let prefix = content(&prefix, prefix_len);
    // At the beginning there is nothing to know it by yet but what was just read.
    let is_other_beginning = from.offset == 0 && !prefix.starts_with(first_bytes(read));
    let verdict = match judge(fingerprint, from, look.size, prefix) {
        Verdict::Same if is_other_beginning => Verdict::Rewritten,
        verdict => verdict,
    };
    if verdict != Verdict::Same {
        // What was read was there before the file was written anew, if that begins otherwise, or if it is too short for
        // it now. Unless it was written anew more than once: then it would hardly be a line that begins there.
        let is_line = scratch.first() == Some(&b'\n') && filled > 0;
        let is_old = is_other_beginning || (verdict == Verdict::Shorter && is_line);
        let salvaged = framer.take(if is_old { read } else { &[] }, from, at_line, End::Over);
        return Ok(Turn::BegunAnew { verdict, salvaged });
    }
    let is_more = look.size > from.offset + read.len() as u64;
    if end != End::Open && !is_more {
        taken = framer.take(read, from, at_line, end);
    }
    let is_longer = prefix_len > usize::from(fingerprint.len);
    let fingerprint = if is_longer { Fingerprint::of(prefix) } else { fingerprint };
    Ok(Turn::Read { taken, fingerprint, look, is_more })
}

/// The place just behind the last line end in the first `size` bytes; a line longer than `max_line` is not looked for.
pub(super) fn last_line_end(file: &File, size: u64, max_line: usize) -> io::Result<Position> {
    let begin = size.saturating_sub(max_line as u64 + 2);
    let mut last = vec![0; usize::try_from(size - begin).unwrap_or(max_line + 2)];
    let filled = read_full(file, &mut last, begin)?;
    let end = memchr::memrchr(b'\n', content(&last, filled)).map(|at| begin + at as u64 + 1);
    Ok(match end {
        Some(end) => Position::at(end),
        None if begin == 0 => Position::at(0),
        None => Position { offset: size, in_cut_line: true },
    })
}

fn behind(buffer: &[u8], from: usize, to: usize) -> &[u8] {
    buffer.get(from..to).unwrap_or_default()
}

fn first_bytes(content: &[u8]) -> &[u8] {
    content.get(..FINGERPRINT_BYTES_MAX).unwrap_or(content)
}

fn content(buffer: &[u8], len: usize) -> &[u8] {
    buffer.get(..len).unwrap_or(buffer)
}

/// Fills `scratch[from..to]` with what is in the file behind `offset + from`; returns how much there was.
fn fill(file: &File, scratch: &mut Vec<u8>, from: usize, to: usize, offset: u64) -> io::Result<usize> {
    if scratch.len() < to {
        scratch.resize(to, 0);
    }
    match scratch.get_mut(from..to) {
        Some(room) => read_full(file, room, offset + from as u64),
        None => Ok(0),
    }
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
