//! Keeps positions durable.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::positions::{self, Stored};
use crate::inputs::InputError;
use crate::inputs::kept::Kept;

/// The position files of one input. Nobody else may use them while it exists.
pub(super) struct PositionStore(Kept);

impl PositionStore {
    /// Opens `<positions_dir>/<input>`, and gives the positions in it; `None` if the input never ran before.
    pub(super) fn open(
        positions_dir: &Path,
        input: &Arc<str>,
    ) -> Result<(Self, Option<Vec<Stored>>), InputError> {
        let (kept, body) = Kept::open(positions_dir, input)?;
        let stored = body.map(|body| positions::decode(&body)).transpose();
        let stored = stored.map_err(|what| kept.unreadable(what))?;
        Ok((Self(kept), stored))
    }

    /// Saves for the first time, into both files.
    pub(super) fn save_first<'a>(
        &mut self,
        entries: impl ExactSizeIterator<Item = &'a Stored>,
    ) -> io::Result<()> {
        self.0.save_first(&positions::encode(entries))
    }

    /// Makes positions durable.
    pub(super) fn save<'a>(&mut self, entries: impl ExactSizeIterator<Item = &'a Stored>) -> io::Result<()> {
        self.0.save(&positions::encode(entries))
    }

    /// Positions could not be made durable.
    pub(super) fn unsaved(&self, error: &io::Error) -> InputError {
        self.0.unsaved(error)
    }
}
