//! Looks for files that left their path while nobody held them open: a rotation leaves them in the same directory.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::PathBuf;

use super::identity::FileKey;
use super::observe::tail_from;
use super::reader::{Reader, parent};
use super::tail::{Place, TailId};

impl Reader {
    /// Looks for the files that were noticed to be missing.
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
    pub(super) fn find_stored(&mut self) {
        let wanted: Vec<_> = self.stored.values().map(|stored| (stored.key, parent(&stored.path))).collect();
        for (key, path) in find_near(wanted.into_iter()) {
            let (Some(stored), Ok(Some((file, look)))) =
                (self.stored.get(&key).cloned(), self.open_as(&path, key))
            else {
                continue;
            };
            let told = tail_from(key, &path, &file, look, Some(&stored), self.framer.max_line);
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
