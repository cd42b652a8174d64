//! Small things that must survive: two slots, the newest valid one counts.
//!
//! A checkpoint is two files, `NAME.a` and `NAME.b`. Saving writes the older one in place and
//! syncs it, so that the newer one is untouched until the new body is durable. In place, because
//! that is four times as fast as a temporary file, and works on a full disk.
//!
//! ```text
//!  0  magic "MPCK"          8  generation u64          24  CRC-32 of the body u32
//!  4  version u16           16 body length u32         28  CRC-32 of bytes 0..28 u32
//!  6  reserved u16          20 reserved u32            32  the body
//! ```

use std::io::{self, IoSlice};

use crate::{
    segment::{is_no_space, read_full, write_all},
    storage::{Storage, StorageFile},
};

/// The largest body that can be saved.
pub const BODY_BYTES_MAX: usize = 16 << 20;

const MAGIC: [u8; 4] = *b"MPCK";
const VERSION: u16 = 1;
pub(crate) const HEADER_LEN: usize = 32;
/// A new slot is this many zeros, so that small bodies never need new space.
pub(crate) const SLOT_BYTES_MIN: usize = 4096;
/// A billion saves a second take longer than a century to get here.
const GENERATION_MAX: u64 = u64::MAX / 2;
/// Behind the name of a slot that is in the making.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";
const SUFFIXES: [&str; 2] = ["a", "b"];

/// A named checkpoint.
#[derive(Debug)]
pub struct Checkpoint<S: Storage> {
    storage: S,
    name: String,
    /// The files; `None` after a failed write, which ends a file for good.
    files: [Option<S::File>; 2],
    /// The slot that holds the newest durable body.
    newest: usize,
    generation: u64,
    damaged: bool,
}

