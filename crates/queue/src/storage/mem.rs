//! A disk in memory, for tests: it knows what was synced, and what a crash could leave.
//!
//! What it models: content survives a crash only after `sync_data`, names only after
//! `sync_directory`; of what was not synced, any part may survive: each write not at all, whole
//! or torn at 512-byte steps, each creation, rename and removal or not, in any combination.
//! A failed sync drops what was not synced although it can still be read, as Linux does. Space
//! is limited.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    LockError, Storage, StorageFile,
    faulty::{Call, Faults},
};

const SECTOR_BYTES: usize = 512;
const BLOCK_BYTES: u64 = 4096;

/// Decides what a crash leaves.
pub trait Choose {
    /// One of `count` possibilities, below `count`.
    fn choose(&mut self, count: usize) -> usize;

    /// Whether torn writes may keep any set of sectors, each chosen on its own, and not only
    /// their beginning or their end.
    fn scatters(&self) -> bool {
        false
    }
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct Mem {
    disk: Arc<Mutex<Disk>>,
    faults: Faults,
}

#[derive(Debug, Clone)]
struct Disk {
    inodes: BTreeMap<u64, Inode>,
    /// What is seen now.
    names: BTreeMap<String, u64>,
    /// What a crash leaves for sure.
    durable_names: BTreeMap<String, u64>,
    pending: Vec<NameChange>,
    next_inode: u64,
    capacity_bytes: u64,
    locked: bool,
    random: u64,
    calls: u64,
    stop_after: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// Not synced, in order.
    pending: Vec<Change>,
    allocated: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Clone)]
enum NameChange {
    Link { name: String, inode: u64 },
    Rename { from: String, to: String, inode: u64 },
    Unlink { name: String },
}

impl NameChange {
    fn directory(&self) -> &str {
        match self {
            NameChange::Link { name, .. } | NameChange::Unlink { name } => directory_of(name),
            NameChange::Rename { to, .. } => directory_of(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            NameChange::Rename { from, to, inode } => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            NameChange::Unlink { name } => {
                names.remove(name);
            }
        }
    }
}

fn directory_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl Mem {
    /// An empty disk of this size.
    pub fn new(capacity_bytes: u64) -> Mem {
        let disk = Disk {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            next_inode: 1,
            capacity_bytes,
            locked: false,
            random: 0,
            calls: 0,
            stop_after: None,
        };
        Mem { disk: Arc::new(Mutex::new(disk)), faults: Faults::default() }
    }

    /// What is to go wrong on this disk.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Calls that could change the disk, so far.
    pub fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// After this many calls that could change the disk, none does anything any more, and each
    /// fails: the process is dead and does not know it yet.
    pub fn stop_after(&self, calls: u64) {
        self.disk().stop_after = Some(calls);
    }

    /// Whether [`Mem::stop_after`] has stopped everything.
    pub fn is_stopped(&self) -> bool {
        let disk = self.disk();
        disk.stop_after.is_some_and(|after| disk.calls >= after)
    }

    /// Makes the disk larger or smaller.
    pub fn set_capacity(&self, bytes: u64) {
        self.disk().capacity_bytes = bytes;
    }

    /// A disk as a power cut could leave this one. This one is not changed.
    pub fn crash(&self, choose: &mut dyn Choose) -> Mem {
        let mut disk = self.disk().clone();
        for change in std::mem::take(&mut disk.pending) {
            if choose.choose(2) == 1 {
                change.apply(&mut disk.durable_names);
            }
        }
        for inode in disk.inodes.values_mut() {
            for change in std::mem::take(&mut inode.pending) {
                change.apply_part(&mut inode.durable, choose);
            }
        }
        disk.restart();
        Mem { disk: Arc::new(Mutex::new(disk)), faults: Faults::default() }
    }

    /// A copy of the disk as a process that starts now finds it: nothing is lost but the lock.
    pub fn copy(&self) -> Mem {
        let mut disk = self.disk().clone();
        disk.locked = false;
        disk.stop_after = None;
        Mem { disk: Arc::new(Mutex::new(disk)), faults: Faults::default() }
    }

    /// The content of a file.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk();
        Some(disk.inodes[disk.names.get(name)?].content.clone())
    }

    /// Puts a file on the disk, durable.
    pub fn put(&self, name: &str, content: Vec<u8>) {
        let mut disk = self.disk();
        let inode = disk.next_inode;
        disk.next_inode += 1;
        let allocated = (content.len() as u64).next_multiple_of(BLOCK_BYTES);
        let durable = content.clone();
        disk.inodes.insert(inode, Inode { content, durable, pending: Vec::new(), allocated });
        disk.names.insert(name.to_owned(), inode);
        disk.durable_names.insert(name.to_owned(), inode);
    }

