//! Small things that must survive: two slots, the newest valid one counts.
//!
//! A checkpoint is two files, `NAME.a` and `NAME.b`. Saving writes the older one in place and
//! syncs it, so that the newer one is untouched until the new body is durable.

use std::{io, marker::PhantomData};

use crate::storage::Storage;

/// The largest body that can be saved.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// A named checkpoint.
pub struct Checkpoint<S: Storage> {
    todo: PhantomData<S>,
}

/// Why a checkpoint could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A newer version of this program wrote it.
    #[error("{file} has format version {version}, this program knows up to {known}: use a newer millpond")]
    Unsupported {
        /// The file, relative to the storage's directory.
        file: String,
        /// The version found.
        version: u16,
        /// The newest version known here.
        known: u16,
    },
    /// The disk did not answer.
    #[error("opening checkpoint {file}: {source}")]
    Io {
        /// The file, relative to the storage's directory.
        file: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl<S: Storage> Checkpoint<S> {
    /// Opens the checkpoint `name`, and gives the newest body that was saved completely, if any.
    /// Its two files are made when they are not there, so that a save needs no new space.
    pub fn open(storage: S, name: &str) -> Result<(Checkpoint<S>, Option<Vec<u8>>), CheckpointError> {
        todo!("{:?} {name}", storage.free_bytes())
    }

    /// Makes `body` the content of the checkpoint. After `Ok` it survives a crash; after an error
    /// either the old or the new body does.
    ///
    /// # Panics
    /// If `body` is longer than [`BODY_BYTES_MAX`].
    pub fn save(&mut self, body: &[u8]) -> io::Result<()> {
        todo!("{body:?}")
    }

    /// Whether a slot was damaged when the checkpoint was opened: an older body may have been
    /// given, or none.
    pub fn was_damaged(&self) -> bool {
        todo!()
    }
}
