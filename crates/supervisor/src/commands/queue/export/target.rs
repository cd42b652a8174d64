//! The file that an export becomes: whole or not at all.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

const BUFFER_BYTES: usize = 256 << 10;

/// A file in the making. It is written under another name; dropped unfinished, it is removed.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    part: PathBuf,
    force: bool,
    /// `None`: it has got its name.
    content: Option<Content>,
}

#[derive(Debug)]
enum Content {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl Target {
    /// Begins a file. One that is there is replaced only if `force`, and only when the new one is complete.
    ///
    /// # Errors
    /// In words: what is there already, or what the system says.
    pub(super) fn create(path: &Path, force: bool) -> Result<Self, String> {
        let shown = path.display();
        match std::fs::metadata(path) {
            Ok(there) if !there.is_file() => {
                return Err(format!("{shown} is no file; for a pipe, write to - and lead that on"));
            }
            Ok(_) if !force => return Err(format!("{shown} is there already; give --force to replace it")),
            _ => {}
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let failed = |error: &io::Error| format!("{}: {error}", part.display());
        // One that a killed export has left is begun again; it is emptied only when it is certainly nobody's.
        let mut options = OpenOptions::new();
        let file =
            options.write(true).create(true).truncate(false).open(&part).map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("{}: another export is writing it", part.display()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        file.set_len(0).map_err(|error| failed(&error))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let is_gzip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        let content = match is_gzip {
            true => Content::Gzip(Box::new(GzEncoder::new(file, Compression::default()))),
            false => Content::Plain(file),
        };
        Ok(Self { path: path.to_owned(), part, force, content: Some(content) })
    }

    /// Completes the file, durably, and gives it its name; gives its length.
    ///
    /// # Errors
    /// When that is not possible; then nothing is left.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        let content = self.content.take().ok_or_else(|| io::Error::other("it is finished already"))?;
        let finished = content.into_file().and_then(|file| {
            file.sync_all()?;
            self.rename()?;
            Ok(file.metadata()?.len())
        });
        if finished.is_err() {
            self.remove();
        }
        finished
    }

    fn rename(&self) -> io::Result<()> {
        if !self.force && self.path.try_exists()? {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "somebody has put a file there meanwhile"));
        }
        std::fs::rename(&self.part, &self.path)?;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.part) {
            eprintln!("millpond: {} is left behind: {error}", self.part.display());
        }
    }
}

impl Content {
    fn into_file(self) -> io::Result<File> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(gzip) => gzip.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.content {
            Some(Content::Plain(file)) => file.write(bytes),
            Some(Content::Gzip(file)) => file.write(bytes),
            None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.content {
            Some(Content::Plain(file)) => file.flush(),
            Some(Content::Gzip(file)) => file.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let Some(content) = self.content.take() else { return };
        // What is in the buffers has nowhere to go, and must not try to on its way out.
        match content {
            Content::Plain(file) => drop(file.into_parts()),
            Content::Gzip(gzip) => std::mem::forget(gzip),
        }
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        // One that was killed.
        std::fs::write(directory.path().join("events.part"), "much longer than what follows").unwrap();
        let mut target = Target::create(&path, false).unwrap();
        target.write_all(b"one").unwrap();
        assert_eq!(names(directory.path()), ["events.part"]);
        let other = Target::create(&path, false).unwrap_err();
        assert!(other.contains("another export"), "{other}");
        assert_eq!(target.finish().unwrap(), 3);
        assert_eq!(names(directory.path()), ["events"]);

        let refused = Target::create(&path, false).unwrap_err();
        assert!(refused.contains("--force"), "{refused}");
        let mut target = Target::create(&path, true).unwrap();
        target.write_all(b"two").unwrap();
        drop(target);
        assert_eq!(
            (names(directory.path()), std::fs::read(&path).unwrap()),
            (vec!["events".to_owned()], b"one".to_vec())
        );
        let refused = Target::create(directory.path(), true).unwrap_err();
        assert!(refused.contains("is no file"), "{refused}");
    }

    #[test]
    fn a_name_that_ends_in_gz_is_packed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.ndjson.gz");
        let mut target = Target::create(&path, false).unwrap();
        target.write_all(b"one\n").unwrap();
        let bytes = target.finish().unwrap();
        assert_eq!(bytes, std::fs::metadata(&path).unwrap().len());
        let mut text = String::new();
        let mut unpacked = flate2::read::GzDecoder::new(File::open(&path).unwrap());
        io::Read::read_to_string(&mut unpacked, &mut text).unwrap();
        assert_eq!(text, "one\n");
        let mut unfinished = Target::create(&path, true).unwrap();
        unfinished.write_all(b"two\n").unwrap();
        drop(unfinished);
        assert_eq!(names(directory.path()), ["events.ndjson.gz"]);
    }
}
