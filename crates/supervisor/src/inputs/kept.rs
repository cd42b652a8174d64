//! Keeps durable what an input must know after a restart: two files, of which the newest good one counts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millpond_queue::Fs;
use millpond_queue::checkpoint::{BODY_BYTES_MAX, Checkpoint};
use millpond_queue::storage::{LockError, Storage};

use super::InputError;

/// Name of the checkpoint; its files are `positions.a` and `positions.b`.
const NAME: &str = "positions";

/// The files of one input. Nobody else may use them while it exists.
pub(super) struct Kept {
    checkpoint: Checkpoint<Fs>,
    dir: PathBuf,
    input: Arc<str>,
}

impl Kept {
    /// Opens `<positions_dir>/<input>`, and gives what is kept there; `None` if the input never ran before.
    ///
    /// # Errors
    /// [`InputError::Positions`]
    pub(super) fn open(
        positions_dir: &Path,
        input: &Arc<str>,
    ) -> Result<(Self, Option<Vec<u8>>), InputError> {
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
        let kept = Self { checkpoint, dir: dir.clone(), input: Arc::clone(input) };
        if body.is_none() && kept.checkpoint.was_damaged() && !kept.never_finished_a_save() {
            return Err(kept.unreadable("both position files are damaged"));
        }
        Ok((kept, body))
    }

    /// What is kept makes no sense.
    pub(super) fn unreadable(&self, reason: impl std::fmt::Display) -> InputError {
        InputError::Positions {
            input: Arc::clone(&self.input),
            dir: self.dir.clone(),
            reason: format!(
                "{reason}. To go on, put positions.a and positions.b back from a backup, or move both away: then \
                 everything is read again from where read_from says"
            ),
        }
    }

    /// It could not be made durable.
    pub(super) fn unsaved(&self, error: &io::Error) -> InputError {
        InputError::Positions {
            input: Arc::clone(&self.input),
            dir: self.dir.clone(),
            reason: format!("{error}; make room on its disk and let the user that runs millpond write there"),
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
    pub(super) fn save_first(&mut self, body: &[u8]) -> io::Result<()> {
        self.save(body)?;
        self.save(body)
    }

    /// Makes it durable.
    pub(super) fn save(&mut self, body: &[u8]) -> io::Result<()> {
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
}
