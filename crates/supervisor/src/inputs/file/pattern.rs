//! Which paths an input reads: `*`, `?`, `[…]`, `{a,b}` within a name, `**` for any depth. Pure.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

/// Most alternatives that one pattern may stand for once its `{a,b/c}` are written out.
const ALTERNATIVES_MAX: usize = 256;

/// The patterns of one input.
#[derive(Debug)]
pub(super) struct Patterns {
    /// What to walk; several with the same `text` where braces span directories.
    pub(super) includes: Vec<Pattern>,
    include: GlobSet,
    exclude: GlobSet,
}

/// One pattern, taken apart into what every match begins with and what its names are like below that.
#[derive(Debug)]
pub(super) struct Pattern {
    /// As it was written.
    pub(super) text: String,
    /// The directory that all matches are in.
    pub(super) base: PathBuf,
    /// What is below `base`, one part per name; never empty.
    pub(super) parts: Vec<Part>,
}

/// What one name on the way to a match is like.
#[derive(Debug)]
pub(super) enum Part {
    /// Exactly this.
    Name(OsString),
    /// Matches this.
    Like(GlobMatcher),
    /// `**`: no, one or several directories.
    AnyDepth,
}

/// A pattern that is not one: the pattern and what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadPattern {
    pub(super) pattern: String,
    pub(super) reason: String,
}

impl Patterns {
    /// Understands patterns; a relative one is below `current_dir`. An `exclude` without a `/`, or that begins
    /// with `**/`, means any directory.
    pub(super) fn new(
        include: &[String],
        exclude: &[String],
        current_dir: &Path,
    ) -> Result<Self, BadPattern> {
        let mut includes = Vec::new();
        let mut include_set = GlobSetBuilder::new();
        for text in include {
            for alternative in alternatives(text)? {
                let pattern = Pattern::new(text, &alternative, current_dir)?;
                include_set.add(pattern.glob()?);
                includes.push(pattern);
            }
        }
        let mut exclude_set = GlobSetBuilder::new();
        for text in exclude {
            let full = match text.as_str() {
                anywhere if anywhere.starts_with("**/") => anywhere.to_owned(),
                name if !name.contains('/') => format!("**/{name}"),
                path => absolute(path, current_dir),
            };
            exclude_set.add(glob(text, &full)?);
        }
        let built = |set: GlobSetBuilder| {
            set.build().map_err(|error| BadPattern { pattern: include.join(", "), reason: error.to_string() })
        };
        Ok(Self { includes, include: built(include_set)?, exclude: built(exclude_set)? })
    }

    /// Whether a file of this path is to be read.
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.include.is_match(path) && !self.exclude.is_match(path)
    }

    /// Whether a file of this path is left out although it may match.
    pub(super) fn excludes(&self, path: &Path) -> bool {
        self.exclude.is_match(path)
    }

    /// Whether matches may be found below a directory of this path.
    pub(super) fn may_lead(&self, dir: &Path) -> bool {
        self.includes.iter().any(|pattern| pattern.may_lead(dir))
    }
}

impl Pattern {
    fn new(text: &str, alternative: &str, current_dir: &Path) -> Result<Self, BadPattern> {
        let full = absolute(alternative, current_dir);
        let mut base = PathBuf::new();
        let mut parts: Vec<Part> = Vec::new();
        for component in Path::new(&full).components() {
            match component {
                Component::Normal(name) => parts.push(part(text, name)?),
                Component::CurDir => {}
                Component::ParentDir => parts.push(Part::Name("..".into())),
                other => base.push(other),
            }
        }
        let names = parts.iter().take_while(|part| matches!(part, Part::Name(_))).count();
        for part in parts.drain(..names.min(parts.len().saturating_sub(1))) {
            if let Part::Name(name) = part {
                base.push(name);
            }
        }
        if parts.is_empty() {
            return Err(BadPattern { pattern: text.to_owned(), reason: "it names no file".to_owned() });
        }
        Ok(Self { text: text.to_owned(), base, parts })
    }