/// Why a checkpoint could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A newer version of this program wrote it.
    #[error("{file} has format version {version}, this program knows up to {known}: use a newer millpond")]
    Unsupported {
        /// The file, relative to the storage's directory.
        file: String,
        /// The version found.
        version: u16,
        /// The newest version known here.
        known: u16,
    },
    /// The disk did not answer.
    #[error("opening checkpoint {file}: {source}")]
    Io {
        /// The file, relative to the storage's directory.
        file: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl<S: Storage> Checkpoint<S> {
    /// Opens the checkpoint `name`, and gives the newest body that was saved completely, if any.
    /// Its two files are made when they are not there, so that a save needs no new space.
    pub fn open(storage: S, name: &str) -> Result<(Checkpoint<S>, Option<Vec<u8>>), CheckpointError> {
        let found = load(&storage, name)?;
        let mut checkpoint = Checkpoint {
            storage,
            name: name.to_owned(),
            files: [None, None],
            newest: found.newest,
            generation: found.generation,
            damaged: found.damaged,
        };
        for (slot, exists) in found.exists.into_iter().enumerate() {
            let file = checkpoint.slot_name(slot);
            let opened = match exists {
                true => checkpoint.storage.open_write(&file).map(Some),
                // A full disk must not keep a queue from being opened and emptied.
                false => match checkpoint.create(slot) {
                    Err(error) if is_no_space(&error) => Ok(None),
                    created => created.map(Some),
                },
            };
            checkpoint.files[slot] = opened.map_err(|source| CheckpointError::Io { file, source })?;
        }
        if let Some(body) = &found.body {
            let file = checkpoint.slot_name(checkpoint.newest);
            checkpoint.confirm(body).map_err(|source| CheckpointError::Io { file, source })?;
        }
        Ok((checkpoint, found.body))
    }

    /// Makes the newest body durable, which it need not be: a process that died between write and
    /// sync, or was told that the sync failed, left it in memory only. The next save overwrites
    /// the other slot, and must not find that there was nothing behind this one.
    fn confirm(&mut self, body: &[u8]) -> io::Result<()> {
        let Some(file) = self.files[self.newest].take() else { return Ok(()) };
        write_slot(&file, self.generation, body)?;
        self.files[self.newest] = Some(file);
        Ok(())
    }

    /// Makes `body` the content of the checkpoint. After `Ok` it survives a crash; after an error
    /// either the old or the new body does.
    ///
    /// # Panics
    /// If `body` is longer than [`BODY_BYTES_MAX`].
    pub fn save(&mut self, body: &[u8]) -> io::Result<()> {
        assert!(body.len() <= BODY_BYTES_MAX, "a checkpoint of {} bytes is too large", body.len());
        let slot = 1 - self.newest;
        let generation = self.generation + 1;
        // Taken out of its place until it is known to be good: a file whose write or sync failed
        // is never synced again, the next save makes a new one.
        let file = match self.files[slot].take() {
            Some(file) => file,
            None => self.create(slot)?,
        };
        write_slot(&file, generation, body)?;
        self.files[slot] = Some(file);
        self.newest = slot;
        self.generation = generation;
        Ok(())
    }

    /// Whether a slot was damaged when the checkpoint was opened: an older body may have been
    /// given, or none. A save that a crash interrupted looks the same.
    pub fn was_damaged(&self) -> bool {
        self.damaged
    }

    /// Real bytes of both files.
    pub fn disk_bytes(&self) -> io::Result<u64> {
        self.files.iter().flatten().map(StorageFile::allocated_bytes).sum()
    }

    fn slot_name(&self, slot: usize) -> String {
        slot_name(&self.name, slot)
    }

    /// Makes a slot, complete before it gets its name.
    fn create(&self, slot: usize) -> io::Result<S::File> {
        let name = self.slot_name(slot);
        let temporary = format!("{name}{TEMPORARY_SUFFIX}");
        let created = self.storage.create(&temporary).and_then(|file| {
            write_all(&file, &mut [IoSlice::new(&[0; SLOT_BYTES_MIN])], 0)?;
            file.sync_data()?;
            self.storage.rename(&temporary, &name)?;
            self.storage.sync_directory("")?;
            Ok(file)
        });
        if created.is_err()
            && let Err(error) = self.storage.remove(&temporary)
        {
            tracing::debug!(%error, file = temporary, "left for the next attempt to write over");
        }
        created
    }
}

/// The newest body of the checkpoint `name`, if there is one. Changes nothing.
pub fn read_newest<S: Storage>(storage: &S, name: &str) -> Result<Option<Vec<u8>>, CheckpointError> {
    Ok(load(storage, name)?.body)
}

/// What the two slots of a checkpoint hold.
pub(crate) struct Found {
    pub(crate) body: Option<Vec<u8>>,
    newest: usize,
    generation: u64,
    pub(crate) damaged: bool,
    exists: [bool; 2],
}

/// Reads a checkpoint without changing anything.
pub(crate) fn load<S: Storage>(storage: &S, name: &str) -> Result<Found, CheckpointError> {
    let mut found = Found { body: None, newest: 1, generation: 0, damaged: false, exists: [false; 2] };
    for slot in 0..SUFFIXES.len() {
        let file = slot_name(name, slot);
        let bytes = match read(storage, &file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes.map_err(|source| CheckpointError::Io { file: file.clone(), source })?,
        };
        found.exists[slot] = true;
        match decode(&bytes) {
            Slot::Blank => {}
            Slot::Damaged => found.damaged = true,
            Slot::Newer(version) => {
                return Err(CheckpointError::Unsupported { file, version, known: VERSION });
            }
            Slot::Valid(generation, body) => {
                if generation > found.generation {
                    found.generation = generation;
                    found.newest = slot;
                    found.body = Some(body.to_vec());
                }
            }
        }
    }
    Ok(found)
}

/// The bodies that a checkpoint holds, each with its file and its generation, the newest first.
pub(crate) fn bodies<S: Storage>(storage: &S, name: &str) -> io::Result<Vec<(String, u64, Vec<u8>)>> {
    let mut bodies = Vec::new();
    for slot in 0..SUFFIXES.len() {
        let file = slot_name(name, slot);
        let bytes = match read(storage, &file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes?,
        };
        if let Slot::Valid(generation, body) = decode(&bytes) {
            bodies.push((file, generation, body.to_vec()));
        }
    }
    bodies.sort_by_key(|&(_, generation, _)| std::cmp::Reverse(generation));
    Ok(bodies)
}

/// Removes both files of a checkpoint, durably.
pub(crate) fn remove<S: Storage>(storage: &S, name: &str) -> io::Result<()> {
    for slot in 0..SUFFIXES.len() {
        match storage.remove(&slot_name(name, slot)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _gone => {}
        }
    }
    storage.sync_directory("")
}

/// The name of the checkpoint that a file is a slot of; `None`: of none.
pub(crate) fn name_of(file: &str) -> Option<&str> {
    let (name, suffix) = file.rsplit_once('.')?;
    SUFFIXES.contains(&suffix).then_some(name)
}

fn write_slot<F: StorageFile>(file: &F, generation: u64, body: &[u8]) -> io::Result<()> {
    let header = encode_header(generation, body);
    write_all(file, &mut [IoSlice::new(&header), IoSlice::new(body)], 0)?;
    file.sync_data()
}

fn slot_name(name: &str, slot: usize) -> String {
    format!("{name}.{}", SUFFIXES[slot])
}

fn read<S: Storage>(storage: &S, file: &str) -> io::Result<Vec<u8>> {
    let file = storage.open(file)?;
    let len = file.len()?.min((HEADER_LEN + BODY_BYTES_MAX) as u64);
    let mut bytes = vec![0; len as usize];
    let read = read_full(&file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// What a slot holds.
#[derive(Debug, PartialEq, Eq)]
enum Slot<'a> {
    /// Nothing yet.
    Blank,
    /// A body, saved completely.
    Valid(u64, &'a [u8]),
    /// Something else, for example half a save.
    Damaged,
    /// A newer version's.
    Newer(u16),
}

pub(crate) fn encode_header(generation: u64, body: &[u8]) -> [u8; HEADER_LEN] {
    let mut out = [0; HEADER_LEN];
    out[0..4].copy_from_slice(&MAGIC);
    out[4..6].copy_from_slice(&VERSION.to_le_bytes());
    out[8..16].copy_from_slice(&generation.to_le_bytes());
    let len = u32::try_from(body.len()).expect("a body is at most BODY_BYTES_MAX long");
    out[16..20].copy_from_slice(&len.to_le_bytes());
    out[24..28].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    let checksum = crc32fast::hash(&out[..28]);
    out[28..32].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Slot<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return if bytes.iter().all(|&b| b == 0) { Slot::Blank } else { Slot::Damaged };
    };
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if header[..4] != MAGIC {
        return if header.iter().all(|&b| b == 0) { Slot::Blank } else { Slot::Damaged };
    }
    if half(4) != VERSION {
        // If only the version is wrong, it is the version that is damaged. There was never a version 0.
        let mut as_ours = *header;
        as_ours[4..6].copy_from_slice(&VERSION.to_le_bytes());
        let damaged = crc32fast::hash(&as_ours[..28]) == word(28);
        return if damaged || half(4) == 0 { Slot::Damaged } else { Slot::Newer(half(4)) };
    }
    if crc32fast::hash(&header[..28]) != word(28) {
        return Slot::Damaged;
    }
    match rest.get(..word(16) as usize) {
        Some(body) if crc32fast::hash(body) == word(24) => {
            let generation = u64::from(word(8)) | u64::from(word(12)) << 32;
            // No number of saves gets there: it was forged, and nothing could follow it.
            if generation > GENERATION_MAX { Slot::Damaged } else { Slot::Valid(generation, body) }
        }
        _ => Slot::Damaged,
    }
}
