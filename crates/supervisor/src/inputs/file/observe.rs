//! Takes in what is seen of files: new ones, renamed ones, deleted ones.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::identity::{FINGERPRINT_BYTES_MAX, FileKey, Fingerprint, Verdict, judge};
use super::notices::Changes;
use super::positions::Stored;
use super::reader::{Reader, is_gone, now_ms};
use super::tail::{self, Look, Place, Tail, TailId};
use super::walk::walk;
use crate::ack_window::Position;
use crate::config::checked::ReadFrom;

/// Positions of files that are gone; when there are more, the oldest are dropped.
const STORED_GONE_MAX: usize = 10_000;

impl Reader {
    /// The first look: finds files, and goes on where stored positions say.
    pub(super) fn start(&mut self, stored: Vec<Stored>) {
        self.stored = stored.into_iter().map(|entry| (entry.key, entry)).collect();
        self.rescan();
        // What is found from now on has appeared since.
        self.first_from = ReadFrom::Beginning;
        self.find_stored();
        tracing::info!(
            input = %self.input, files = self.roster.len(), gone = self.stored.len(),
            "looked for files; `gone` have a position and are not there now",
        );
    }

    /// Looks at everything.
    pub(super) fn rescan(&mut self) {
        self.notices.begin_walk();
        let notices = &mut self.notices;
        let walk = walk(&self.patterns, &mut |dir, key| notices.enter(dir, key));
        self.counters.unwatched_dirs.set(self.notices.end_walk() as u64);
        for (path, error) in &walk.troubles {
            self.troubles.tell(&self.counters, "look at", path, error);
        }
        for pattern in &walk.unmatched {
            if !self.told_unmatched.contains(pattern) {
                tracing::info!(input = %self.input, pattern, "no file matches {pattern} yet");
            }
        }
        self.told_unmatched = walk.unmatched;
        let paths: HashSet<&PathBuf> = walk.found.iter().map(|found| &found.path).collect();
        let not_found: Vec<PathBuf> = self
            .roster
            .iter()
            .filter(|(_, tail)| tail.place == Place::Here && !paths.contains(&tail.path))
            .map(|(_, tail)| tail.path.clone())
            .collect();
        for found in &walk.found {
            self.observe(&found.path, &found.metadata, None);
        }
        for path in not_found {
            self.look(&path);
        }
        self.find_missing();
        self.close_idle();
        self.drop_old_positions();
        self.count_files();
    }

    /// Takes in what was reported to have changed.
    pub(super) fn changed(&mut self, changes: Changes) {
        let patterns = &self.patterns;
        let renamed = self.carried.follow(changes.renames, Instant::now(), &|path| patterns.matches(path));
        for (to, found_as) in &renamed {
            self.renamed(to, found_as);
        }
        if changes.everything {
            self.rescan();
        }
        for path in &changes.paths {
            self.look(path);
        }
        self.find_missing();
        self.count_files();
    }

    pub(super) fn count_files(&self) {
        self.counters.files.set(self.roster.len() as u64);
        self.counters.files_open.set(self.roster.open_files() as u64);
    }

