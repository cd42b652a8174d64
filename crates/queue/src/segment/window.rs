//! The part of a file that is in memory.

use std::{io, mem};

use bytes::{Bytes, BytesMut};

use super::read_full;
use crate::storage::StorageFile;

/// A piece of a file, read ahead. Slices of it are given out without copying; the buffer is used
/// again once all of them are dropped.
#[derive(Debug)]
pub(crate) struct Window {
    buffer: Bytes,
    at: u64,
    read_ahead: u64,
}

impl Window {
    pub(crate) fn new(read_ahead: u32) -> Window {
        Window { buffer: Bytes::new(), at: 0, read_ahead: read_ahead.into() }
    }

    /// How much is read at once from now on.
    pub(crate) fn read_ahead(&mut self, bytes: u32) {
        self.read_ahead = bytes.into();
    }

    /// The bytes from `position` on: `len` of them, or fewer if the file, or what may be looked
    /// at of it, ends before.
    pub(crate) fn get<F: StorageFile>(
        &mut self,
        file: &F,
        position: u64,
        len: u64,
        limit: u64,
    ) -> io::Result<Bytes> {
        let len = len.min(limit.saturating_sub(position));
        if position < self.at || position + len > self.at + self.buffer.len() as u64 {
            self.fill(file, position, len.max(self.read_ahead).min(limit.saturating_sub(position)))?;
        }
        let from = (position - self.at) as usize;
        let to = (from + len as usize).min(self.buffer.len());
        Ok(self.buffer.slice(from..to))
    }

    /// Forgets what was read, because the file changed or is another one.
    pub(crate) fn clear(&mut self) {
        self.buffer = Bytes::new();
        self.at = 0;
    }

    fn fill<F: StorageFile>(&mut self, file: &F, position: u64, len: u64) -> io::Result<()> {
        let len = len as usize;
        let mut buffer = match mem::take(&mut self.buffer).try_into_mut() {
            Ok(mut free) => {
                // Bytes that are there already need not be zeroed, they are read over.
                free.resize(len, 0);
                free
            }
            Err(_in_use) => BytesMut::zeroed(len),
        };
        let read = read_full(file, &mut buffer, position)?;
        buffer.truncate(read);
        self.buffer = buffer.freeze();
        self.at = position;
        Ok(())
    }
}
