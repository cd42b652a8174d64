//! What was found when the queue was opened.

use std::fmt;

use crate::batch::Sequence;

/// What opening the queue found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Where the consumer goes on: the first sequence that is not acknowledged.
    pub acked: Sequence,
    /// The first sequence that is not durable.
    pub durable: Sequence,
    /// Segments on disk.
    pub segments: u64,
    /// Segments that had to be read from end to end, because no seal described them.
    pub scanned_segments: u64,
    /// Everything out of the ordinary, in the order found; for the log.
    pub findings: Vec<Finding>,
}

/// Something out of the ordinary that was found in the files of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The last commit before a crash was incomplete and had never been confirmed: cut off.
    TornTail {
        /// The segment.
        file: String,
        /// Where it was cut.
        position: u64,
        /// Bytes cut off.
        bytes: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::TornTail {
                file,
                position,
                bytes,
            } => {
                write!(
                    f,
                    "{file}: cut {bytes} bytes at {position}: a commit that a crash interrupted and that nobody was told of"
                )
            }
        }
    }
}
