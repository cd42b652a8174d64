//! Keeps positions durable.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millpond_queue::Fs;
use millpond_queue::checkpoint::{BODY_BYTES_MAX, Checkpoint};
use millpond_queue::storage::{LockError, Storage};

use super::positions::{self, Stored};
use crate::inputs::InputError;

/// Name of the checkpoint; its files are `positions.a` and `positions.b`.
const NAME: &str = "positions";

/// The position files of one input. Nobody else may use them while it exists.
pub(super) struct PositionStore {
    checkpoint: Checkpoint<Fs>,
    dir: PathBuf,
}

impl PositionStore {
    /// Opens `<positions_dir>/<input>`, and gives the positions in it; `None` if the input never ran before.
    pub(super) fn open(
        positions_dir: &Path,
        input: &Arc<str>,
    ) -> Result<(Self, Option<Vec<Stored>>), InputError> {
        let dir = positions_dir.join(&**input);
        let error = |reason| InputError::Positions { input: Arc::clone(input), dir: dir.clone(), reason };
        let unwritable = |what: io::Error| {
            error(format!(
                "{what}; the user that runs millpond must be able to write there, or choose another data_dir"
            ))
        };
        let storage = Fs::create(&dir).map_err(unwritable)?;
        storage.lock().map_err(|locked| match locked {
            LockError::Io(io_error) => unwritable(io_error),
            LockError::Held { pid } => error(format!(
                "process {} uses them; stop it, or give this one another data_dir",
                pid.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string())
            )),
        })?;
        let (checkpoint, body) = Checkpoint::open(storage, NAME).map_err(|what| error(what.to_string()))?;
        let store = Self { checkpoint, dir: dir.clone() };
        let unreadable = |reason: String| {
            error(format!(
                "{reason}. To go on, put positions.a and positions.b back from a backup, or move both away: then all \
                 files are read again from where read_from says"
            ))
        };
        match body {
            Some(body) => {
                let stored = positions::decode(&body).map_err(|what| unreadable(what.to_string()))?;
                Ok((store, Some(stored)))
            }
            None if store.checkpoint.was_damaged() && !store.never_finished_a_save() => {
                Err(unreadable("both position files are damaged".to_owned()))
            }
            None => Ok((store, None)),
        }
    }

    /// Whether the very first save was interrupted: then there were no positions yet. The other file is still as it was
    /// made, while [`save_first`](Self::save_first) leaves something in both.
    fn never_finished_a_save(&self) -> bool {
        ["a", "b"].iter().any(|slot| {
            fs::read(self.dir.join(format!("{NAME}.{slot}"))).map_or_else(
                |error| error.kind() == io::ErrorKind::NotFound,
                |body| body.iter().all(|byte| *byte == 0),
            )
        })
    }

    /// Saves for the first time, into both files.
    pub(super) fn save_first<'a>(
        &mut self,
        entries: impl ExactSizeIterator<Item = &'a Stored>,
    ) -> io::Result<()> {
        let body = positions::encode(entries);
        self.save_body(&body)?;
        self.save_body(&body)
    }

    /// Makes positions durable.
    pub(super) fn save<'a>(&mut self, entries: impl ExactSizeIterator<Item = &'a Stored>) -> io::Result<()> {
        let body = positions::encode(entries);
        self.save_body(&body)
    }

    fn save_body(&mut self, body: &[u8]) -> io::Result<()> {
        if body.len() > BODY_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!(
                    "positions of so many files take {} bytes, and {BODY_BYTES_MAX} is the limit; spread the files over several inputs",
                    body.len()
                ),
            ));
        }
        self.checkpoint.save(body)
    }

    /// Where the positions are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}