    /// Takes a file away, durably.
    pub fn take(&self, name: &str) {
        let mut disk = self.disk();
        disk.names.remove(name);
        disk.durable_names.remove(name);
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        self.disk().names.keys().cloned().collect()
    }

    /// Bytes that are allocated.
    pub fn used_bytes(&self) -> u64 {
        self.disk().used_bytes()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call that could change the disk; it may be the last one.
    fn count(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.disk();
        if disk.stop_after.is_some_and(|after| disk.calls >= after) {
            return Err(io::Error::other("stopped"));
        }
        disk.calls += 1;
        Ok(disk)
    }

    fn change(&self, call: Call, name: &str) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.count()?;
        self.faults.check(call, name)?;
        Ok(disk)
    }

    fn look(&self, call: Call, name: &str) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk();
        self.faults.check(call, name)?;
        Ok(disk)
    }

    fn file(&self, name: &str, inode: u64) -> MemFile {
        MemFile { mem: self.clone(), name: name.to_owned(), inode, failed: AtomicBool::new(false) }
    }
}

impl Disk {
    /// What a process finds after a crash.
    fn restart(&mut self) {
        self.names = self.durable_names.clone();
        let names = &self.names;
        self.inodes.retain(|inode, _| names.values().any(|named| named == inode));
        for inode in self.inodes.values_mut() {
            inode.content = inode.durable.clone();
            inode.allocated = inode.allocated.max((inode.content.len() as u64).next_multiple_of(BLOCK_BYTES));
        }
        self.locked = false;
        self.stop_after = None;
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].allocated).sum()
    }

    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes())
    }

    fn named(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("an open file has an inode")
    }

    /// Makes sure that the first `bytes` of a file have blocks; gives how many have.
    fn reserve(&mut self, inode: u64, bytes: u64) -> u64 {
        let free = self.free_bytes();
        let inode = self.inode(inode);
        let wanted = bytes.next_multiple_of(BLOCK_BYTES).saturating_sub(inode.allocated);
        let granted = wanted.min(free / BLOCK_BYTES * BLOCK_BYTES);
        inode.allocated += granted;
        inode.allocated
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
            Change::SetLen(len) => content.resize(*len, 0),
        }
    }

    /// Applies as much of it as a crash may leave.
    fn apply_part(&self, content: &mut Vec<u8>, choose: &mut dyn Choose) {
        let Change::Write { at, bytes } = self else {
            if choose.choose(2) == 1 {
                self.apply(content);
            }
            return;
        };
        let sectors: Vec<(usize, usize)> = sectors(*at, bytes.len());
        let count = sectors.len();
        // Nothing, everything, the beginning, everything but the beginning (zeros, or what was
        // there before, in its place), or any set.
        let kinds = 2 * count + usize::from(choose.scatters());
        let kind = choose.choose(kinds + 1);
        let kept: Vec<bool> = match kind {
            0 => return,
            _ if kind <= count => (0..count).map(|sector| sector < kind).collect(),
            _ if kind <= 2 * count => (0..count).map(|sector| sector >= kind - count).collect(),
            _ => (0..count).map(|_| choose.choose(2) == 1).collect(),
        };
        // The length may grow without the bytes.
        let end = match kind {
            _ if kind <= count => sectors[kind - 1].1,
            _ => at + bytes.len(),
        };
        if content.len() < end {
            content.resize(end, 0);
        }
        for (&(from, to), _) in sectors.iter().zip(&kept).filter(|&(_, &kept)| kept) {
            content[from..to].copy_from_slice(&bytes[from - at..to - at]);
        }
    }
}

