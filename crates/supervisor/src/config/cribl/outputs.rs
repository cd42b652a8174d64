//! Which destinations become outputs.

use std::collections::HashMap;

use super::notes::Notes;
use super::read::Destination;
use super::settings;
use super::surroundings::Surroundings;
use super::write::{self, Yaml};
use crate::config::names;
use crate::config::tree::{self, Entry, Position, Value};
use crate::config::units::Fault;

/// Longest text of all outputs: what a configuration may hold, with room for what stands around them. Aliases make a
/// short file long, so that the file's own length is no bound.
const BYTES_MAX: usize = tree::FILE_BYTES_MAX - (64 << 10);

/// The outputs that destinations became.
pub(super) struct Outputs {
    /// Their settings, as lines of YAML.
    pub(super) yaml: String,
    /// How many there are.
    pub(super) translated: usize,
    /// What they refer to.
    pub(super) surroundings: Surroundings,
    /// The environment of one of them, if one has any.
    pub(super) environment: String,
    /// Where the translation stopped before the end of the file, and why.
    pub(super) stopped: Option<(Position, String, Fault)>,
}

impl Outputs {
    /// Translates the destinations that can be. `prefix` is what their ids follow in the path of a key.
    pub(super) fn translate(entries: &[Entry], prefix: &str, notes: &Notes<'_>) -> Self {
        let mut outputs = Self {
            yaml: String::new(),
            translated: 0,
            surroundings: Surroundings::new(with_keys(entries) <= 1),
            environment: String::new(),
            stopped: None,
        };
        let mut firsts: HashMap<&str, Position> = HashMap::new();
        for entry in entries {
            let path = format!("{prefix}{}", entry.key);
            let first = *firsts.entry(&entry.key).or_insert(entry.at);
            let taken = if notes.is_full() {
                Err("there is too much to say about what is above")
            } else if first != entry.at {
                let message = format!("is there twice; the first, on line {}, is translated", first.line);
                notes.add(entry.at, &path, None, Fault::new(message, "see which of them Cribl uses"));
                Ok(())
            } else {
                outputs.take(entry, path.clone(), notes)
            };
            if let Err(reason) = taken {
                let fault = Fault::new(
                    format!("is not translated, and nothing below it is: {reason}"),
                    "see to what is said, or take the rest of the file for itself",
                );
                outputs.stopped = Some((entry.at, path, fault));
                break;
            }
        }
        outputs
    }

    /// Adds the output that a destination becomes, if it becomes one; fails when there is no room for it.
    fn take(&mut self, entry: &Entry, path: String, notes: &Notes<'_>) -> Result<(), &'static str> {
        let Some(from) = Destination::open(notes, path, entry) else {
            return Ok(());
        };
        if !is_translated(&from) {
            return Ok(());
        }
        let output = settings::output(&from, &self.surroundings);
        let before = self.yaml.len();
        write::section(&entry.key, &output.0, 1, &mut self.yaml);
        if self.yaml.len() > BYTES_MAX {
            self.yaml.truncate(before);
            return Err("a configuration holds at most 1 MiB");
        }
        self.translated += 1;
        let environment = output.0.into_iter().find(|(key, _)| key == "environment");
        if let Some((_, Yaml::Text(name))) = environment
            && self.environment.is_empty()
        {
            self.environment = name;
        }
        Ok(())
    }
}

/// Whether a destination becomes an output; if not, it is reported.
fn is_translated(from: &Destination<'_>) -> bool {
    match from.plain_text("type") {
        Some("kinesis") => {}
        Some(_) => {
            let fault = Fault::new(
                "is not translated: it is no Kinesis destination, and millpond has no other outputs",
                "leave it to Cribl, or to another program",
            );
            from.note("type", fault);
            return false;
        }
        None => {
            from.note("type", Fault::new("is not there: it is not translated", "see what it is in Cribl"));
            return false;
        }
    }
    if from.flag("disabled") == Some(true) {
        let fault = Fault::new(
            "is not translated: the destination is switched off",
            "set it to false, and import again, if it is wanted",
        );
        from.note("disabled", fault);
        return false;
    }
    if let Err(fault) = names::check_id(from.id) {
        let remedy = format!("rename the destination, and import again: {}", fault.remedy);
        from.note_on_itself(Fault::new(format!("is not translated: its id {}", fault.message), remedy));
        return false;
    }
    true
}

/// How many destinations have keys of their own.
fn with_keys(entries: &[Entry]) -> usize {
    let says = |entry: &Entry, key: &str, expected: &str| match &*entry.node.value {
        Value::Map(settings) => settings.iter().any(|setting| {
            setting.key == key
                && matches!(&*setting.node.value, Value::Scalar { text, .. } if text == expected)
        }),
        _ => false,
    };
    let with_keys = |entry: &&Entry| {
        says(entry, "type", "kinesis")
            && says(entry, "awsAuthenticationMethod", "manual")
            && !says(entry, "disabled", "true")
    };
    entries.iter().filter(with_keys).take(2).count()
}
