//! Damaged bytes, set aside: copied out of their segment before it is reclaimed, never deleted.

use std::io::{self, IoSlice};

use crate::{
    batch::Sequence,
    format::segment_name,
    segment::{
        read_full,
        walk::{Reason, Span},
        write_all,
    },
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

/// The segment that a file in the directory holds bytes of.
pub(crate) fn base_in(file: &str) -> Option<u64> {
    let (base, _) = file.split_at_checked(20)?;
    base.bytes().all(|byte| byte.is_ascii_digit()).then(|| base.parse().ok())?
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

/// Whether the bytes of `span` in the segment `base` have been copied.
pub(crate) fn holds<S: Storage>(storage: &S, base: u64, span: &Span) -> io::Result<bool> {
    match storage.open(&file_name(base, span.position, span.reason)) {
        Ok(file) => Ok(file.len()? == span.end - span.position),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves a whole segment into quarantine; needs no space.
pub(crate) fn take_segment<S: Storage>(storage: &S, base: u64) -> io::Result<()> {
    take(storage, &segment_name(Sequence(base)))
}

/// Moves a file into quarantine. One of that name that is there already stays: the new one gets a number.
pub(crate) fn take<S: Storage>(storage: &S, file: &str) -> io::Result<()> {
    storage.create_directory(DIRECTORY)?;
    let there = storage.list(DIRECTORY)?;
    let numbered = (2..).map(|number: u64| format!("{file}.{number}"));
    let mut names = std::iter::once(file.to_owned()).chain(numbered);
    let name = names.find(|name| !there.contains(name)).expect("there are more numbers than files");
    storage.rename(file, &format!("{DIRECTORY}/{name}"))?;
    storage.sync_directory(DIRECTORY)?;
    storage.sync_directory("")
}
