//! The segment that is being appended to.

use std::io::{self, IoSlice};

use bytes::Bytes;

use super::write_all;
use crate::{
    batch::BatchInfo,
    format::{FRAME_HEADER_LEN, FRAMES_AT, FrameHeader, FrameKind, SEAL_LEN, Seal, SegmentHeader},
    storage::StorageFile,
    summary::Summary,
};

/// A batch that waits to become durable. Its parts are shared with whoever appended it.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) sequence: u64,
    pub(crate) info: BatchInfo,
    pub(crate) parts: Vec<Bytes>,
    /// Length of the parts together.
    pub(crate) payload_len: u32,
    pub(crate) payload_crc: u32,
    /// Length of the batch, if the parts are what it was packed to.
    pub(crate) unpacked_len: Option<u32>,
}

impl Staged {
    /// What it takes in a segment.
    pub(crate) fn frame_len(&self) -> u64 {
        FRAME_HEADER_LEN as u64 + u64::from(self.payload_len)
    }

    /// Length of the batch as it was handed in.
    pub(crate) fn batch_len(&self) -> u32 {
        self.unpacked_len.unwrap_or(self.payload_len)
    }

    fn header(&self, durable: u64) -> FrameHeader {
        let lag = self.sequence.checked_sub(durable).expect("a staged batch is not durable");
        FrameHeader {
            kind: FrameKind::Batch,
            sequence: self.sequence,
            durable_lag: u32::try_from(lag).expect("fewer batches are staged than fit in memory"),
            payload_len: self.payload_len,
            payload_crc: self.payload_crc,
            unpacked_len: self.unpacked_len,
            info: self.info,
        }
    }
}

/// How a write did not succeed.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// No room. What was written before is not synced and will be written over.
    NoSpace,
    /// This segment can never be trusted with a write again.
    Broken(io::Error),
}

/// How far a segment goes.
#[derive(Debug, Clone, Copy)]
struct Mark {
    len: u64,
    end: u64,
    summary: Summary,
}

/// The segment that is being appended to.
#[derive(Debug)]
pub(crate) struct Tail<F> {
    file: F,
    header: SegmentHeader,
    capacity: u64,
    durable: Mark,
    /// At or beyond `durable`.
    written: Mark,
}

impl<F: StorageFile> Tail<F> {
    /// A segment that was just made.
    pub(crate) fn new(file: F, header: SegmentHeader, capacity: u64) -> Tail<F> {
        let start = Mark { len: FRAMES_AT, end: header.base, summary: Summary::default() };
        Tail { file, header, capacity, durable: start, written: start }
    }

    /// Whether frames of this many bytes, and the seal behind them, still have room.
    pub(crate) fn fits(&self, bytes: u64) -> bool {
        self.written.len + bytes + SEAL_LEN as u64 <= self.capacity
    }

    pub(crate) fn base(&self) -> u64 {
        self.header.base
    }

    /// The position after the last durable frame.
    pub(crate) fn len(&self) -> u64 {
        self.durable.len
    }

    /// The sequence after the last durable frame.
    pub(crate) fn end(&self) -> u64 {
        self.durable.end
    }

    pub(crate) fn summary(&self) -> Summary {
        self.durable.summary
    }

    /// Writes `group` behind what is written. `durable`: the first sequence that is not durable.
    pub(crate) fn write<'a>(
        &mut self,
        group: impl Iterator<Item = &'a Staged> + Clone,
        durable: u64,
    ) -> Result<(), WriteError> {
        let headers: Vec<_> =
            group.clone().map(|batch| batch.header(durable).encode(self.header.salt)).collect();
        let mut buffers = Vec::with_capacity(headers.len() * 3);
        let mut bytes = 0;
        for (batch, header) in group.clone().zip(&headers) {
            buffers.push(IoSlice::new(header));
            buffers.extend(batch.parts.iter().map(|part| IoSlice::new(part)));
            bytes += batch.frame_len();
        }
        assert!(self.fits(bytes), "a group is written only where it fits");
        match write_all(&self.file, &mut buffers, self.written.len) {
            Err(error) if super::is_no_space(&error) => return Err(WriteError::NoSpace),
            written => written.map_err(WriteError::Broken)?,
        }
        for batch in group {
            assert_eq!(batch.sequence, self.written.end, "frames are in order and without gaps");
            self.written.end += 1;
            self.written.summary.add(&batch.info, batch.batch_len());
        }
        self.written.len += bytes;
        Ok(())
    }

    /// Makes durable what is written. An error ends the segment, even one for lack of space: the kernel may have dropped
    /// the pages, and would call the next sync a success without them.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.durable = self.written;
        Ok(())
    }

    /// Closes the segment for good: everything in it is durable, now its summary is as well, and
    /// the space behind it is given back. Gives the bytes that it occupies.
    pub(crate) fn seal(self) -> io::Result<u64> {
        let Mark { len, end, summary } = self.durable;
        assert_eq!(end, self.written.end, "a segment is closed when all of it is durable");
        let seal = Seal { header: self.header, end, position: len, summary };
        write_seal(&self.file, &seal)?;
        self.file.allocated_bytes()
    }

    /// Gives back the space behind the header of a segment that was never used.
    pub(crate) fn shrink(&self) -> io::Result<()> {
        self.file.set_len(self.durable.len)
    }
}

/// Writes a seal behind frames that are durable, and cuts the file there.
pub(crate) fn write_seal<F: StorageFile>(file: &F, seal: &Seal) -> io::Result<()> {
    write_all(file, &mut [IoSlice::new(&seal.encode())], seal.position)?;
    file.sync_data()?;
    file.set_len(seal.position + SEAL_LEN as u64)
}