    /// The same as a glob over whole paths.
    fn glob(&self) -> Result<Glob, BadPattern> {
        let mut full = globset::escape(&self.base.to_string_lossy());
        for part in &self.parts {
            if !full.ends_with('/') {
                full.push('/');
            }
            match part {
                Part::Name(name) => full.push_str(&globset::escape(&name.to_string_lossy())),
                Part::Like(matcher) => full.push_str(matcher.glob().glob()),
                Part::AnyDepth => full.push_str("**"),
            }
        }
        glob(&self.text, &full)
    }

    fn may_lead(&self, dir: &Path) -> bool {
        if self.base.starts_with(dir) {
            return true;
        }
        let Ok(below) = dir.strip_prefix(&self.base) else { return false };
        below.components().count() < self.parts.len()
            || self.parts.iter().any(|part| matches!(part, Part::AnyDepth))
    }
}

fn absolute(pattern: &str, current_dir: &Path) -> String {
    if pattern.starts_with('/') {
        return pattern.to_owned();
    }
    format!("{}/{pattern}", globset::escape(&current_dir.to_string_lossy()))
}

fn glob(text: &str, full: &str) -> Result<Glob, BadPattern> {
    GlobBuilder::new(full)
        .literal_separator(true)
        .build()
        .map_err(|error| BadPattern { pattern: text.to_owned(), reason: error.kind().to_string() })
}

fn part(text: &str, name: &OsStr) -> Result<Part, BadPattern> {
    // Patterns come as text, so nothing is lost here.
    let name = name.to_string_lossy();
    if name == "**" {
        return Ok(Part::AnyDepth);
    }
    if !name.contains(['*', '?', '[', ']', '{', '}', '\\']) {
        return Ok(Part::Name(name.into_owned().into()));
    }
    if let Some(plain) = plain_name(&name) {
        return Ok(Part::Name(plain.into()));
    }
    Ok(Part::Like(glob(text, &name)?.compile_matcher()))
}

/// The name that a pattern means in which every special character is taken for itself (`\*`, `[*]`).
fn plain_name(name: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => plain.push(rest.next()?),
            '[' => {
                plain.push(rest.next()?);
                (rest.next()? == ']').then_some(())?;
            }
            '*' | '?' | ']' | '{' | '}' => return None,
            c => plain.push(c),
        }
    }
    // `[!]` and `[^]` are no classes of one character.
    (!name.contains("[!") && !name.contains("[^")).then_some(plain)
}

/// Writes out the braces that span directories, because a walk goes name by name.
fn alternatives(text: &str) -> Result<Vec<String>, BadPattern> {
    let bad = |reason: &str| BadPattern { pattern: text.to_owned(), reason: reason.to_owned() };
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    while let Some(pattern) = open.pop() {
        if open.len() + done.len() > ALTERNATIVES_MAX {
            return Err(bad(
                "its braces stand for too many patterns; write fewer alternatives with a / in them",
            ));
        }
        match brace_with_slash(&pattern) {
            None => done.push(pattern),
            Some((begin, commas, end)) => {
                let mut from = begin + 1;
                for to in commas.into_iter().chain([end]) {
                    open.push(format!("{}{}{}", &pattern[..begin], &pattern[from..to], &pattern[end + 1..]));
                    from = to + 1;
                }
            }
        }
    }
    done.reverse();
    Ok(done)
}

