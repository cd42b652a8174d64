//! A real directory.

use std::{
    collections::hash_map::RandomState,
    fs::{self, File, OpenOptions, TryLockError},
    hash::BuildHasher,
    io::{self, IoSlice, Read, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::{LockError, Storage, StorageFile};

const LOCK: &str = "LOCK";

/// A real directory.
#[derive(Debug, Clone)]
pub struct Fs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    lock: Mutex<Option<File>>,
}

impl Fs {
    /// The directory `directory`, made (with its parents) if it is not there.
    pub fn create(directory: &Path) -> io::Result<Fs> {
        create_directories(directory)?;
        Fs::existing(directory)
    }

    /// The directory `directory`, which must be there; for looking, nothing is written.
    pub fn existing(directory: &Path) -> io::Result<Fs> {
        let metadata = fs::metadata(directory)?;
        if !metadata.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is not a directory", directory.display()),
            ));
        }
        Ok(Fs { shared: Arc::new(Shared { directory: directory.to_owned(), lock: Mutex::new(None) }) })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// Takes the queue as its owner does, to read it: nobody else owns it until the last clone is dropped. Works on a file
    /// system that is mounted read-only, too. Where there is no lock file and none can be made, nobody can own the queue.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn hold(&self) -> Result<(), LockError> {
        let path = self.path(LOCK);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => self.keep_lock(file),
            Err(error) if is_read_only(&error) => self.keep_lock(File::open(&path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.lock() {
                Err(LockError::Io(error)) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
                locked => locked,
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Who owns the queue now, if anybody does: `Some(None)` is somebody who has not written a process id. Writes nothing.
    pub fn owned_by(&self) -> io::Result<Option<Option<u32>>> {
        let mut file = match File::open(self.path(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        // Shared, so that two who look do not take each other for an owner.
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => Ok(Some(pid_in(&mut file))),
        }
    }

    fn keep_lock(&self, mut file: File) -> Result<(), LockError> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { pid: pid_in(&mut file) }),
        }
        // On a full disk, or a read-only one, the number cannot be written; the lock holds all the same.
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            tracing::debug!(%error, "the lock file could not take the process id");
        }
        *self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.shared.directory.join(name)
    }
}

/// Who holds a lock is a courtesy; that it is held is the answer.
fn pid_in(file: &mut File) -> Option<u32> {
    let mut owner = String::new();
    match file.read_to_string(&mut owner) {
        Ok(_) => owner.trim().parse().ok(),
        Err(_) => None,
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// Makes a directory and those above it, each durable in its parent.
fn create_directories(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_directories(parent)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

/// What a file, or a directory with all below it, occupies. What goes away while we look
/// occupies nothing.
fn occupied_bytes(path: &Path) -> io::Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        metadata => metadata?,
    };
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    entries.map(|entry| occupied_bytes(&entry?.path())).sum()
}

impl Storage for Fs {
    type File = FsFile;

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(directory)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                continue;
            }
            // A name that is not UTF-8 cannot be one of ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<FsFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options.open(self.path(name)).map(FsFile)
    }

    fn open(&self, name: &str) -> io::Result<FsFile> {
        File::open(self.path(name)).map(FsFile)
    }

    fn open_write(&self, name: &str) -> io::Result<FsFile> {
        OpenOptions::new().read(true).write(true).open(self.path(name)).map(FsFile)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        create_directories(&self.path(name))
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        File::open(self.path(directory))?.sync_all()
    }

    fn lock(&self) -> Result<(), LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        self.keep_lock(options.open(self.path(LOCK))?)
    }

    fn unlock(&self) {
        self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let status = statvfs(&self.shared.directory)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn directory_bytes(&self, directory: &str) -> io::Result<u64> {
        occupied_bytes(&self.path(directory))
    }

    fn random(&self) -> u64 {
        // The standard library seeds its hash maps from the operating system.
        RandomState::new().hash_one(0u8)
    }

    fn real_path(&self, directory: &str) -> Option<PathBuf> {
        Some(self.path(directory))
    }
}

/// A file in a real directory.
#[derive(Debug)]
pub struct FsFile(File);

impl StorageFile for FsFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.0, buffers, position)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            result => Ok(result?),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.blocks() * 512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_held_by_one_and_looked_at_by_all() {
        let directory = tempfile::tempdir().unwrap();
        let storage = || Fs::existing(directory.path()).unwrap();
        let (owner, other) = (storage(), storage());
        assert_eq!(other.owned_by().unwrap(), None, "nobody was ever there");
        assert!(!directory.path().join(LOCK).exists(), "looking writes nothing");
        owner.hold().unwrap();
        let me = std::process::id();
        assert_eq!(other.owned_by().unwrap(), Some(Some(me)));
        assert!(matches!(other.hold(), Err(LockError::Held { pid: Some(pid) }) if pid == me));
        assert!(matches!(other.lock(), Err(LockError::Held { pid: Some(pid) }) if pid == me));
        owner.unlock();
        assert_eq!(other.owned_by().unwrap(), None);
        other.hold().unwrap();
    }
}
