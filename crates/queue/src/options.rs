//! The limits of a queue.

/// The limits of a queue. Sizes are real bytes, as the file system counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A segment is closed before it would grow beyond this; at least 64 KiB. A batch that is
    /// larger gets a segment of its own. Never more than a quarter of `size_bytes_max` is used.
    pub segment_bytes_max: u64,
    /// What all files of the queue together may occupy.
    pub size_bytes_max: u64,
    /// Free space of the file system that the queue leaves alone.
    pub free_bytes_min: u64,
    /// What may be appended and not yet committed, payloads included; bounds memory.
    pub staged_bytes_max: u64,
    /// How much a reader reads at once.
    pub read_ahead_bytes: u32,
    /// Batches just written that are kept in memory for a reader that keeps up, payloads counted.
    pub handover_bytes_max: u64,
    /// gzip level (1–9) at which batches are packed on disk; `None`: they are stored as they are. Meant for batches that
    /// are not compressed already; one that would not get smaller is stored as it is.
    pub pack: Option<u8>,
    /// How long segments are kept that every consumer has acknowledged.
    pub retain: Retain,
    /// Whether the catalog (summaries and a time index for looking around) is kept. The queue
    /// works the same without it.
    pub catalog: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes_max: 16 << 20,
            size_bytes_max: 5 << 30,
            free_bytes_min: 256 << 20,
            staged_bytes_max: 64 << 20,
            read_ahead_bytes: 1 << 20,
            handover_bytes_max: 4 << 20,
            pack: None,
            retain: Retain::default(),
            catalog: true,
        }
    }
}

/// How long delivered segments are kept, to be read once more. Whichever limit is reached first counts; with neither,
/// nothing is kept. What is kept gives way whenever the queue needs its space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retain {
    /// For this long after the delivery, in milliseconds; up to a thirtieth longer.
    pub for_ms: Option<u64>,
    /// As long as they occupy no more than this together.
    pub bytes_max: Option<u64>,
}

impl Retain {
    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.for_ms.is_some() || self.bytes_max.is_some()
    }
}
