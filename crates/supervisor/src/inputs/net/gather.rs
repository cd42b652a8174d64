//! Messages on their way into a chunk. Pure.

use bytes::Bytes;

use crate::chunk::Framing;

/// Messages, one behind the other.
#[derive(Debug, Default)]
pub(in crate::inputs) struct Gathered {
    data: Vec<u8>,
    ends: Vec<u32>,
}

impl Gathered {
    /// Adds a message.
    ///
    /// # Panics
    /// If there are more than 4 GiB; who gathers hands on long before.
    pub(in crate::inputs) fn push(&mut self, message: &[u8]) {
        self.write(|data| data.extend_from_slice(message));
    }

    /// Adds the message that `write` appends.
    ///
    /// # Panics
    /// As [`push`](Self::push).
    pub(in crate::inputs) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.data);
        self.ends.push(u32::try_from(self.data.len()).expect("less than 4 GiB are gathered"));
    }

    /// Bytes of the messages.
    pub(in crate::inputs) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// How many they are.
    pub(in crate::inputs) fn count(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Whether there is none.
    pub(in crate::inputs) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Data and framing of a chunk; nothing is kept.
    pub(in crate::inputs) fn take(&mut self) -> (Bytes, Framing) {
        let Self { data, ends } = std::mem::take(self);
        (Bytes::from(data), Framing::Ends(ends.into()))
    }
}
