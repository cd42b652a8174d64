//! What is found when a queue is opened, and what is made of it.

pub(crate) mod load;
pub(crate) mod scan;
pub(crate) mod verdict;

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
    /// Damage: the bytes are set aside, the batches in them cannot be delivered.
    Damaged {
        /// The segment.
        file: String,
        /// Where the bytes begin.
        position: u64,
        /// How many they are.
        bytes: u64,
        /// The first batch lost.
        first: Sequence,
        /// The sequence after the last batch lost.
        end: Sequence,
        /// What is wrong.
        reason: String,
    },
    /// Batches that were durable and that no segment holds any more.
    Missing {
        /// The first batch missing.
        first: Sequence,
        /// The sequence after the last one missing.
        end: Sequence,
    },
    /// A segment without any content, left by an interrupted creation; it is made again.
    TornCreation {
        /// The segment.
        file: String,
    },
    /// A file that was in the making when the process ended: removed.
    Leftover {
        /// The file.
        file: String,
    },
    /// The cursor was lost although there are segments: everything still there is delivered
    /// again.
    CursorLost,
    /// A slot of the cursor was damaged (or a save of it was interrupted): what was delivered
    /// since the save before is delivered again.
    CursorSlotDamaged,
    /// A slot of a named consumer's cursor was damaged, or both: it gets again what it had acknowledged since the save
    /// before, or all that is still on disk.
    ConsumerDamaged {
        /// The consumer.
        name: String,
        /// Whether nothing of its cursor is left.
        lost: bool,
    },
}

impl Finding {
    /// Whether batches are lost for good.
    pub fn is_loss(&self) -> bool {
        match self {
            Finding::Damaged { first, end, .. } | Finding::Missing { first, end } => end > first,
            _ => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::TornTail { file, position, bytes } => write!(
                f,
                "{file}: cut {bytes} bytes at {position}: a commit that a crash interrupted and that \
                 nobody was told of"
            ),
            Finding::Damaged { file, position, bytes, first, end, reason } => write!(
                f,
                "{file}: {bytes} damaged bytes at {position} ({reason}), {} batches lost from {first} on; \
                 the bytes are kept in quarantine/",
                end.0 - first.0
            ),
            Finding::Missing { first, end } => write!(
                f,
                "{} batches from {first} on are missing: they were durable, and no segment holds them \
                 any more",
                end.0 - first.0
            ),
            Finding::TornCreation { file } => {
                write!(f, "{file}: empty, its making was interrupted; it is made again when needed")
            }
            Finding::Leftover { file } => write!(f, "{file}: left by an interrupted creation, removed"),
            Finding::CursorLost => {
                f.write_str("the cursor is lost: all batches still on disk are delivered again")
            }
            Finding::ConsumerDamaged { name, lost: true } => {
                write!(f, "the cursor of consumer {name:?} is lost: it gets everything still on disk again")
            }
            Finding::ConsumerDamaged { name, lost: false } => write!(
                f,
                "one slot of the cursor of consumer {name:?} is damaged or half written: it gets again what \
                 it had acknowledged after the save before"
            ),
            Finding::CursorSlotDamaged => f.write_str(
                "one slot of the cursor is damaged or half written: batches delivered after the \
                 save before are delivered again",
            ),
        }
    }
}
