//! Damaged bytes, set aside: copied out of their segment before it is reclaimed, never deleted.

use std::io::{self, IoSlice};

use crate::{
    batch::Sequence,
    format::segment_name,
    segment::{read_full, walk::Reason, write_all},
    storage::{Storage, StorageFile},
};

/// The directory.
pub(crate) const DIRECTORY: &str = "quarantine";

/// More damaged spans than this in one segment, and the whole segment is set aside instead.
pub(crate) const COPIES_PER_SEGMENT_MAX: usize = 64;

const CHUNK_BYTES: u64 = 256 << 10;

/// The file for bytes of the segment `base`: says where they come from and what is wrong.
pub(crate) fn file_name(base: u64, position: u64, reason: Reason) -> String {
    format!("{DIRECTORY}/{base:020}-{position:012}-{}.bin", reason.word())
}

/// Copies `position..end` of the segment `base`. Doing it again changes nothing.
pub(crate) fn copy<S: Storage>(
    storage: &S,
    base: u64,
    position: u64,
    end: u64,
    reason: Reason,
) -> io::Result<()> {
    let from = storage.open(&segment_name(Sequence(base)))?;
    let end = end.min(from.len()?);
    let name = file_name(base, position, reason);
    match storage.open(&name) {
        Ok(file) if file.len()? == end.saturating_sub(position) => return Ok(()),
        Ok(_) => {} // Cut short by a crash.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    storage.create_directory(DIRECTORY)?;
    let to = storage.create(&name)?;
    let mut buffer = vec![0; CHUNK_BYTES.min(end.saturating_sub(position)) as usize];
    let mut at = position;
    while at < end {
        let wanted = buffer.len().min((end - at) as usize);
        let read = read_full(&from, &mut buffer[..wanted], at)?;
        if read == 0 {
            break;
        }
        write_all(&to, &mut [IoSlice::new(&buffer[..read])], at - position)?;
        at += read as u64;
    }
    to.sync_data()?;
    storage.sync_directory(DIRECTORY)
}

/// Moves a whole segment into quarantine; needs no space.
pub(crate) fn take_segment<S: Storage>(storage: &S, base: u64) -> io::Result<()> {
    let name = segment_name(Sequence(base));
    storage.create_directory(DIRECTORY)?;
    storage.rename(&name, &format!("{DIRECTORY}/{name}"))?;
    storage.sync_directory(DIRECTORY)?;
    storage.sync_directory("")
}