/// The first outermost brace group with a `/` in it: where it begins, its own commas, where it ends.
fn brace_with_slash(pattern: &str) -> Option<(usize, Vec<usize>, usize)> {
    let (mut depth, mut begin, mut commas, mut has_slash) = (0_u32, 0, Vec::new(), false);
    let mut is_escaped = false;
    for (at, c) in pattern.char_indices() {
        match c {
            _ if is_escaped => {
                is_escaped = false;
                continue;
            }
            '\\' => is_escaped = true,
            '{' => {
                if depth == 0 {
                    (begin, has_slash) = (at, false);
                    commas.clear();
                }
                depth += 1;
            }
            ',' if depth == 1 => commas.push(at),
            '/' if depth > 0 => has_slash = true,
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 && has_slash {
                    return Some((begin, commas, at));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(include: &[&str], exclude: &[&str]) -> Result<Patterns, BadPattern> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Patterns::new(&owned(include), &owned(exclude), Path::new("/home/me[1]"))
    }

    fn check(include: &str, base: &str, parts: usize, yes: &[&str], no: &[&str]) {
        let patterns = patterns(&[include], &["*.gz", "**/*.bz2", "/var/log/secret/**"]).unwrap();
        assert_eq!(patterns.includes[0].base, Path::new(base), "{include}");
        assert_eq!(patterns.includes[0].parts.len(), parts, "{include}");
        for path in yes {
            assert!(patterns.matches(Path::new(path)), "{include} should match {path}");
        }
        for path in no {
            assert!(!patterns.matches(Path::new(path)), "{include} should not match {path}");
        }
    }

    #[test]
    fn what_matches_and_where_the_walk_begins() {
        check("/var/log/*.log", "/var/log", 1, &["/var/log/a.log"], &["/var/log/x/a.log", "/var/a.log"]);
        check("/var/log/a.log", "/var/log", 1, &["/var/log/a.log"], &["/var/log/b.log"]);
        check("/var/**/a?.log", "/var", 2, &["/var/a1.log", "/var/x/y/a2.log"], &["/var/a.log"]);
        check(
            "/var/log/**",
            "/var/log",
            1,
            &["/var/log/a", "/var/log/x/y"],
            &["/var/log/a.gz", "/var/log/x/a.bz2", "/var/log/secret/b"],
        );
        check(
            "/srv/*/log/[ab].{log,txt}",
            "/srv",
            3,
            &["/srv/q/log/a.txt"],
            &["/srv/q/r/log/a.txt", "/srv/q/log/c.log"],
        );
        check("logs/x.log", "/home/me[1]/logs", 1, &["/home/me[1]/logs/x.log"], &["/home/me1/logs/x.log"]);
        check("./logs/./x.log", "/home/me[1]/logs", 1, &["/home/me[1]/logs/x.log"], &[]);
        check(r"/var/\*/[?].log", "/var/*", 1, &["/var/*/?.log"], &["/var/x/?.log", "/var/*/a.log"]);
    }

    #[test]
    fn braces_may_span_directories() {
        let patterns = patterns(&["/var/{log,lib/{a,b}/log}/*.log"], &[]).unwrap();
        let bases: Vec<_> = patterns.includes.iter().map(|pattern| pattern.base.to_str().unwrap()).collect();
        // `{a,b}` has no slash of its own and stays a name.
        assert_eq!(bases, ["/var/log", "/var/lib"]);
        assert!(patterns.matches(Path::new("/var/lib/b/log/x.log")));
        assert!(patterns.matches(Path::new("/var/log/x.log")));
        assert!(!patterns.matches(Path::new("/var/lib/c/log/x.log")));
    }

    #[test]
    fn directories_that_may_lead_to_a_match() {
        let patterns = patterns(&["/var/log/*/x.log", "/srv/**/y.log"], &[]).unwrap();
        for (dir, leads) in [
            ("/", true),
            ("/var", true),
            ("/var/log", true),
            ("/var/log/a", true),
            ("/var/log/a/b", false),
            ("/var/lib", false),
            ("/srv/a/b/c/d", true),
        ] {
            assert_eq!(patterns.may_lead(Path::new(dir)), leads, "{dir}");
        }
    }

    #[test]
    fn bad_patterns_are_named() {
        for bad in ["/var/log/[a.log", "/var/log/{a,b.log", "/"] {
            assert_eq!(patterns(&[bad], &[]).unwrap_err().pattern, bad);
        }
        let many = "/{a/1,b/2,c/3,d/4}".repeat(5);
        assert!(patterns(&[&many], &[]).unwrap_err().reason.contains("too many"));
    }
}
