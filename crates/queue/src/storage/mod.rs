//! The one seam to the disk. Nothing in this crate reaches a file in any other way (the catalog,
//! which may be lost at any time, asks for a real path).
//!
//! Names are relative to the queue's directory; the only separator is the one in `quarantine/…`.

#[cfg(any(test, feature = "testing"))]
pub mod faulty;
pub mod fs;
#[cfg(any(test, feature = "testing"))]
pub mod mem;

use std::{
    fmt,
    io::{self, IoSlice},
    path::PathBuf,
};

/// A directory that a queue (or a checkpoint) lives in. Clones mean the same directory.
pub trait Storage: fmt::Debug + Clone + Send + Sync + 'static {
    /// An open file.
    type File: StorageFile;

    /// The names of the files in `directory` (empty for the queue's own); none if there is no
    /// such directory.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;

    /// Makes a new, empty file for reading and writing; what had that name before is gone.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading and writing.
    fn open_write(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes a directory; it may be there already.
    fn create_directory(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in `directory` durable.
    fn sync_directory(&self, directory: &str) -> io::Result<()>;

    /// Takes the queue for this process until the last clone of the storage and of its files is
    /// dropped, or until [`Storage::unlock`].
    fn lock(&self) -> Result<(), LockError>;

    /// Lets go of the queue.
    fn unlock(&self);

    /// What the file system has free for this process.
    fn free_bytes(&self) -> io::Result<u64>;

    /// What everything in a directory (and below) occupies; 0 if there is no such directory.
    fn directory_bytes(&self, directory: &str) -> io::Result<u64>;

    /// An unpredictable number.
    fn random(&self) -> u64;

    /// Where a subdirectory is on a real file system, if there is one.
    fn real_path(&self, directory: &str) -> Option<PathBuf>;
}

/// An open file.
#[expect(clippy::len_without_is_empty, reason = "a length in bytes, not a collection")]
pub trait StorageFile: fmt::Debug + Send + Sync + 'static {
    /// Reads at a position; fewer bytes than asked for are possible, none means the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes at a position; fewer bytes than given are possible.
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize>;

    /// Makes the content durable. After an error the file must never be synced again.
    fn sync_data(&self) -> io::Result<()>;

    /// Reserves space for the first `bytes` bytes without changing the length. A file system that
    /// cannot do it says nothing.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Cuts or extends the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// What the file really occupies.
    fn allocated_bytes(&self) -> io::Result<u64>;
}

/// Why the lock could not be had.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else has it.
    Held {
        /// The owner, as it wrote itself into the lock file.
        pid: Option<u32>,
    },
    /// The operating system did not answer.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> LockError {
        LockError::Io(error)
    }
}
