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

    /// Reads `len` bytes from `position` on, but for those that are in memory: a file that is read strictly forwards is
    /// read ahead by the system.
    fn fill<F: StorageFile>(&mut self, file: &F, position: u64, len: u64) -> io::Result<()> {
        let len = len as usize;
        let known =
            position.checked_sub(self.at).map_or(usize::MAX, |from| from as usize).min(self.buffer.len());
        let kept = (self.buffer.len() - known).min(len);
        let mut buffer = match mem::take(&mut self.buffer).try_into_mut() {
            Ok(mut free) => {
                free.copy_within(known..known + kept, 0);
                // Bytes that are there already need not be zeroed, they are read over.
                free.resize(len, 0);
                free
            }
            Err(in_use) => {
                let mut fresh = BytesMut::zeroed(len);
                fresh[..kept].copy_from_slice(&in_use[known..known + kept]);
                fresh
            }
        };
        let read = read_full(file, &mut buffer[kept..], position + kept as u64)?;
        buffer.truncate(kept + read);
        self.buffer = buffer.freeze();
        self.at = position;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Storage as _, mem::Mem};

    /// A window gives what is in the file, wherever it is asked for, whether somebody holds a part of it or not.
    #[test]
    fn a_window_moves_over_a_file() {
        let content: Vec<u8> = (0..2_000u32).map(|at| (at * 7 % 251) as u8).collect();
        let mem = Mem::new(1 << 20);
        mem.put("file", content.clone());
        let file = mem.open("file").unwrap();
        for holds_on in [false, true] {
            let mut window = Window::new(100);
            let mut held = Vec::new();
            let mut random = fastrand::Rng::with_seed(1);
            for step in 0..400 {
                let at = if step < 66 { 30 * step } else { random.u64(..2_100) };
                let len = random.u64(..250);
                let (from, to) = (at.min(1_950), (at + len).min(1_950).max(at.min(1_950)));
                let bytes = window.get(&file, at, len, 1_950).unwrap();
                assert_eq!(bytes, content[from as usize..to as usize], "{len} at {at}");
                if holds_on {
                    held.push(bytes);
                }
            }
        }
    }
}
