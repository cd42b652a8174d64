//! What a configuration needs of the machine: directories that can be written, room on disk, inputs that are there.
//! Looking changes nothing: no directory is created and no file is written.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

use crate::config::checked::{Backpressure, Config, InputKind, Output, TlsFiles};
use crate::config::units::{Size, approximate};
use crate::config::{Finding, Severity};
use crate::inputs::tls;

/// What was found on this machine.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) problems: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
    /// What is known of directories, by path.
    pub(super) rooms: BTreeMap<PathBuf, Room>,
}

/// A directory that is, or will be, there.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// Whether it is there already.
    pub(super) exists: bool,
    /// Bytes free for this user in its file system.
    pub(super) free_bytes: u64,
    /// Which file system it is in.
    device: u64,
}

/// Looks at everything that the configuration uses on this machine.
pub(super) fn look(config: &Config, file: &str) -> Machine {
    let mut machine = Machine::default();
    machine.directory(file, "data_dir", &config.data_dir);
    let queueing = |output: &&Output| output.active && output.backpressure == Backpressure::Queue;
    let outputs: Vec<_> = config.outputs.iter().filter(queueing).collect();
    for output in &outputs {
        machine.directory(file, &format!("outputs.{}.queue.path", output.id), &output.queue.path);
    }
    machine.space(file, &outputs);
    if let Some(files) = config.admin.as_ref().and_then(|admin| admin.tls.as_ref()) {
        machine.certificates(file, "admin.tls", files);
    }
    for input in &config.inputs {
        if let Some(files) = input.kind.tls_files() {
            machine.certificates(file, &format!("inputs.{}.tls", input.id), files);
        }
        let InputKind::File(files) = &input.kind else {
            continue;
        };
        for (index, pattern) in files.include.iter().enumerate() {
            machine.source(file, &format!("inputs.{}.include[{index}]", input.id), pattern);
        }
    }
    machine
}

impl Machine {
    fn add(
        &mut self,
        severity: Severity,
        file: &str,
        key: &str,
        value: &str,
        message: String,
        remedy: String,
    ) {
        let list = match severity {
            Severity::Problem => &mut self.problems,
            Severity::Warning => &mut self.warnings,
        };
        list.push(Finding {
            severity,
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: key.to_owned(),
            value: Some(value.to_owned()),
            message,
            remedy,
            excerpt: None,
        });
    }

    /// Sees whether millpond can write into a directory, or create it.
    fn directory(&mut self, file: &str, key: &str, path: &Path) {
        if self.rooms.contains_key(path) {
            return;
        }
        let value = path.display().to_string();
        match look_at(path) {
            Ok(room) => {
                self.rooms.insert(path.to_owned(), room);
            }
            Err(Unusable { at, error }) => {
                let message = match error.kind() {
                    ErrorKind::NotADirectory => format!("{} is not a directory", at.display()),
                    _ if at == path => format!("cannot be written: {error}"),
                    _ => format!("cannot be created, since {} cannot be written: {error}", at.display()),
                };
                let remedy =
                    "name another directory, or let this user (the one that millpond runs as) write there";
                self.add(Severity::Problem, file, key, &value, message, remedy.to_owned());
            }
        }
    }

    /// Compares what the queues may take with what is free, file system by file system.
    fn space(&mut self, file: &str, outputs: &[&Output]) {
        let mut by_device: BTreeMap<u64, Vec<(&Output, u64)>> = BTreeMap::new();
        for output in outputs {
            if let Some(room) = self.rooms.get(&output.queue.path) {
                by_device.entry(room.device).or_default().push((output, room.free_bytes));
            }
        }
        for queues in by_device.values() {
            let [(first, free), ..] = queues.as_slice() else {
                continue;
            };
            let min_free = queues.iter().map(|(output, _)| output.queue.free_bytes_min).max().unwrap_or(0);
            let wanted: u64 = queues.iter().map(|(output, _)| still_to_take(output)).sum();
            let key = format!("outputs.{}.queue.max_size", first.id);
            let path = first.queue.path.display().to_string();
            let free_text = approximate(*free);
            if *free <= min_free {
                let message = format!(
                    "has {free_text} free, and `min_free` keeps {} of it: nothing can be queued",
                    Size(min_free)
                );
                self.add(
                    Severity::Problem,
                    file,
                    &key,
                    &path,
                    message,
                    "make room there, or lower `min_free`".to_owned(),
                );
            } else if *free < wanted.saturating_add(min_free) {
                let message = format!(
                    "has {free_text} free; the queues there may grow by {} and keep {} free, so they will be full before `max_size`",
                    approximate(wanted),
                    Size(min_free)
                );
                self.add(
                    Severity::Warning,
                    file,
                    &key,
                    &path,
                    message,
                    "make room there, or lower `max_size`".to_owned(),
                );
            }
        }
    }

    /// Sees whether the files of an input's TLS can serve.
    fn certificates(&mut self, file: &str, section: &str, files: &TlsFiles) {
        if let Err(error) = tls::check(files) {
            let key = format!("{section}.{}", error.key);
            let value = error.path.display().to_string();
            self.add(Severity::Problem, file, &key, &value, error.message, error.remedy);
        }
    }

