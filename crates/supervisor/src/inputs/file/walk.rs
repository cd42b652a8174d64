//! Finds the files that match, beginning at the fixed part of each pattern.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::identity::FileKey;
use super::pattern::{Part, Pattern, Patterns};

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Files to read, each path once.
    pub(super) found: Vec<Found>,
    /// Files and directories that could not be looked at.
    pub(super) troubles: Vec<(PathBuf, io::Error)>,
    /// Patterns that no file matches, as they were written.
    pub(super) unmatched: Vec<String>,
}

/// A file that matches.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

/// Walks all patterns. `enter` is called for each directory in which a change may matter, before it is listed, so that
/// a watch set there misses nothing that the listing misses.
pub(super) fn walk(patterns: &Patterns, enter: &mut dyn FnMut(&Path, FileKey)) -> Walk {
    let mut walker = Walker {
        patterns,
        enter,
        result: Walk::default(),
        paths: HashSet::new(),
        matched: HashSet::new(),
        visited: HashSet::new(),
    };
    for pattern in &patterns.includes {
        if walker.enter_base(&pattern.base) {
            walker.visited.clear();
            walker.visit(pattern, &pattern.base, 0);
        }
    }
    let Walker { mut result, matched, .. } = walker;
    for pattern in &patterns.includes {
        if !matched.contains(pattern.text.as_str()) && !result.unmatched.contains(&pattern.text) {
            result.unmatched.push(pattern.text.clone());
        }
    }
    result
}

struct Walker<'a> {
    patterns: &'a Patterns,
    enter: &'a mut dyn FnMut(&Path, FileKey),
    result: Walk,
    paths: HashSet<PathBuf>,
    /// Patterns that match a file.
    matched: HashSet<&'a str>,
    /// Directories that were visited for this pattern, and with which of its parts: links may lead in circles.
    visited: HashSet<(FileKey, usize)>,
}

