//! What an input counts.

use super::http::RequestCounters;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters and gauges of one input; all of them since the process started.
#[derive(Debug, Default)]
pub struct InputCounters {
    /// Lines handed to the outputs.
    pub events: Count,
    /// Bytes of these lines, line ends included.
    pub bytes: Count,
    /// Lines that were cut to the longest allowed length.
    pub lines_cut: Count,
    /// Bytes left out of lines that were cut.
    pub bytes_cut: Count,
    /// Lines read again because an output dropped them without delivering them.
    pub chunks_resent: Count,
    /// Files known now (gauge).
    pub files: Count,
    /// Files open now (gauge).
    pub files_open: Count,
    /// Files that were renamed away and replaced.
    pub rotations: Count,
    /// Files that became shorter or were written anew in place.
    pub truncations: Count,
    /// Files that were deleted.
    pub deletions: Count,
    /// Bytes known to have been in a file, and gone before they could be read.
    pub bytes_lost: Count,
    /// Failures to open, look at or read a file or directory.
    pub read_errors: Count,
    /// Directories whose changes are not reported by the operating system; they are looked at from time to time (gauge).
    pub unwatched_dirs: Count,
    /// Times that positions were made durable.
    pub positions_saved: Count,
    /// Times that positions could not be made durable.
    pub position_errors: Count,
    /// Connections open now (gauge).
    pub connections: Count,
    /// Connections that were let in.
    pub connections_total: Count,
    /// Connections that were refused because too many were open.
    pub connections_refused: Count,
    /// Connections that failed, and failures to let one in or to receive.
    pub connection_errors: Count,
    /// Connections that were closed because nobody can tell where a message ends in them.
    pub framing_errors: Count,
    /// Messages whose connection ended before they did; they are taken as far as they came.
    pub incomplete: Count,
    /// Messages that are not what the input reads, and were wrapped as text.
    pub unparsed: Count,
    /// Messages with bytes that are not UTF-8, which were replaced. Only where the input itself makes JSON of them.
    pub not_utf8: Count,
    /// Datagrams that the kernel dropped because they were not read in time, where it tells.
    pub datagrams_dropped: Count,
    /// Events of inputs without acknowledgement that were read, and are neither delivered nor durable.
    pub events_lost: Count,
    /// Events that the input's pipeline has aborted on.
    pub filtered: Count,
    /// Events that the input's pipeline has failed on and that were dropped (`on_error: drop`).
    pub pipeline_failed: Count,
    /// Events that no output takes (`where`).
    pub unrouted: Count,
    /// Requests by what became of them.
    pub requests: RequestCounters,
    /// Chunks handed over and neither delivered nor durable yet (gauge).
    pub chunks_in_flight: Count,
}

/// One number that the input changes and anybody reads.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }
}
