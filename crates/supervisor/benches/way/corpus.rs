//! Real lines, enough of them.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// Lines of one source before it is another's turn, as programs that share a log write.
const BURST: usize = 50;

/// A log file.
pub(crate) struct Corpus {
    pub(crate) path: PathBuf,
    /// The same lines, each as the message of a line of syslog.
    pub(crate) syslog: PathBuf,
    pub(crate) text: Vec<u8>,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Where the lines are from, in words.
    pub(crate) origin: String,
}

impl Corpus {
    /// Writes a file of so many lines into `directory`: all sources in turn, each from its beginning again when it is
    /// through, which is farther back than gzip remembers.
    pub(crate) fn write(directory: &Path, lines: u64) -> anyhow::Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let given = workspace.join("../shared/data/logs");
        let (from, name) = if given.is_dir() {
            (given, "../shared/data/logs")
        } else {
            (workspace.join("fixtures/logs"), "fixtures/logs")
        };
        let sources = sources(&from)?;
        let mut text = Vec::new();
        let mut turns: Vec<_> = sources.iter().map(|(_, lines)| lines.iter().cycle()).collect();
        let mut left = usize::try_from(lines)?;
        while left > 0 {
            for turn in &mut turns {
                for line in turn.by_ref().take(BURST.min(left)) {
                    text.extend_from_slice(line);
                    text.push(b'\n');
                    left -= 1;
                }
            }
        }
        let (path, syslog) = (directory.join("lines.log"), directory.join("syslog.log"));
        std::fs::write(&path, &text)?;
        let mut file = BufWriter::new(std::fs::File::create(&syslog)?);
        for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            // A second has a hundred of them.
            let (minute, second) = (number / 6000 % 60, number / 100 % 60);
            write!(file, "<165>1 2026-10-11T22:{minute:02}:{second:02}.003Z gate-7 app {number} - - ")?;
            file.write_all(line)?;
        }
        file.flush()?;
        let mut origin = format!("{name} (");
        for (at, (source, _)) in sources.iter().enumerate() {
            write!(origin, "{}{source}", if at > 0 { ", " } else { "" })?;
        }
        origin.push(')');
        Ok(Self { path, syslog, bytes: text.len() as u64, text, lines, origin })
    }
}

/// The lines of each log in a directory, by its name.
fn sources(directory: &Path) -> anyhow::Result<Vec<(String, Vec<Vec<u8>>)>> {
    let mut paths = Vec::new();
    for entry in directory.read_dir().with_context(|| directory.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().trim_end_matches("_2k").to_owned();
        sources.push((name, lines.map(<[u8]>::to_vec).collect()));
    }
    ensure!(!sources.is_empty(), "{} has no logs", directory.display());
    Ok(sources)
}