impl<'a> Walker<'a> {
    /// Enters the base, or, while it does not exist, the deepest directory above it that does: there it will appear.
    fn enter_base(&mut self, base: &Path) -> bool {
        for dir in base.ancestors() {
            match fs::metadata(dir) {
                Ok(metadata) if metadata.is_dir() => {
                    (self.enter)(dir, FileKey::of(&metadata));
                    return dir == base;
                }
                Ok(_) => return false,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.result.troubles.push((dir.to_owned(), error));
                    return false;
                }
            }
        }
        false
    }

    fn visit(&mut self, pattern: &'a Pattern, dir: &Path, at: usize) {
        let Some(part) = pattern.parts.get(at) else { return };
        let Some(metadata) = self.look_at(dir) else { return };
        if !metadata.is_dir() || !self.visited.insert((FileKey::of(&metadata), at)) {
            return;
        }
        (self.enter)(dir, FileKey::of(&metadata));
        match part {
            Part::Name(name) => self.child(pattern, &dir.join(name), at),
            Part::Like(name) => {
                for (path, _) in self.list(dir) {
                    if path.file_name().is_some_and(|file_name| name.is_match(file_name)) {
                        self.child(pattern, &path, at);
                    }
                }
            }
            Part::AnyDepth => self.visit_any_depth(pattern, dir, at),
        }
    }

    fn visit_any_depth(&mut self, pattern: &'a Pattern, dir: &Path, at: usize) {
        let is_last = at + 1 == pattern.parts.len();
        if !is_last {
            self.visit(pattern, dir, at + 1);
        }
        for (path, may_be_dir) in self.list(dir) {
            if may_be_dir && self.look_at(&path).is_some_and(|metadata| metadata.is_dir()) {
                self.visit(pattern, &path, at);
            } else if is_last {
                self.file(pattern, path);
            }
        }
    }

    fn child(&mut self, pattern: &'a Pattern, path: &Path, at: usize) {
        if at + 1 < pattern.parts.len() {
            self.visit(pattern, path, at + 1);
        } else {
            self.file(pattern, path.to_owned());
        }
    }

    fn file(&mut self, pattern: &'a Pattern, path: PathBuf) {
        if self.patterns.excludes(&path) {
            return;
        }
        if self.paths.contains(&path) {
            self.matched.insert(&pattern.text);
            return;
        }
        let Some(metadata) = self.look_at(&path) else { return };
        // Directories, pipes, sockets and devices have no position to go back to.
        if metadata.is_file() {
            self.matched.insert(&pattern.text);
            self.paths.insert(path.clone());
            self.result.found.push(Found { path, metadata });
        }
    }

    /// What is there, behind links; `None` if nothing is, or it may not be looked at.
    fn look_at(&mut self, path: &Path) -> Option<Metadata> {
        match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.result.troubles.push((path.to_owned(), error));
                None
            }
        }
    }

    /// What is in a directory, and whether it may be a directory or a link to one.
    fn list(&mut self, dir: &Path) -> Vec<(PathBuf, bool)> {
        let listed = fs::read_dir(dir).and_then(|entries| {
            entries
                .map(|entry| {
                    let entry = entry?;
                    let may_be_dir =
                        entry.file_type().map_or(true, |kind| kind.is_dir() || kind.is_symlink());
                    Ok((entry.path(), may_be_dir))
                })
                .collect::<io::Result<Vec<_>>>()
        });
        match listed {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.result.troubles.push((dir.to_owned(), error));
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn check(root: &Path, include: &[&str], exclude: &[&str], expected: &[&str]) -> Walk {
        let include: Vec<String> =
            include.iter().map(|text| root.join(text).to_str().unwrap().to_owned()).collect();
        let exclude: Vec<String> = exclude.iter().map(|text| (*text).to_owned()).collect();
        let patterns = Patterns::new(&include, &exclude, root).unwrap();
        let walk = walk(&patterns, &mut |_, _| {});
        let mut found: Vec<_> =
            walk.found.iter().map(|f| f.path.strip_prefix(root).unwrap().to_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{include:?}");
        for found in &walk.found {
            assert!(
                patterns.matches(&found.path),
                "the walk and the pattern disagree about {:?}",
                found.path
            );
        }
        walk
    }

    #[test]
    fn finds_what_matches_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["a.log", "b.log", "b.log.gz", "x/a.log", "x/y/a.log", "x/y/b.txt", "z/a.log"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), path).unwrap();
        }
        fs::create_dir(root.join("dir.log")).unwrap();
        check(root, &["*.log"], &[], &["a.log", "b.log"]);
        check(root, &["a.log", "*.log", "[a]*.log"], &[], &["a.log", "b.log"]);
        check(root, &["b.*"], &["*.gz"], &["b.log"]);
        check(root, &["**/a.log"], &[], &["a.log", "x/a.log", "x/y/a.log", "z/a.log"]);
        check(root, &["x/**"], &[], &["x/a.log", "x/y/a.log", "x/y/b.txt"]);
        check(root, &["{x/y,z}/*.log"], &[], &["x/y/a.log", "z/a.log"]);
        check(root, &["*/a.log"], &["**/z/*"], &["x/a.log"]);
        let walk = check(root, &["a.log", "nothing/here/*.log", "a.*"], &[], &["a.log"]);
        assert_eq!(walk.unmatched, [root.join("nothing/here/*.log").to_str().unwrap()]);
    }

    #[test]
    fn links_are_followed_and_circles_end() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/x.log"), "x").unwrap();
        symlink(root.join("a"), root.join("a/b/up")).unwrap();
        symlink(root.join("a/b"), root.join("link")).unwrap();
        symlink(root.join("a/b/x.log"), root.join("x.log")).unwrap();
        symlink(root.join("nowhere"), root.join("broken.log")).unwrap();
        check(root, &["*.log"], &[], &["x.log"]);
        check(root, &["link/*.log"], &[], &["link/x.log"]);
        check(root, &["a/**/*.log"], &[], &["a/b/x.log"]);
    }

    #[test]
    fn a_directory_is_entered_before_it_exists_at_the_one_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let include = [dir.path().join("later/deep/*.log").to_str().unwrap().to_owned()];
        let patterns = Patterns::new(&include, &[], dir.path()).unwrap();
        let mut entered = Vec::new();
        walk(&patterns, &mut |path, _| entered.push(path.to_owned()));
        assert_eq!(entered, [dir.path()]);
        fs::create_dir_all(dir.path().join("later/deep")).unwrap();
        entered.clear();
        walk(&patterns, &mut |path, _| entered.push(path.to_owned()));
        assert!(entered.contains(&dir.path().join("later/deep")));
    }
}
