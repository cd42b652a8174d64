//! Hears from the operating system that something changed, so that nothing has to be looked at while nothing does.
//!
//! Each directory of the walk is watched for itself, never recursively: the walk enters a directory (and with it sets
//! the watch) before it lists it, so a file that appears in a new directory is either listed or reported.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{ModifyKind, RenameMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::identity::FileKey;
use super::pattern::Patterns;

/// Changed paths that are remembered one by one; more mean: look at everything.
const PATHS_MAX: usize = 4096;
/// How often it is said again that notices cannot be had.
const REPEAT: Duration = Duration::from_secs(600);

/// What has changed since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Paths that match, and whose file was written, created, renamed or deleted.
    pub(super) paths: HashSet<PathBuf>,
    /// Renames in the order in which they happened, of anything in the watched directories.
    pub(super) renames: Vec<(PathBuf, PathBuf)>,
    /// Directories came or went, or notices were lost: all has to be looked at.
    pub(super) everything: bool,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.renames.is_empty() && !self.everything
    }
}

/// The ear, and what it has heard.
pub(super) struct Notices {
    heard: Arc<Heard>,
    watcher: Option<RecommendedWatcher>,
    watched: HashMap<FileKey, PathBuf>,
    /// Directories entered since [`begin_walk`](Self::begin_walk).
    entered: HashSet<FileKey>,
    /// Directories entered that could not be watched.
    unwatched: HashSet<FileKey>,
    told: Option<Instant>,
}

struct Heard {
    changes: Mutex<Changes>,
    wake: tokio::sync::Notify,
    /// The watched directories.
    dirs: Mutex<HashMap<PathBuf, FileKey>>,
    patterns: Arc<Patterns>,
}

impl Notices {
    /// Begins to listen; nothing is watched yet. `wanted`: false never hears anything.
    pub(super) fn new(patterns: Arc<Patterns>, wanted: bool) -> Self {
        let heard = Arc::new(Heard {
            changes: Mutex::default(),
            wake: tokio::sync::Notify::new(),
            dirs: Mutex::default(),
            patterns,
        });
        let mut notices = Self {
            heard: Arc::clone(&heard),
            watcher: None,
            watched: HashMap::new(),
            entered: HashSet::new(),
            unwatched: HashSet::new(),
            told: None,
        };
        if wanted {
            match notify::recommended_watcher(move |event| heard.hear(event)) {
                Ok(watcher) => notices.watcher = Some(watcher),
                Err(error) => notices.tell(Path::new("any directory"), &error),
            }
        }
        notices
    }

    /// Waits until something has changed, but not less long than until `not_before`, so that a file that is written
    /// without a pause is not read line by line. Nothing is lost if this is dropped and called again.
    pub(super) async fn changed(&self, not_before: Instant) -> Changes {
        loop {
            let has_changes = !lock(&self.heard.changes).is_empty();
            if has_changes {
                tokio::time::sleep_until(not_before.into()).await;
                return std::mem::take(&mut *lock(&self.heard.changes));
            }
            self.heard.wake.notified().await;
        }
    }

    /// A walk begins; what is not entered until [`end_walk`](Self::end_walk) is not watched any longer.
    pub(super) fn begin_walk(&mut self) {
        self.entered.clear();
        self.unwatched.clear();
    }