/// The sectors that a write touches, as ranges of the file.
fn sectors(at: usize, len: usize) -> Vec<(usize, usize)> {
    let end = at + len;
    let mut from = at;
    let mut sectors = Vec::new();
    while from < end {
        let to = ((from / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        sectors.push((from, to));
        from = to;
    }
    sectors
}

impl Storage for Mem {
    type File = MemFile;

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let disk = self.look(Call::List, directory)?;
        let names = disk.names.keys().filter(|name| directory_of(name) == directory);
        Ok(names.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    fn create(&self, name: &str) -> io::Result<MemFile> {
        let mut disk = self.change(Call::Create, name)?;
        if let Some(&inode) = disk.names.get(name) {
            let existing = disk.inode(inode);
            existing.content.clear();
            existing.allocated = 0;
            existing.pending.push(Change::SetLen(0));
            return Ok(self.file(name, inode));
        }
        let inode = disk.next_inode;
        disk.next_inode += 1;
        disk.inodes.insert(inode, Inode::default());
        disk.names.insert(name.to_owned(), inode);
        disk.pending.push(NameChange::Link { name: name.to_owned(), inode });
        Ok(self.file(name, inode))
    }

    fn open(&self, name: &str) -> io::Result<MemFile> {
        let inode = self.look(Call::Open, name)?.named(name)?;
        Ok(self.file(name, inode))
    }

    fn open_write(&self, name: &str) -> io::Result<MemFile> {
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.change(Call::Rename, from)?;
        let inode = disk.named(from)?;
        let change = NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode };
        change.apply(&mut disk.names);
        disk.pending.push(change);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.change(Call::Remove, name)?;
        disk.named(name)?;
        let change = NameChange::Unlink { name: name.to_owned() };
        change.apply(&mut disk.names);
        disk.pending.push(change);
        Ok(())
    }

    fn create_directory(&self, name: &str) -> io::Result<()> {
        self.change(Call::CreateDirectory, name).map(drop)
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        let mut disk = self.change(Call::SyncDirectory, directory)?;
        let pending = std::mem::take(&mut disk.pending);
        let (synced, rest): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|change| change.directory() == directory);
        synced.iter().for_each(|change| change.apply(&mut disk.durable_names));
        disk.pending = rest;
        Ok(())
    }

    fn lock(&self) -> Result<(), LockError> {
        let mut disk = self.disk();
        if disk.locked {
            return Err(LockError::Held { pid: None });
        }
        disk.locked = true;
        Ok(())
    }

    fn unlock(&self) {
        self.disk().locked = false;
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.look(Call::FreeBytes, "")?.free_bytes())
    }

    fn directory_bytes(&self, directory: &str) -> io::Result<u64> {
        let disk = self.disk();
        let inodes =
            disk.names.iter().filter(|(name, _)| directory.is_empty() || directory_of(name) == directory);
        Ok(inodes.map(|(_, inode)| disk.inodes[inode].allocated).sum())
    }

    fn random(&self) -> u64 {
        let mut disk = self.disk();
        // SplitMix64: the same numbers in every run.
        disk.random = disk.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = disk.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn real_path(&self, _directory: &str) -> Option<PathBuf> {
        None
    }
}

/// A file of a [`Mem`].
#[derive(Debug)]
pub struct MemFile {
    mem: Mem,
    name: String,
    inode: u64,
    /// A sync failed: whoever goes on with this file would be told lies.
    failed: AtomicBool,
}

impl MemFile {
    fn check_not_failed(&self) {
        assert!(
            !self.failed.load(Ordering::Relaxed),
            "{} is written to or synced again after a sync of it failed",
            self.name
        );
    }
}

impl StorageFile for MemFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut disk = self.mem.look(Call::Read, &self.name)?;
        let content = &disk.inode(self.inode).content;
        let from = content.get(position as usize..).unwrap_or_default();
        let read = from.len().min(buffer.len());
        buffer[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.check_not_failed();
        let failing = self.mem.faults.take(Call::Write, &self.name);
        let mut disk = self.mem.count()?;
        let mut bytes: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        if let Some(fault) = &failing {
            bytes.truncate(fault.written);
        }
        let space = disk.reserve(self.inode, position + bytes.len() as u64);
        bytes.truncate(space.saturating_sub(position) as usize);
        let written = bytes.len();
        if written > 0 {
            let change = Change::Write { at: position as usize, bytes };
            let inode = disk.inode(self.inode);
            change.apply(&mut inode.content);
            inode.pending.push(change);
        }
        match failing {
            Some(fault) => Err(io::Error::from_raw_os_error(fault.errno)),
            None if written == 0 && buffers.iter().any(|buffer| !buffer.is_empty()) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            None => Ok(written),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check_not_failed();
        let mut disk = match self.mem.change(Call::SyncData, &self.name) {
            Ok(disk) => disk,
            Err(error) => {
                // The kernel says so once, and forgets that the pages were to be written.
                self.failed.store(true, Ordering::Relaxed);
                let mut disk = self.mem.disk();
                if error.raw_os_error().is_some() {
                    disk.inode(self.inode).pending.clear();
                }
                return Err(error);
            }
        };
        let inode = disk.inode(self.inode);
        for change in std::mem::take(&mut inode.pending) {
            change.apply(&mut inode.durable);
        }
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.mem.change(Call::Allocate, &self.name)?;
        match disk.reserve(self.inode, bytes) {
            reserved if reserved >= bytes => Ok(()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.mem.change(Call::SetLen, &self.name)?;
        let inode = disk.inode(self.inode);
        let change = Change::SetLen(bytes as usize);
        change.apply(&mut inode.content);
        inode.pending.push(change);
        inode.allocated = bytes.next_multiple_of(BLOCK_BYTES);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.mem.disk().inode(self.inode).content.len() as u64)
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(self.mem.disk().inode(self.inode).allocated)
    }
}
