//! A sealed buffer becomes the bytes that Kinesis gets.

use crate::batch::Batch;

/// TODO figures.
pub const COMPRESSION_LEVEL_DEFAULT: u8 = 6;

/// Events that will become one [`Batch`]: sealed, not yet encoded. Send it to a worker.
#[derive(Debug)]
pub struct Sealed {
    pub(crate) todo: (),
}

impl Sealed {
    /// Events inside.
    pub fn events(&self) -> u32 {
        todo!("{:?}", self.todo)
    }

    /// Bytes of the events before compression, as in [`Batch::raw_bytes`].
    pub fn raw_bytes(&self) -> u64 {
        todo!()
    }

    /// Encodes: header line, and gzip where the format has it. `compression_level` 1 (fast) to
    /// 9 (small); without gzip it means nothing. Uses the processor for milliseconds: run it on a
    /// worker, not on the reactor.
    pub fn encode(self, compression_level: u8) -> Batch {
        todo!("{compression_level}")
    }

    /// Like [`Sealed::encode`], and gives the buffer back for [`crate::Batcher::recycle`] if it is
    /// free again (with gzip it always is).
    pub fn encode_recycling(self, compression_level: u8) -> (Batch, Option<Vec<u8>>) {
        todo!("{compression_level}")
    }
}
