//! Takes in what is seen of files: new ones, renamed ones, deleted ones.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::identity::{FINGERPRINT_BYTES_MAX, FileKey, Fingerprint, Verdict, judge};
use super::notices::Changes;
use super::positions::Stored;
use super::reader::{Reader, is_gone, now_ms, parent};
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
            "input {} reads {} files; {} more have a position and are not there now",
            self.input, self.roster.len(), self.stored.len(),
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
        let renamed = follow_renames(changes.renames, &|path| self.patterns.matches(path));
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

    fn tell_moved(&self, id: TailId, to: &Path) {
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
                tail_from(key, path, &file, look, stored.as_ref(), self.max_line).map(|tail| (tail, file))
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

    /// Looks for files that left their path while they were closed: a rotation leaves them in the same directory.
    pub(super) fn find_missing(&mut self) {
        if self.missing.is_empty() {
            return;
        }
        let missing = std::mem::take(&mut self.missing);
        let wanted = missing
            .iter()
            .filter_map(|id| self.roster.get(*id).map(|tail| (*id, tail)))
            .filter(|(_, tail)| tail.place == Place::Vanished)
            .map(|(id, tail)| (tail.key, (parent(&tail.path), id)));
        let mut wanted: HashMap<FileKey, (PathBuf, TailId)> = wanted.collect();
        for (key, path) in find_near(wanted.iter().map(|(key, (dir, _))| (*key, dir.clone()))) {
            if let Some((_, id)) = wanted.get(&key)
                && let Ok(Some((file, _))) = self.open_as(&path, key)
            {
                let id = *id;
                self.tell_moved(id, &path);
                self.roster.opened(id, file);
                self.roster.set_place(id, Place::Moved { is_named: false });
                self.roster.enqueue(id);
                wanted.remove(&key);
            }
        }
        for (_, id) in wanted.into_values() {
            self.tell_vanished(id);
        }
    }

    fn tell_vanished(&mut self, id: TailId) {
        let Some(tail) = self.roster.get(id) else { return };
        let (unread, position) = (tail.unread(), tail.window.sent_to().offset);
        self.counters.deletions.add(1);
        self.counters.bytes_lost.add(unread);
        if unread > 0 {
            tracing::warn!(
                path = %tail.path.display(), position, lost = unread,
                "{} is gone, and {unread} bytes of it had not been read", tail.path.display(),
            );
        } else {
            tracing::info!(path = %tail.path.display(), position, "{} is gone; all of it was read", tail.path.display());
        }
    }

    /// At the start: files with a position that are not found by the patterns were renamed while nobody watched.
    fn find_stored(&mut self) {
        let wanted: Vec<_> = self.stored.values().map(|stored| (stored.key, parent(&stored.path))).collect();
        for (key, path) in find_near(wanted.into_iter()) {
            let (Some(stored), Ok(Some((file, look)))) =
                (self.stored.get(&key).cloned(), self.open_as(&path, key))
            else {
                continue;
            };
            let told = tail_from(key, &path, &file, look, Some(&stored), self.max_line);
            let Ok(mut tail) = told else { continue };
            // Begun anew means: not the file that was stored. And one that was read to its end stays stored.
            if tail.window.acked() != stored.position || look.size <= stored.position.offset {
                continue;
            }
            tracing::info!(
                path = %stored.path.display(), to = %path.display(), position = stored.position.offset,
                "{} was renamed to {}; it is read to its end", stored.path.display(), path.display(),
            );
            self.counters.rotations.add(1);
            self.stored.remove(&key);
            tail.place = Place::Moved { is_named: false };
            tail.file = Some(file);
            let id = self.roster.add(tail);
            self.roster.enqueue(id);
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
fn tail_from(
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

/// Finds files by identity in the directories in which they were; each directory is listed once.
fn find_near(wanted: impl Iterator<Item = (FileKey, PathBuf)>) -> Vec<(FileKey, PathBuf)> {
    let mut by_dir: HashMap<PathBuf, HashMap<u64, FileKey>> = HashMap::new();
    for (key, dir) in wanted {
        by_dir.entry(dir).or_default().insert(key.inode, key);
    }
    let mut found = Vec::new();
    for (dir, keys) in by_dir {
        // A directory that is gone holds none of them; one that may not be listed is told of by the walk.
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            if let Some(key) = keys.get(&entry.ino())
                && entry.file_type().is_ok_and(|kind| kind.is_file())
            {
                found.push((*key, entry.path()));
            }
        }
    }
    found
}

/// Where files that matched ended up, with the path under which they matched: rotations rename in chains.
fn follow_renames(
    renames: Vec<(PathBuf, PathBuf)>,
    matches: &dyn Fn(&Path) -> bool,
) -> HashMap<PathBuf, PathBuf> {
    let mut at: HashMap<PathBuf, PathBuf> = HashMap::new();
    for (from, to) in renames {
        let found_as = at.remove(&from).or_else(|| matches(&from).then(|| from.clone()));
        // Whatever was at `to` is gone.
        match found_as {
            Some(found_as) => at.insert(to, found_as),
            None => at.remove(&to),
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(renames: &[(&str, &str)], expected: &[(&str, &str)]) {
        let renames = renames.iter().map(|(from, to)| (from.into(), to.into())).collect();
        let mut ends: Vec<_> = follow_renames(renames, &|path| path == Path::new("log"))
            .into_iter()
            .map(|(to, found_as)| (to.to_str().unwrap().to_owned(), found_as.to_str().unwrap().to_owned()))
            .collect();
        ends.sort();
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(ends, expected);
    }

    #[test]
    fn renames_are_followed_in_chains() {
        check(&[("a", "b")], &[]);
        check(&[("log", "log.1")], &[("log.1", "log")]);
        check(
            &[("log", "log.1"), ("log.1", "log.2"), ("log", "log.1")],
            &[("log.1", "log"), ("log.2", "log")],
        );
        check(&[("log.1", "log.2"), ("log", "log.1")], &[("log.1", "log")]);
        // Overwritten by a stranger, and renamed over the last one.
        check(&[("log", "log.1"), ("a", "log.1")], &[]);
        check(&[("log", "log.1"), ("log", "log.1")], &[("log.1", "log")]);
    }
}
