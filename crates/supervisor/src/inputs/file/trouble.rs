//! Says what is wrong with a file: at once, and again from time to time while it stays wrong.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::inputs::InputCounters;

/// How often the same trouble is told again.
const REPEAT: Duration = Duration::from_secs(600);
/// Paths whose trouble is remembered; when there are more, some are told again earlier.
const PATHS_MAX: usize = 1024;

/// Which troubles were told, and when.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    told: HashMap<PathBuf, Told>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    silent: u64,
}

impl Troubles {
    /// Something about `path` failed, while `doing` it.
    pub(super) fn tell(&mut self, counters: &InputCounters, doing: &str, path: &Path, error: &io::Error) {
        counters.read_errors.add(1);
        if let Some(repeats) = self.is_due(path, Instant::now()) {
            tracing::warn!(
                path = %path.display(), %error, repeats,
                "cannot {doing} {}: {error}; {}. Other files go on, and this one is tried again.",
                path.display(), remedy(error),
            );
        }
    }

    /// How often the trouble was kept silent since it was last told, if it is to be told now.
    fn is_due(&mut self, path: &Path, now: Instant) -> Option<u64> {
        if let Some(told) = self.told.get_mut(path) {
            if now.duration_since(told.at) < REPEAT {
                told.silent += 1;
                return None;
            }
            let repeats = told.silent;
            *told = Told { at: now, silent: 0 };
            return Some(repeats);
        }
        if self.told.len() >= PATHS_MAX {
            self.told.clear();
        }
        self.told.insert(path.to_owned(), Told { at: now, silent: 0 });
        Some(0)
    }

    /// It works again: the next trouble is told at once.
    pub(super) fn is_well(&mut self, path: &Path) {
        if !self.told.is_empty() && self.told.remove(path).is_some() {
            tracing::info!(path = %path.display(), "{} can be read again", path.display());
        }
    }
}

/// What a person can do about it.
fn remedy(error: &io::Error) -> &'static str {
    /// Too many open files in this process, in the whole system.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "let the user that runs millpond read the file and enter its directories (its group, or setfacl -m u:USER:r)"
        }
        io::ErrorKind::StaleNetworkFileHandle => "the network mount lost it; mount it again if it stays so",
        _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => {
            "raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit)"
        }
        _ => "check the file, its disk and the kernel log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_at_once_then_from_time_to_time_and_at_once_when_it_comes_back() {
        let mut troubles = Troubles::default();
        let (path, start) = (Path::new("/a"), Instant::now());
        assert_eq!(troubles.is_due(path, start), Some(0));
        assert_eq!(troubles.is_due(path, start + REPEAT / 2), None);
        assert_eq!(troubles.is_due(Path::new("/b"), start + REPEAT / 2), Some(0));
        assert_eq!(troubles.is_due(path, start + REPEAT), Some(1));
        troubles.is_well(path);
        assert_eq!(troubles.is_due(path, start + REPEAT), Some(0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut troubles = Troubles::default();
        for i in 0..3 * PATHS_MAX {
            troubles.is_due(Path::new(&i.to_string()), Instant::now());
        }
        assert!(troubles.told.len() <= PATHS_MAX);
    }
}
