//! The files that are known: by number, by identity and by path; whose turn it is; which of them are open.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::identity::FileKey;
use super::tail::{Place, Tail, TailId};

/// The files that are known.
#[derive(Debug)]
pub(super) struct Roster {
    tails: HashMap<TailId, Tail>,
    by_key: HashMap<FileKey, TailId>,
    by_path: HashMap<PathBuf, TailId>,
    /// Files that may have something to read, in the order of their turns.
    queue: VecDeque<TailId>,
    /// Files that are not where they were found.
    leaving: BTreeSet<TailId>,
    /// Open files in the order in which they were opened.
    opened: VecDeque<TailId>,
    open_max: usize,
    next: u64,
}

impl Roster {
    /// Knows no file yet, and keeps about `open_max` open at most.
    pub(super) fn new(open_max: usize) -> Self {
        Self {
            tails: HashMap::new(),
            by_key: HashMap::new(),
            by_path: HashMap::new(),
            queue: VecDeque::new(),
            leaving: BTreeSet::new(),
            opened: VecDeque::new(),
            open_max: open_max.max(1),
            next: 0,
        }
    }

    /// Adds a file. It is known by its path if it is there under a path that matches.
    ///
    /// # Panics
    /// If a file of the same identity or path is known.
    pub(super) fn add(&mut self, mut tail: Tail) -> TailId {
        let id = TailId(self.next);
        self.next += 1;
        assert!(self.by_key.insert(tail.key, id).is_none(), "the same file twice");
        if matches!(tail.place, Place::Here | Place::Moved { is_named: true }) {
            assert!(self.by_path.insert(tail.path.clone(), id).is_none(), "two files at one path");
        }
        if tail.place != Place::Here {
            self.leaving.insert(id);
        }
        let file = tail.file.take();
        self.tails.insert(id, tail);
        if let Some(file) = file {
            self.opened(id, file);
        }
        id
    }

    /// Forgets a file.
    pub(super) fn remove(&mut self, id: TailId) -> Option<Tail> {
        let tail = self.tails.remove(&id)?;
        self.by_key.remove(&tail.key);
        if self.by_path.get(&tail.path) == Some(&id) {
            self.by_path.remove(&tail.path);
        }
        self.leaving.remove(&id);
        self.opened.retain(|opened| *opened != id);
        Some(tail)
    }

    pub(super) fn get(&self, id: TailId) -> Option<&Tail> {
        self.tails.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: TailId) -> Option<&mut Tail> {
        self.tails.get_mut(&id)
    }

    pub(super) fn at_path(&self, path: &Path) -> Option<TailId> {
        self.by_path.get(path).copied()
    }

    pub(super) fn with_key(&self, key: FileKey) -> Option<TailId> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (TailId, &Tail)> {
        self.tails.iter().map(|(id, tail)| (*id, tail))
    }

    pub(super) fn ids(&self) -> Vec<TailId> {
        self.tails.keys().copied().collect()
    }

    pub(super) fn leaving(&self) -> &BTreeSet<TailId> {
        &self.leaving
    }

    pub(super) fn len(&self) -> usize {
        self.tails.len()
    }

    pub(super) fn open_files(&self) -> usize {
        self.opened.len()
    }

    pub(super) fn has_turns(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The file may have something to read: it gets a turn after those that wait already.
    pub(super) fn enqueue(&mut self, id: TailId) {
        if let Some(tail) = self.tails.get_mut(&id)
            && !tail.is_queued
        {
            tail.is_queued = true;
            self.queue.push_back(id);
        }
    }

    /// Whose turn it is.
    pub(super) fn next_turn(&mut self) -> Option<TailId> {
        while let Some(id) = self.queue.pop_front() {
            if let Some(tail) = self.tails.get_mut(&id) {
                tail.is_queued = false;
                return Some(id);
            }
        }
        None
    }

    /// The file is no longer where it was found (`Place::Here`: it is at home again at its present path).
    pub(super) fn set_place(&mut self, id: TailId, place: Place) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        tail.place = place;
        if place == Place::Here {
            self.leaving.remove(&id);
        } else {
            self.leaving.insert(id);
        }
        if !matches!(place, Place::Here | Place::Moved { is_named: true })
            && self.by_path.get(&tail.path) == Some(&id)
        {
            self.by_path.remove(&tail.path);
        }
    }

    /// The file is at another path now. A path that matches gives it a name; nobody else may have it.
    pub(super) fn set_path(&mut self, id: TailId, path: &Path) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        if self.by_path.get(&tail.path) == Some(&id) {
            self.by_path.remove(&tail.path);
        }
        path.clone_into(&mut tail.path);
        let before = self.by_path.insert(path.to_owned(), id);
        assert!(before.is_none(), "two files at one path");
    }

    /// Keeps the open file; closes others that can be opened again if there are too many.
    pub(super) fn opened(&mut self, id: TailId, file: File) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        if tail.file.replace(file).is_none() {
            self.opened.push_back(id);
        }
        for _ in 0..self.opened.len() {
            if self.opened.len() <= self.open_max {
                break;
            }
            self.close_oldest(id);
        }
    }

    fn close_oldest(&mut self, but: TailId) {
        let Some(id) = self.opened.pop_front() else { return };
        self.opened.push_back(id);
        if id != but && self.tails.get(&id).is_some_and(|tail| tail.place == Place::Here) {
            self.close(id);
        }
    }

    /// Closes the file; it can be opened again while it is at its path.
    pub(super) fn close(&mut self, id: TailId) {
        if let Some(tail) = self.tails.get_mut(&id)
            && tail.file.take().is_some()
        {
            self.opened.retain(|opened| *opened != id);
        }
    }

    /// Whether one more file may be opened without closing another.
    pub(super) fn has_room(&self) -> bool {
        self.opened.len() < self.open_max
    }
}
