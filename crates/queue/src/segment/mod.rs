//! One segment file: making it, appending to it, walking over it.

pub(crate) mod create;
pub(crate) mod look;
pub(crate) mod tail;
pub(crate) mod walk;
pub(crate) mod window;

use std::io::{self, IoSlice};

use crate::storage::StorageFile;

/// Linux takes no more buffers than this in one call.
const BUFFERS_PER_WRITE_MAX: usize = 1024;

/// Writes all buffers one after the other from `position` on.
pub(crate) fn write_all<F: StorageFile>(
    file: &F,
    mut buffers: &mut [IoSlice<'_>],
    mut position: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut buffers, 0); // Empty buffers in front would look like no progress.
    while !buffers.is_empty() {
        let count = buffers.len().min(BUFFERS_PER_WRITE_MAX);
        match file.write_vectored_at(&buffers[..count], position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut buffers, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `buffer` is full or the file ends; gives the bytes read.
pub(crate) fn read_full<F: StorageFile>(file: &F, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether the disk (or a quota) had no room; a state of the disk, not a failure of it.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
