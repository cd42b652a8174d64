//! Making a segment: complete and durable under another name before it gets its own.

use std::io::{self, IoSlice};

use super::write_all;
use crate::{
    batch::Sequence,
    format::{SegmentHeader, segment_name},
    storage::{Storage, StorageFile},
};

/// The name of a segment in the making; always the same one, so that what a failure leaves behind
/// is written over by the next attempt.
pub(crate) const TEMPORARY: &str = "segment.tmp";

/// A segment that could not be made.
#[derive(Debug)]
pub(crate) struct CreateError {
    pub(crate) error: io::Error,
    /// The file may have its name already. Then it takes over from its base on, empty as it is,
    /// and nothing may be appended to the segment before it any more.
    pub(crate) named: bool,
    /// A file was left behind that occupies space.
    pub(crate) left: bool,
}

/// Makes the segment `header.base` with room for `capacity` bytes, durable in its directory.
///
/// A segment that had this base before is replaced: it cannot have held a durable frame, since
/// the next sequence would be another one then.
pub(crate) fn create<S: Storage>(
    storage: &S,
    header: &SegmentHeader,
    capacity: u64,
) -> Result<S::File, CreateError> {
    let name = segment_name(Sequence(header.base));
    let file = match write_new(storage, TEMPORARY, header, capacity) {
        Ok(file) => file,
        Err(error) => {
            let removed = storage.remove(TEMPORARY);
            let left = removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
            return Err(CreateError { error, named: false, left });
        }
    };
    let named = storage.rename(TEMPORARY, &name).and_then(|()| storage.sync_directory(""));
    named.map_err(|error| CreateError { error, named: true, left: true })?;
    Ok(file)
}

fn write_new<S: Storage>(
    storage: &S,
    name: &str,
    header: &SegmentHeader,
    capacity: u64,
) -> io::Result<S::File> {
    let file = storage.create(name)?;
    // A full disk shows here, and not in the middle of a segment.
    file.allocate(capacity)?;
    write_all(&file, &mut [IoSlice::new(&header.encode_block())], 0)?;
    // IMPORTANT: the header is durable before the name is, so a segment always has one.
    file.sync_data()?;
    Ok(file)
}
