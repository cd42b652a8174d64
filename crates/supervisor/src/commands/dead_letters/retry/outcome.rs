//! What has come of a retry.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use millpond_queue::Sequence;
use serde::Serialize;

use crate::commands::dead_letters::summary;
use crate::commands::failure::Failure;
use crate::dead_letters::letters::Letter;
use crate::terminal::print;

/// Letters of one code of which it is said that they are refused again.
const SAID_MAX: u64 = 20;

/// What has come of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) stream_name: String,
    pub(super) dry_run: bool,
    /// Sent, accepted, and taken out of the dead letters; or, of a dry run, what would be sent.
    pub(super) accepted_letters: u64,
    pub(super) accepted_events: u64,
    /// Refused once more: they stay.
    pub(super) refused_letters: u64,
    /// Why, for one of each code.
    pub(super) refused: BTreeMap<String, Again>,
    /// Cannot be sent, or not be read: they stay.
    pub(super) left_letters: u64,
    /// Those that stay and have another number now.
    pub(super) renumbered_letters: u64,
    /// Why the command has stopped before its end.
    pub(super) failure: Option<String>,
    /// Those that were asked for by their numbers and are there.
    #[serde(skip)]
    pub(super) seen: BTreeSet<u64>,
}

/// Letters that were refused again.
#[derive(Debug, Default, Serialize)]
pub(super) struct Again {
    pub(super) letters: u64,
    pub(super) message: String,
}

impl Outcome {
    pub(super) fn stays(&mut self, sequence: Sequence, why: &str) {
        self.left_letters += 1;
        eprintln!("millpond: #{sequence} stays: {why}");
    }

    pub(super) fn refused(&mut self, sequence: Sequence, code: &str, message: &str) {
        self.refused_letters += 1;
        let again = self.refused.entry(code.to_owned()).or_default();
        again.letters += 1;
        let is_new = again.message != message;
        message.clone_into(&mut again.message);
        match again.letters {
            ..SAID_MAX if is_new => eprintln!("millpond: #{sequence} is refused again: {code}: {message}"),
            ..SAID_MAX => eprintln!("millpond: #{sequence} is refused again: {code}, in the same words"),
            SAID_MAX => {
                eprintln!("millpond: #{sequence} is refused again: {code}; others are counted and not named");
            }
            _ => {}
        }
    }

    pub(super) fn accepted(&mut self, letter: &Letter) {
        self.accepted_letters += 1;
        self.accepted_events += u64::from(letter.events);
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        let printed = print::to_stdout(|out| {
            if json {
                serde_json::to_writer(&mut *out, self)?;
                return out.write_all(b"\n");
            }
            self.print_words(out)
        });
        printed.map(|_| ()).map_err(|error| Failure::printing(&error))
    }

    fn print_words(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let Self { stream_name, accepted_letters, accepted_events, .. } = self;
        if self.failure.is_some() && *accepted_letters == 0 {
            // The failure says it all.
            return Ok(());
        }
        let accepted =
            format!("{}, {}", summary::letters(*accepted_letters), summary::events(*accepted_events));
        match self.dry_run {
            true => writeln!(out, "would be sent to stream {stream_name}: {accepted}")?,
            false => writeln!(out, "accepted by stream {stream_name}, and taken out: {accepted}")?,
        }
        for (code, again) in &self.refused {
            writeln!(out, "refused again, and kept: {} with {code}", summary::letters(again.letters))?;
        }
        if self.left_letters > 0 {
            writeln!(out, "cannot be sent, and kept: {}", summary::letters(self.left_letters))?;
        }
        if self.renumbered_letters > 0 {
            writeln!(out, "kept with another number: {}", summary::letters(self.renumbered_letters))?;
        }
        Ok(())
    }
}
