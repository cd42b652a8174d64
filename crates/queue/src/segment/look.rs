//! A first look at a segment: what its seal or its header says.

use std::io;

use super::{read_full, walk::read_seal};
use crate::{
    batch::Sequence,
    format::{FRAMES_AT, FormatError, SEAL_LEN, SegmentHeader, Totals, segment_name},
    recovery::verdict::Header,
    storage::{Storage, StorageFile},
    summary::Summary,
};

/// What is in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// The position after its last durable frame, as far as that is known.
    pub(crate) data_len: u64,
    pub(crate) salt: u32,
    pub(crate) sealed: bool,
    pub(crate) created_ms: i64,
    pub(crate) before: Totals,
    /// Of a segment without a seal, in front of others: nothing.
    pub(crate) summary: Summary,
    /// What it occupies on disk.
    pub(crate) disk_bytes: u64,
}

impl Content {
    /// A segment that was just made.
    pub(crate) fn empty(salt: u32, created_ms: i64, before: Totals, disk_bytes: u64) -> Content {
        let summary = Summary::default();
        Content { data_len: FRAMES_AT, salt, sealed: false, created_ms, before, summary, disk_bytes }
    }

    /// What this segment adds to the bytes before the next one: what it will occupy once it is
    /// sealed, or what it does if it never will be.
    pub(crate) fn file_bytes(&self, will_be_sealed: bool) -> u64 {
        match will_be_sealed || self.sealed {
            true => (self.data_len + SEAL_LEN as u64).next_multiple_of(4096),
            false => self.disk_bytes,
        }
    }
}

/// What a look shows.
#[derive(Debug)]
pub(crate) struct Look<F> {
    pub(crate) file: F,
    pub(crate) len: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) shows: Shows,
}

/// What the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Closed: the seal says everything.
    Sealed { header: SegmentHeader, end: u64, content: Content },
    /// Not closed: only its header is known.
    Open { header: SegmentHeader },
    /// No good header.
    Bad(Header),
}

impl Shows {
    /// The id of the queue that it belongs to.
    pub(crate) fn queue_id(&self) -> Option<u128> {
        match self {
            Shows::Sealed { header, .. } | Shows::Open { header } => Some(header.queue_id),
            Shows::Bad(_) => None,
        }
    }
}

/// Looks at the segment `base` of the queue `queue_id` (any, if that is not known yet).
pub(crate) fn look<S: Storage>(storage: &S, base: u64, queue_id: Option<u128>) -> io::Result<Look<S::File>> {
    let file = storage.open(&segment_name(Sequence(base)))?;
    let (len, disk_bytes) = (file.len()?, file.allocated_bytes()?);
    let shows = match read_seal(&file, base, len)? {
        Some(seal) if queue_id.is_some_and(|id| id != seal.header.queue_id) => Shows::Bad(Header::Alien),
        Some(seal) => Shows::Sealed {
            header: seal.header,
            end: seal.end,
            content: Content {
                data_len: seal.position,
                salt: seal.header.salt,
                sealed: true,
                created_ms: seal.header.created_ms,
                before: seal.header.before,
                summary: seal.summary,
                disk_bytes,
            },
        },
        None => read_header(&file, base, queue_id)?.map_or_else(Shows::Bad, |header| Shows::Open { header }),
    };
    Ok(Look { file, len, disk_bytes, shows })
}

/// Reads the block in front of the frames. `Err` holds the fact about a header that is not good.
fn read_header<F: StorageFile>(
    file: &F,
    base: u64,
    queue_id: Option<u128>,
) -> io::Result<Result<SegmentHeader, Header>> {
    let mut block = vec![0; FRAMES_AT as usize];
    let read = read_full(file, &mut block, 0)?;
    if read < block.len() || block.iter().all(|&b| b == 0) {
        return Ok(Err(Header::Incomplete));
    }
    Ok(match SegmentHeader::decode_block(&block) {
        Ok(header) if header.base != base || queue_id.is_some_and(|id| id != header.queue_id) => {
            Err(Header::Alien)
        }
        Ok(header) => Ok(header),
        Err(FormatError::Magic) => Err(Header::Alien),
        Err(FormatError::Version(version)) => Err(Header::Unknown(version)),
        Err(FormatError::Checksum) => Err(Header::Damaged),
    })
}

/// What a reader needs to know of a segment that is followed by another one beginning with `end`.
pub(crate) fn content_before(shows: Shows, end: u64, len: u64, disk_bytes: u64) -> Option<Content> {
    match shows {
        Shows::Sealed { end: sealed_end, content, .. } if sealed_end <= end => Some(content),
        // What lies behind the end does not count, wherever that is in the file.
        Shows::Sealed { header, .. } | Shows::Open { header } => Some(Content {
            data_len: len,
            salt: header.salt,
            sealed: false,
            created_ms: header.created_ms,
            before: header.before,
            summary: Summary::default(),
            disk_bytes,
        }),
        Shows::Bad(_) => None,
    }
}
