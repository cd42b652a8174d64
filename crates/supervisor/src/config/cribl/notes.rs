//! What could not be carried over, collected while a file is translated.

use std::cell::RefCell;

use crate::config::context::finding;
use crate::config::findings::{Finding, Severity, Warning};
use crate::config::tree::Position;
use crate::config::units::Fault;

/// Most notes on one file. Aliases make a short file long, so that their number must have a bound of its own.
const NOTES_MAX: usize = 1000;

/// Notes on one file.
pub(super) struct Notes<'a> {
    file: &'a str,
    found: RefCell<Vec<Warning>>,
}

impl<'a> Notes<'a> {
    /// `file` is what notes call the file.
    pub(super) fn new(file: &'a str) -> Self {
        Self { file, found: RefCell::default() }
    }

    /// Adds a note on the value, or without one on the key, at a place.
    pub(super) fn add(&self, at: Position, key: &str, value: Option<&str>, fault: Fault) {
        if !self.is_full() {
            self.found.borrow_mut().push(self.finding(at, key, value, fault));
        }
    }

    /// Whether there are so many notes that no more is translated.
    pub(super) fn is_full(&self) -> bool {
        self.found.borrow().len() >= NOTES_MAX
    }

    /// The notes in the order of the file, and at the end where the translation stopped, if it did.
    pub(super) fn into_findings(self, stopped: Option<(Position, String, Fault)>) -> Vec<Warning> {
        let stopped = stopped.map(|(at, key, fault)| self.finding(at, &key, None, fault));
        let mut found = self.found.into_inner();
        found.sort_by_key(|note| (note.line, note.column));
        found.extend(stopped);
        found
    }

    fn finding(&self, at: Position, key: &str, value: Option<&str>, fault: Fault) -> Finding {
        finding(self.file, Severity::Warning, at, key, value, fault)
    }
}
