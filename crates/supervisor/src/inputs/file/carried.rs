//! Where files went that were renamed away from a path that matches. Pure.
//!
//! A rotation may rename a new file before it was ever looked at, and once more before it is looked at under its second
//! name: chains are followed across answers to notices.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long after a rename the next one of the same file is understood.
const KEPT: Duration = Duration::from_secs(10);
/// Paths that are remembered; with more, the chains begin anew.
const PATHS_MAX: usize = 1024;

/// Paths to which files went, with the paths under which they matched.
#[derive(Debug, Default)]
pub(super) struct Carried {
    at: HashMap<PathBuf, (PathBuf, Instant)>,
}

impl Carried {
    /// Follows renames in their order. Returns where files that matched are now, and the path under which they did.
    pub(super) fn follow(
        &mut self,
        renames: Vec<(PathBuf, PathBuf)>,
        now: Instant,
        matches: &dyn Fn(&Path) -> bool,
    ) -> Vec<(PathBuf, PathBuf)> {
        self.at.retain(|_, (_, since)| now.duration_since(*since) < KEPT);
        let mut moved = HashSet::new();
        for (from, to) in renames {
            moved.remove(&from);
            let before = self.at.remove(&from).map(|(found_as, _)| found_as);
            let found_as = before.or_else(|| matches(&from).then(|| from.clone()));
            // Whatever was at `to` is gone.
            self.at.remove(&to);
            moved.remove(&to);
            if let Some(found_as) = found_as {
                if self.at.len() >= PATHS_MAX {
                    self.at.clear();
                }
                self.at.insert(to.clone(), (found_as, now));
                moved.insert(to);
            }
        }
        let found_as = |to: PathBuf| self.at.get(&to).map(|(found_as, _)| (to.clone(), found_as.clone()));
        moved.into_iter().filter_map(found_as).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Renames = &'static [(&'static str, &'static str)];

    /// Each batch of renames with what it must give.
    fn check(batches: &[(Renames, &[&str])]) {
        let mut carried = Carried::default();
        for (renames, expected) in batches {
            let renames = renames.iter().map(|(from, to)| (from.into(), to.into())).collect();
            let moved = carried.follow(renames, Instant::now(), &|path| path == Path::new("log"));
            assert!(moved.iter().all(|(_, found_as)| found_as == Path::new("log")), "{moved:?}");
            let mut moved: Vec<_> = moved.iter().map(|(to, _)| to.to_str().unwrap()).collect();
            moved.sort_unstable();
            assert_eq!(&moved, expected, "{batches:?}");
        }
    }

    #[test]
    fn renames_are_followed_in_chains() {
        check(&[(&[("a", "b")], &[])]);
        check(&[(&[("log", "log.1")], &["log.1"])]);
        check(&[(&[("log", "log.1"), ("log.1", "log.2"), ("log", "log.1")], &["log.1", "log.2"])]);
        check(&[(&[("log.1", "log.2"), ("log", "log.1")], &["log.1"])]);
        // Overwritten by a stranger, and renamed over the last one.
        check(&[(&[("log", "log.1"), ("a", "log.1")], &[])]);
        check(&[(&[("log", "log.1"), ("log", "log.1")], &["log.1"])]);
    }

    #[test]
    fn chains_are_followed_across_batches() {
        check(&[
            (&[("log", "log.1")], &["log.1"]),
            (&[("log.1", "log.2"), ("log", "log.1")], &["log.1", "log.2"]),
        ]);
        check(&[(&[("log", "log.1")], &["log.1"]), (&[("a", "b")], &[]), (&[("log.1", "c")], &["c"])]);
        check(&[(&[("log", "log.1")], &["log.1"]), (&[("a", "log.1")], &[]), (&[("log.1", "c")], &[])]);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_time() {
        let (mut carried, now) = (Carried::default(), Instant::now());
        let renames = (0..3 * PATHS_MAX).map(|n| ("log".into(), n.to_string().into())).collect();
        carried.follow(renames, now, &|_| true);
        assert!(carried.at.len() <= PATHS_MAX);
        carried.follow(Vec::new(), now + KEPT, &|_| true);
        assert!(carried.at.is_empty());
    }
}
