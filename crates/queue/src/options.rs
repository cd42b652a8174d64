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
            catalog: true,
        }
    }
}