    /// The walk is about to list this directory.
    pub(super) fn enter(&mut self, dir: &Path, key: FileKey) {
        if !self.entered.insert(key) {
            return;
        }
        if let Some(known_as) = self.watched.get(&key) {
            // Another way to the same directory is not watched twice; the system reports one of them only.
            if known_as == dir || std::fs::metadata(known_as).is_ok_and(|now| FileKey::of(&now) == key) {
                return;
            }
            self.forget(key);
        }
        // What had this path before was renamed away.
        let old = lock(&self.heard.dirs).get(dir).copied();
        if let Some(old) = old {
            self.forget(old);
        }
        let Some(watcher) = &mut self.watcher else {
            self.unwatched.insert(key);
            return;
        };
        lock(&self.heard.dirs).insert(dir.to_owned(), key);
        match watcher.watch(dir, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(key, dir.to_owned());
            }
            Err(error) => {
                lock(&self.heard.dirs).remove(dir);
                self.unwatched.insert(key);
                // A directory that is gone again is no trouble.
                if !matches!(error.kind, ErrorKind::PathNotFound) {
                    self.tell(dir, &error);
                }
            }
        }
    }

    /// The walk has ended. Returns how many of its directories are not watched.
    pub(super) fn end_walk(&mut self) -> usize {
        let left: Vec<FileKey> =
            self.watched.keys().filter(|key| !self.entered.contains(key)).copied().collect();
        for key in left {
            self.forget(key);
        }
        self.unwatched.len()
    }

    fn forget(&mut self, key: FileKey) {
        if let (Some(dir), Some(watcher)) = (self.watched.remove(&key), &mut self.watcher) {
            lock(&self.heard.dirs).remove(&dir);
            if let Err(error) = watcher.unwatch(&dir) {
                // The system drops the watch itself when the directory is deleted.
                tracing::debug!(path = %dir.display(), %error, "a watch was gone already");
            }
        }
    }

    fn tell(&mut self, dir: &Path, error: &notify::Error) {
        if self.told.is_some_and(|told| told.elapsed() < REPEAT) {
            return;
        }
        self.told = Some(Instant::now());
        tracing::warn!(
            path = %dir.display(), %error,
            "changes in {} are not reported by the system: {error}; {}. Until then this directory, and maybe others, is \
             looked at every now and then (rescan), so its lines come later.",
            dir.display(), remedy(error),
        );
    }
}

fn remedy(error: &notify::Error) -> &'static str {
    /// Too many inotify instances (or open files).
    const EMFILE: i32 = 24;
    match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the limit of watched directories is reached: raise it with `sysctl fs.inotify.max_user_watches=524288`"
        }
        ErrorKind::Io(error) if error.raw_os_error() == Some(EMFILE) => {
            "raise the limits with `sysctl fs.inotify.max_user_instances=1024` and of open files (ulimit -n)"
        }
        _ => "check that the directory may be read and that its file system supports change notices",
    }
}

impl Heard {
    /// Called on the thread of the watcher for each event.
    fn hear(&self, event: notify::Result<Event>) {
        let mut changes = lock(&self.changes);
        let was_empty = changes.is_empty();
        match event {
            // Opening, reading and closing change nothing; our own would wake us for ever.
            Ok(event) if event.kind.is_access() => {}
            Ok(event) if event.need_rescan() => changes.everything = true,
            Ok(event) => self.sort(event, &mut changes),
            Err(error) => {
                tracing::debug!(%error, "the watcher of changes reports an error; everything is looked at");
                changes.everything = true;
            }
        }
        if changes.paths.len() + changes.renames.len() > PATHS_MAX {
            changes.paths.clear();
            changes.everything = true;
        }
        if was_empty && !changes.is_empty() {
            self.wake.notify_one();
        }
    }

    fn sort(&self, event: Event, changes: &mut Changes) {
        if let (EventKind::Modify(ModifyKind::Name(RenameMode::Both)), [from, to]) =
            (event.kind, event.paths.as_slice())
        {
            // The two halves of it are reported one by one as well.
            if changes.renames.len() < PATHS_MAX {
                changes.renames.push((from.clone(), to.clone()));
            }
            return;
        }
        let is_content = matches!(event.kind, EventKind::Modify(ModifyKind::Data(_)));
        for path in event.paths {
            if !is_content && self.is_about_directory(&path) {
                changes.everything = true;
            } else if self.patterns.matches(&path) {
                changes.paths.insert(path);
            }
        }
    }

    /// Whether a directory that matters came, went or changed its permissions.
    fn is_about_directory(&self, path: &Path) -> bool {
        lock(&self.dirs).contains_key(path) || (self.patterns.may_lead(path) && path.is_dir())
    }
}

/// The content is a plain value that is never left half-changed, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