    /// Looks at one path that matches.
    pub(super) fn look(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => self.observe(path, &metadata, None),
            Ok(_) => self.nothing_at(path),
            Err(error) if is_gone(&error) => self.nothing_at(path),
            Err(error) => self.troubles.tell(&self.counters, "look at", path, &error),
        }
    }

    fn nothing_at(&mut self, path: &Path) {
        if let Some(id) = self.roster.at_path(path) {
            self.leave(id);
        }
    }

    /// There is a file at this path. `found_as`: it was at that path, which matches, but this one does not.
    fn observe(&mut self, path: &Path, metadata: &Metadata, found_as: Option<&Path>) {
        let key = FileKey::of(metadata);
        if let Some(id) = self.roster.at_path(path)
            && self.roster.get(id).is_some_and(|tail| tail.key != key)
        {
            self.leave(id);
        }
        let Some(id) = self.roster.with_key(key) else {
            return self.adopt(path, key, found_as);
        };
        let Some(tail) = self.roster.get_mut(id) else { return };
        if tail.seen != Some(Look::of(metadata)) {
            tail.seen = Some(Look::of(metadata));
            self.roster.enqueue(id);
        }
        self.seen_at(id, path, found_as);
    }

    /// A known file is at this path; maybe it was at another one.
    fn seen_at(&mut self, id: TailId, path: &Path, found_as: Option<&Path>) {
        let Some(tail) = self.roster.get(id) else { return };
        let (known_as, place, key) = (tail.path.clone(), tail.place, tail.key);
        if known_as == path && matches!(place, Place::Here | Place::Moved { is_named: true }) {
            return;
        }
        if matches!(place, Place::Here | Place::Moved { is_named: true })
            && fs::metadata(&known_as).is_ok_and(|now| FileKey::of(&now) == key)
        {
            // A second name of the same file.
            return;
        }
        if found_as.is_some() {
            // Its new path does not match; it can only be opened there.
            if tail.file.is_none()
                && let Ok(Some((file, _))) = self.open_as(path, key)
            {
                self.roster.opened(id, file);
                if place == Place::Vanished {
                    self.roster.set_place(id, Place::Moved { is_named: false });
                }
                self.roster.enqueue(id);
            }
            return;
        }
        if place == Place::Here {
            self.tell_moved(id, path);
        }
        self.roster.set_path(id, path);
        self.roster.set_place(id, Place::Moved { is_named: true });
        self.missing.retain(|missing| *missing != id);
        if let Some(tail) = self.roster.get_mut(id) {
            tail.grown_at = Instant::now();
        }
        self.roster.enqueue(id);
        self.is_dirty = true;
    }

    pub(super) fn tell_moved(&self, id: TailId, to: &Path) {
        let Some(tail) = self.roster.get(id) else { return };
        self.counters.rotations.add(1);
        tracing::info!(
            path = %tail.path.display(), position = tail.window.sent_to().offset, to = %to.display(),
            "{} was renamed to {}; it is read to its end", tail.path.display(), to.display(),
        );
    }

    /// A file is known by its name only, and nothing is known of it: reads it, from where it was left if it is stored.
    fn adopt(&mut self, path: &Path, key: FileKey, found_as: Option<&Path>) {
        let mut tail = match self.first_position(path, key) {
            Some(tail) => tail,
            None => return,
        };
        if let Some(found_as) = found_as {
            tail.set_found_as(found_as);
            tail.place = Place::Moved { is_named: false };
        } else if tail.found_as != path {
            tail.place = Place::Moved { is_named: true };
        }
        if tail.file.is_none() && self.roster.has_room() {
            match self.open_as(path, key) {
                Ok(Some((file, _))) => tail.file = Some(file),
                Ok(None) => return,
                // Tried again when it is its turn, and then told.
                Err(error) => tracing::debug!(path = %path.display(), %error, "cannot be opened yet"),
            }
        }
        tracing::info!(
            path = %path.display(), position = tail.window.sent_to().offset,
            "reads {} from byte {}", path.display(), tail.window.sent_to().offset,
        );
        let id = self.roster.add(tail);
        self.roster.enqueue(id);
        self.is_dirty = true;
    }

    /// The file with the position at which reading begins; `None` if that cannot be told now.
    fn first_position(&mut self, path: &Path, key: FileKey) -> Option<Tail> {
        let stored = self.stored.get(&key).cloned();
        if stored.is_none() && self.first_from == ReadFrom::Beginning {
            return Some(Tail::new(key, path, Fingerprint::default(), Position::at(0)));
        }
        let told = match self.open_as(path, key) {
            Ok(None) => return None,
            Ok(Some((file, look))) => {
                tail_from(key, path, &file, look, stored.as_ref(), self.framer.max_line)
                    .map(|tail| (tail, file))
            }
            Err(error) => Err(error),
        };
        match told {
            Ok((mut tail, file)) => {
                if stored.is_some_and(|stored| stored.position.offset > 0 && tail.window.acked().offset == 0)
                {
                    self.counters.truncations.add(1);
                    tracing::info!(path = %path.display(), "{} is another file than the one read before, or was written anew", path.display());
                }
                tail.file = Some(file);
                self.stored.remove(&key);
                Some(tail)
            }
            Err(error) => {
                self.troubles.tell(&self.counters, "open", path, &error);
                None
            }
        }
    }

    /// A file is no longer at its path.
    fn leave(&mut self, id: TailId) {
        let Some(tail) = self.roster.get_mut(id) else { return };
        tail.grown_at = Instant::now();
        let (path, position) = (tail.path.clone(), tail.window.sent_to().offset);
        let links = tail.file.as_ref().map(|file| file.metadata().map(|now| now.nlink()));
        match links {
            None => {
                self.missing.push(id);
                self.roster.set_place(id, Place::Vanished);
                return;
            }
            Some(Ok(0)) => {
                self.counters.deletions.add(1);
                tracing::info!(path = %path.display(), position, "{} was deleted; it is read to its end", path.display());
                self.roster.set_place(id, Place::Deleted);
            }
            // If it cannot be told, it may be read, still.
            Some(Ok(_) | Err(_)) => {
                self.counters.rotations.add(1);
                tracing::info!(path = %path.display(), position, "{} was renamed; it is read to its end", path.display());
                self.roster.set_place(id, Place::Moved { is_named: false });
            }
        }
        self.roster.enqueue(id);
        self.is_dirty = true;
    }

    /// Something that matched was renamed to a path that does not match: it is read to its end.
    fn renamed(&mut self, to: &Path, found_as: &Path) {
        if self.patterns.matches(to) {
            return self.look(to);
        }
        if let Ok(metadata) = fs::metadata(to)
            && metadata.is_file()
        {
            self.observe(to, &metadata, Some(found_as));
        }
    }

    /// Files that did not grow for long are closed; they are opened again when they do.
    fn close_idle(&mut self) {
        for id in self.roster.ids() {
            let is_idle = self.roster.get(id).is_some_and(|tail| {
                tail.place == Place::Here
                    && !tail.is_queued
                    && tail.grown_at.elapsed() >= self.timing.idle_close
            });
            if is_idle {
                self.roster.close(id);
            }
        }
    }

    fn drop_old_positions(&mut self) {
        let oldest = now_ms() - i64::try_from(self.timing.forget_after.as_millis()).unwrap_or(i64::MAX);
        let before = self.stored.len();
        self.stored.retain(|_, stored| stored.seen_ms >= oldest);
        if self.stored.len() > STORED_GONE_MAX {
            let mut seen: Vec<i64> = self.stored.values().map(|stored| stored.seen_ms).collect();
            seen.sort_unstable_by(|a, b| b.cmp(a));
            let oldest = seen.get(STORED_GONE_MAX).copied().unwrap_or(i64::MIN);
            self.stored.retain(|_, stored| stored.seen_ms > oldest);
        }
        if self.stored.len() < before {
            self.is_dirty = true;
            tracing::debug!(
                dropped = before - self.stored.len(),
                "positions of files that are gone for long are dropped"
            );
        }
    }
}

/// A file with the position at which reading begins: where it was left, or where its last whole line ends.
pub(super) fn tail_from(
    key: FileKey,
    path: &Path,
    file: &fs::File,
    look: Look,
    stored: Option<&Stored>,
    max_line: usize,
) -> std::io::Result<Tail> {
    let mut prefix = [0; FINGERPRINT_BYTES_MAX];
    let len = tail::read_prefix(file, &mut prefix)?;
    let prefix = prefix.get(..len).unwrap_or_default();
    let Some(stored) = stored else {
        let end = tail::last_line_end(file, look.size, max_line)?;
        return Ok(Tail::new(key, path, Fingerprint::of(prefix), end));
    };
    if judge(stored.fingerprint, stored.position, look.size, prefix) != Verdict::Same {
        return Ok(Tail::new(key, path, Fingerprint::of(prefix), Position::at(0)));
    }
    let mut tail = Tail::new(key, path, stored.fingerprint, stored.position);
    // Its lines go on under the name under which they began.
    tail.set_found_as(&stored.path);
    Ok(tail)
}
