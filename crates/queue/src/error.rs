//! One error per operation; each variant is a decision for the caller.

use std::{fmt, io};

use crate::{batch::Sequence, checkpoint::CheckpointError};

/// Why the queue takes nothing more for now. None of these is a failure: room comes back when
/// batches are acknowledged, or when somebody frees space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FullReason {
    /// The next segment would take the queue over `size_bytes_max`.
    SizeMax,
    /// The next segment would leave less than `free_bytes_min` on the file system.
    FreeMin,
    /// The file system (or a quota on it) has no space left.
    NoSpace,
    /// `staged_bytes_max` is reached: commit first.
    Staged,
}

impl fmt::Display for FullReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FullReason::SizeMax => "the queue has reached its size limit",
            FullReason::FreeMin => "the file system has no more than the free space to be left",
            FullReason::NoSpace => "no space left on the file system of the queue",
            FullReason::Staged => "too much is appended and not committed",
        })
    }
}

/// Why a queue could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns the queue.
    #[error("the queue is in use by {}; stop it, or use another directory", owner(*pid))]
    Locked {
        /// The process, as it wrote itself into the lock file.
        pid: Option<u32>,
    },
    /// A file was written by a newer version of this program.
    #[error("{file} has format version {version}, this program knows up to {known}: use a newer millpond")]
    Unsupported {
        /// The file, relative to the queue's directory.
        file: String,
        /// The version found.
        version: u16,
        /// The newest version known here.
        known: u16,
    },
    /// A file has the name of a segment and is none of this queue.
    #[error("{file} is not a segment of this queue ({reason}): move it out of the directory")]
    Foreign {
        /// The file, relative to the queue's directory.
        file: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The disk did not answer; nothing was decided and nothing changed for good.
    #[error("opening the queue: {doing}: {source}")]
    Io {
        /// What was being done, and to which file.
        doing: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl From<CheckpointError> for OpenError {
    fn from(error: CheckpointError) -> OpenError {
        match error {
            CheckpointError::Unsupported { file, version, known } => {
                OpenError::Unsupported { file, version, known }
            }
            CheckpointError::Io { file, source } => {
                OpenError::Io { doing: format!("reading {file}"), source }
            }
        }
    }
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Why a batch was not staged.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No room for now: try again later, or do what the policy for a full queue says.
    #[error("{0}")]
    Full(FullReason),
    /// The batch can never be stored.
    #[error("a batch of {bytes} bytes is more than the {bytes_max} a queue can hold")]
    TooLarge {
        /// Payload bytes of the batch.
        bytes: u64,
        /// Payload bytes possible.
        bytes_max: u64,
    },
    /// The queue has reached the last sequence that there is, which takes forged files: nothing can be appended any
    /// more.
    #[error("the queue has used up its sequences: empty it, move its directory away, and start a new one")]
    UsedUp,
    /// The file system could not be asked for its free space.
    #[error("asking the file system for its free space: {0}")]
    Failed(io::Error),
}

/// Why staged batches are not durable. They stay staged in every case; what became durable
/// before the error is in `Queue::durable`.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// No room for now: call again later. Nothing half-written is visible.
    #[error("{0}")]
    Full(FullReason),
    /// Writing failed, in the segment and in a new one as well.
    #[error("writing to the queue failed, in a new segment as well: {0}")]
    Failed(io::Error),
}

/// Why nothing could be read. Damage is never an error: it is set aside, counted and skipped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk did not answer. The reader stays where it is; call again, or give up.
    #[error("reading {file} at sequence {sequence}: {source}")]
    Io {
        /// The segment, relative to the queue's directory.
        file: String,
        /// The sequence that was wanted.
        sequence: Sequence,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A segment was written by a newer version of this program. Nothing is passed over.
    #[error("{file} has format version {version}, this program knows up to {known}: use a newer millpond")]
    Unsupported {
        /// The segment, relative to the queue's directory.
        file: String,
        /// The version found.
        version: u16,
        /// The newest version known here.
        known: u16,
    },
    /// A file has the name of a segment and is none of this queue. Nothing is passed over.
    #[error(
        "{file} is not a segment of this queue ({reason}): move it out of the directory, and start again"
    )]
    Foreign {
        /// The file, relative to the queue's directory.
        file: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Why a consumer could not be added.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// A name that cannot be part of a file name everywhere.
    #[error("{name:?} is no name for a consumer: it has 1 to 64 letters, digits, `-`, `_` and `.`")]
    Name {
        /// The name.
        name: String,
    },
    /// A newer version of this program wrote its cursor.
    #[error("{file} has format version {version}, this program knows up to {known}: use a newer millpond")]
    Unsupported {
        /// The file, relative to the queue's directory.
        file: String,
        /// The version found.
        version: u16,
        /// The newest version known here.
        known: u16,
    },
    /// No room for its cursor for now.
    #[error("{0}")]
    Full(FullReason),
    /// Its cursor could not be written.
    #[error("writing the consumer's cursor: {0}")]
    Io(io::Error),
}

/// What of a checkpoint did not work; what comes before it did. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointFailed {
    /// Damaged bytes could not be set aside, so nothing was removed.
    #[error("setting damaged bytes aside: {0}")]
    Damage(#[source] io::Error),
    /// A cursor could not be written: after a crash, what it has passed is read again.
    #[error("writing the cursor: {0}")]
    Cursor(#[source] io::Error),
    /// The cursors are durable, and delivered segments still take up space.
    #[error("giving back the space of what was delivered: {0}")]
    Reclaim(#[source] io::Error),
}

/// Why a queue did not close cleanly. What had been committed is durable all the same; the next
/// open recovers.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// Staged batches could not be made durable.
    #[error("committing what was staged: {0}")]
    Commit(#[from] CommitError),
    /// The tail could not be sealed.
    #[error("closing the queue: {0}")]
    Io(#[from] io::Error),
    /// The last checkpoint failed.
    #[error("closing the queue: {0}")]
    Checkpoint(#[from] CheckpointFailed),
}
