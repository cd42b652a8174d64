//! A sealed buffer becomes the bytes that Kinesis gets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};

use crate::batch::{Batch, BatchMeta, Format, TableBuilder};
use crate::record::{HEADER_BYTES_MAX, header_len, header_line};

/// The gzip level unless the configuration says otherwise.
///
/// Measured on records of 1 MiB with real lines of seven sources, wrapped as `_raw`, `_time`, `host`
/// and `source` (`examples/compression_levels.rs`; processor time on a 2.8 GHz Xeon; the mean of each
/// source alone and of all mixed line by line; in brackets all mixed):
///
/// | level | ratio | MB/s |
/// |---|---|---|
/// | 1 | 12.0 (9.9) | 440 (383) |
/// | 3 | 12.4 (10.4) | 297 (226) |
/// | 5 | 13.3 (11.0) | 241 (194) |
/// | **6** | **14.5 (11.4)** | **199 (165)** |
/// | 7 | 15.4 (12.6) | 135 (118) |
/// | 9 | 15.7 (12.7) | 60 (61) |
///
/// From 5 to 6, a fifth more work saves 8 % of the bytes; from 6 to 7, half as much work again saves
/// 6 %; beyond that, twice the work saves 2 %. Bytes are what a thin link and a full disk lack, and
/// a core at level 6 packs a hundred times what such a link carries.
pub const COMPRESSION_LEVEL_DEFAULT: u8 = 6;

/// Events that will become one [`Batch`]: sealed, not yet encoded. Send it to a worker.
#[derive(Debug)]
pub struct Sealed {
    pub(crate) meta: BatchMeta,
    /// The events, behind [`HEADER_BYTES_MAX`] bytes of room where the format has a header.
    pub(crate) buffer: Vec<u8>,
    /// Keys of all records; record ends for [`Format::Event`].
    pub(crate) table: TableBuilder,
    /// Where the buffer goes when it is encoded.
    pub(crate) spares: Arc<Spares>,
}

/// Buffers of batches that are encoded, for batches to come. A new one costs a page fault for every
/// 4 KiB of it, and growing to its size a copy of what is in it.
#[derive(Debug)]
pub(crate) struct Spares {
    buffers: Mutex<Vec<Vec<u8>>>,
    /// One that an event too large for a record has made larger is not kept.
    capacity_max: usize,
}

impl Spares {
    /// None yet.
    pub(crate) fn new(capacity_max: usize) -> Spares {
        Spares { buffers: Mutex::default(), capacity_max }
    }

    /// An empty buffer, of some capacity if there is one.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.lock().pop().unwrap_or_default()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spares = self.lock();
        if spares.len() < IDLE_MAX && buffer.capacity() <= self.capacity_max {
            spares.push(buffer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sealed {
    /// Events inside.
    pub fn events(&self) -> u32 {
        self.meta.events
    }

    /// Bytes of the events before compression, as in [`Batch::raw_bytes`].
    pub fn raw_bytes(&self) -> u64 {
        self.meta.raw_bytes
    }

    /// Encodes: header line, and gzip where the format has it. `compression_level` 1 (fast) to
    /// 9 (small); without gzip it means nothing. Uses the processor for milliseconds: run it on a
    /// worker, not on the reactor.
    pub fn encode(mut self, compression_level: u8) -> Batch {
        let begin = self.write_header();
        let buffer = std::mem::take(&mut self.buffer);
        let data = match self.meta.format {
            Format::Gzip => {
                let data = gzip(&buffer[begin..], compression_level);
                self.spares.give_back(buffer);
                data
            }
            Format::Ndjson | Format::Event | Format::Opaque => self.keep(buffer, begin),
        };
        if self.meta.format != Format::Event {
            self.table.end_record(data.len(), None);
        }
        self.table.build(self.meta, data)
    }

    /// The buffer itself where it is well filled, a copy where it would hold on to memory for nothing.
    fn keep(&self, buffer: Vec<u8>, begin: usize) -> Bytes {
        if buffer.len() >= buffer.capacity() / 2 {
            return Bytes::from(buffer).slice(begin..);
        }
        let data = Bytes::copy_from_slice(&buffer[begin..]);
        self.spares.give_back(buffer);
        data
    }

    /// Writes the header line into the room in front of the events. Returns where the record begins.
    fn write_header(&mut self) -> usize {
        if self.meta.format == Format::Event {
            return 0;
        }
        let count = self.meta.events;
        let size = u32::try_from(self.buffer.len() - HEADER_BYTES_MAX).expect("a record is below 4 GiB");
        assert_eq!(u64::from(size), self.meta.raw_bytes, "raw bytes are the body's");
        let begin = HEADER_BYTES_MAX - header_len(count, size);
        self.buffer[begin..HEADER_BYTES_MAX].copy_from_slice(header_line(count, size).as_bytes());
        begin
    }
}

/// What one compression needs, kept for the next. A compressor takes up to about 1 MB, and the
/// output as much as the largest record.
struct Gzipper {
    level: u8,
    compressor: Compressor,
    output: Vec<u8>,
}

/// Idle gzippers. Shared by all threads, so that their number follows how many encode at the same
/// time and not how many threads there are.
static IDLE: Mutex<Vec<Gzipper>> = Mutex::new(Vec::new());

/// More than this many are not kept. Two cores are what an edge box has.
const IDLE_MAX: usize = 2;

/// gzip of `input` in one member, with no file name and no time in its header: the same input gives
/// the same bytes.
pub fn gzip(input: &[u8], level: u8) -> Bytes {
    let mut gzipper = take(level.clamp(1, 9));
    let bound = gzipper.compressor.gzip_compress_bound(input.len());
    if gzipper.output.len() < bound {
        // Fresh zeroed memory takes no room until it is written to, and most records are packed well.
        gzipper.output = vec![0; bound];
    }
    let size = gzipper
        .compressor
        .gzip_compress(input, &mut gzipper.output)
        .expect("the output is as large as the bound that the compressor gave");
    let output = Bytes::copy_from_slice(&gzipper.output[..size]);
    give_back(gzipper);
    output
}

fn take(level: u8) -> Gzipper {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let fitting = idle.iter().position(|gzipper| gzipper.level == level);
    if let Some(index) = fitting {
        return idle.swap_remove(index);
    }
    drop(idle);
    let lvl = CompressionLvl::new(i32::from(level)).expect("1 to 9 are levels");
    Gzipper { level, compressor: Compressor::new(lvl), output: Vec::new() }
}

fn give_back(gzipper: Gzipper) {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.len() == IDLE_MAX {
        idle.remove(0);
    }
    idle.push(gzipper);
}
