//! Scripted faults, for tests: any storage with calls that fail when told to.

use std::{
    io::{self, IoSlice},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{LockError, Storage, StorageFile};

/// A call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Call {
    List,
    Create,
    Open,
    Rename,
    Remove,
    CreateDirectory,
    SyncDirectory,
    FreeBytes,
    Read,
    Write,
    SyncData,
    Allocate,
    SetLen,
}

/// What is to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The call that fails.
    pub call: Call,
    /// Only for names that contain this.
    pub name: &'static str,
    /// Calls that succeed before.
    pub after: u64,
    /// Calls that fail then.
    pub times: u64,
    /// The error of the operating system.
    pub errno: i32,
    /// Bytes that a failing write writes all the same.
    pub written: usize,
}

impl Fault {
    /// The error number of a failing disk.
    pub const EIO: i32 = 5;
    /// The error number of a full disk.
    pub const ENOSPC: i32 = 28;

    /// The next call of this kind fails once with `errno`.
    pub fn next(call: Call, errno: i32) -> Fault {
        Fault { call, name: "", after: 0, times: 1, errno, written: 0 }
    }

    /// Every call of this kind fails with `errno` from now on.
    pub fn always(call: Call, errno: i32) -> Fault {
        Fault { times: u64::MAX, ..Fault::next(call, errno) }
    }

    /// The same, only for names that contain `name`.
    #[must_use]
    pub fn named(self, name: &'static str) -> Fault {
        Fault { name, ..self }
    }

    /// The same, after `after` calls that succeed.
    #[must_use]
    pub fn after(self, after: u64) -> Fault {
        Fault { after, ..self }
    }
}

/// A script of faults. Clones are the same script.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    script: Arc<Mutex<Vec<Fault>>>,
}

impl Faults {
    /// Adds a fault.
    pub fn add(&self, fault: Fault) {
        self.script().push(fault);
    }

    /// Nothing fails any more.
    pub fn clear(&self) {
        self.script().clear();
    }

    /// Whether every fault has happened.
    pub fn is_empty(&self) -> bool {
        self.script().is_empty()
    }

    fn script(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this call fails.
    pub(crate) fn take(&self, call: Call, name: &str) -> Option<Fault> {
        let mut script = self.script();
        let index = script.iter().position(|fault| fault.call == call && name.contains(fault.name))?;
        let fault = &mut script[index];
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times -= 1;
        let happens = fault.clone();
        if fault.times == 0 {
            script.remove(index);
        }
        Some(happens)
    }

    pub(crate) fn check(&self, call: Call, name: &str) -> io::Result<()> {
        match self.take(call, name) {
            Some(fault) => Err(io::Error::from_raw_os_error(fault.errno)),
            None => Ok(()),
        }
    }
}

/// A storage whose calls fail as scripted.
#[derive(Debug, Clone)]
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
}

impl<S: Storage> Faulty<S> {
    /// `inner`, with faults.
    pub fn new(inner: S, faults: Faults) -> Faulty<S> {
        Faulty { inner, faults }
    }

    fn file(&self, name: &str, inner: S::File) -> FaultyFile<S::File> {
        FaultyFile { inner, name: name.to_owned(), faults: self.faults.clone() }
    }
}

impl<S: Storage> Storage for Faulty<S> {
    type File = FaultyFile<S::File>;

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.faults.check(Call::List, directory)?;
        self.inner.list(directory)
    }

    fn create(&self, name: &str) -> io::Result<Self::File> {
        self.faults.check(Call::Create, name)?;
        Ok(self.file(name, self.inner.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        self.faults.check(Call::Open, name)?;
        Ok(self.file(name, self.inner.open(name)?))
    }

    fn open_write(&self, name: &str) -> io::Result<Self::File> {
        self.faults.check(Call::Open, name)?;
        Ok(self.file(name, self.inner.open_write(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.faults.check(Call::Rename, from)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.faults.check(Call::Remove, name)?;
        self.inner.remove(name)
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        self.faults.check(Call::CreateDirectory, name)?;
        self.inner.create_directory(name)
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        self.faults.check(Call::SyncDirectory, directory)?;
        self.inner.sync_directory(directory)
    }

    fn lock(&self) -> Result<(), LockError> {
        self.inner.lock()
    }

    fn unlock(&self) {
        self.inner.unlock();
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.faults.check(Call::FreeBytes, "")?;
        self.inner.free_bytes()
    }

    fn directory_bytes(&self, directory: &str) -> io::Result<u64> {
        self.inner.directory_bytes(directory)
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn real_path(&self, directory: &str) -> Option<PathBuf> {
        self.inner.real_path(directory)
    }
}

/// A file of a [`Faulty`] storage.
#[derive(Debug)]
pub struct FaultyFile<F> {
    inner: F,
    name: String,
    faults: Faults,
}

impl<F: StorageFile> StorageFile for FaultyFile<F> {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.faults.check(Call::Read, &self.name)?;
        self.inner.read_at(buffer, position)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let Some(fault) = self.faults.take(Call::Write, &self.name) else {
            return self.inner.write_vectored_at(buffers, position);
        };
        let all: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        let part = &all[..fault.written.min(all.len())];
        if !part.is_empty() {
            self.inner.write_vectored_at(&[IoSlice::new(part)], position)?;
        }
        Err(io::Error::from_raw_os_error(fault.errno))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.check(Call::SyncData, &self.name)?;
        self.inner.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.faults.check(Call::Allocate, &self.name)?;
        self.inner.allocate(bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.faults.check(Call::SetLen, &self.name)?;
        self.inner.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.inner.allocated_bytes()
    }
}