    /// Sees whether the directory that a pattern begins with can be read.
    fn source(&mut self, file: &str, key: &str, pattern: &str) {
        if Path::new(pattern).is_dir() {
            let remedy = format!("write what its files are like: \"{pattern}/*\"");
            self.add(
                Severity::Warning,
                file,
                key,
                pattern,
                "is a directory: no file matches".to_owned(),
                remedy,
            );
        }
        let directory = fixed_directory(pattern);
        let readable =
            rustix::fs::accessat(CWD, directory, Access::READ_OK | Access::EXEC_OK, AtFlags::EACCESS);
        let Err(error) = readable.map_err(io::Error::from) else {
            return;
        };
        let name = directory.display();
        if error.kind() == ErrorKind::NotFound {
            let message = format!("the directory {name} is not there");
            let remedy = "correct the pattern, unless the directory will be created later: it is read then";
            self.add(Severity::Warning, file, key, pattern, message, remedy.to_owned());
        } else {
            let message = format!("the directory {name} cannot be read: {error}");
            let remedy = "let this user (the one that millpond runs as) read it";
            self.add(Severity::Problem, file, key, pattern, message, remedy.to_owned());
        }
    }
}

/// A directory that can neither be written nor created.
struct Unusable {
    /// What stands in the way: the directory itself, or the first of its parents that is there.
    at: PathBuf,
    error: io::Error,
}

fn look_at(path: &Path) -> Result<Room, Unusable> {
    let (there, metadata) = nearest_that_exists(path)?;
    let unusable = |error: io::Error| Unusable { at: there.to_owned(), error };
    if !metadata.is_dir() {
        return Err(unusable(ErrorKind::NotADirectory.into()));
    }
    rustix::fs::accessat(CWD, there, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|error| unusable(error.into()))?;
    let space = rustix::fs::statvfs(there).map_err(|error| unusable(error.into()))?;
    Ok(Room {
        exists: there == path,
        free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        device: metadata.dev(),
    })
}

fn nearest_that_exists(path: &Path) -> Result<(&Path, Metadata), Unusable> {
    for candidate in path.ancestors() {
        match candidate.metadata() {
            Ok(metadata) => return Ok((candidate, metadata)),
            // A file in the way is found where it is, further up.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(Unusable { at: candidate.to_owned(), error }),
        }
    }
    Err(Unusable { at: path.to_owned(), error: ErrorKind::NotFound.into() })
}

/// Bytes that a queue may still take: its limit less what its files occupy now.
fn still_to_take(output: &Output) -> u64 {
    let occupied = occupied_bytes(&output.queue.path.join(&output.id), 4);
    output.queue.size_bytes_max.saturating_sub(occupied)
}

/// What the files below a directory occupy. It serves an estimate: what cannot be read, or vanishes meanwhile,
/// counts as nothing.
fn occupied_bytes(directory: &Path, depth: u32) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let occupied = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() && depth > 0 => occupied_bytes(&entry.path(), depth - 1),
        Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(occupied).sum()
}

/// The directory that every match of a pattern lies in.
fn fixed_directory(pattern: &str) -> &Path {
    let special = pattern.find(['*', '?', '[', '{', '\\']).unwrap_or(pattern.len());
    let directory = pattern[..special].rfind('/').map_or("/", |slash| &pattern[..slash]);
    Path::new(if directory.is_empty() { "/" } else { directory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_part_of_a_pattern() {
        for (pattern, directory) in [
            ("/var/log/*.log", "/var/log"),
            ("/var/log/app.log", "/var/log"),
            ("/var/l*g/app/*.log", "/var"),
            ("/*.log", "/"),
            ("/var/log/{a,b}/x", "/var/log"),
            ("/a[[]b]/x", "/"),
        ] {
            assert_eq!(fixed_directory(pattern), Path::new(directory), "{pattern}");
        }
    }

    #[test]
    fn a_directory_that_is_there_or_can_be_made() {
        let root = tempfile::tempdir().unwrap();
        assert!(look_at(root.path()).is_ok_and(|room| room.exists && room.free_bytes > 0));
        let deep = root.path().join("a/b/c");
        assert!(look_at(&deep).is_ok_and(|room| !room.exists));
        assert!(!root.path().join("a").exists(), "looking creates nothing");
    }

    #[test]
    fn a_file_in_the_way() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let unusable = look_at(&file).err().unwrap();
        assert_eq!((unusable.at, unusable.error.kind()), (file.clone(), ErrorKind::NotADirectory));
        let unusable = look_at(&file.join("below")).err().unwrap();
        assert_eq!((unusable.at, unusable.error.kind()), (file, ErrorKind::NotADirectory));
    }

    #[test]
    fn what_files_occupy() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("inner")).unwrap();
        std::fs::write(root.path().join("inner/file"), vec![1; 100_000]).unwrap();
        assert!(occupied_bytes(root.path(), 4) >= 100_000);
        assert_eq!(occupied_bytes(&root.path().join("none"), 4), 0);
    }
}
