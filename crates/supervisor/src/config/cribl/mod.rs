//! Translates the Kinesis destinations of a Cribl `outputs.yml` into a configuration of millpond, and says what could
//! not be carried over.
//!
//! Names, defaults and meanings are those of Cribl's documentation of its destination "Amazon Kinesis Data Streams",
//! and of the models of its published SDKs. Nothing is guessed: what is computed inside of Cribl, or kept by it, is
//! replaced by a variable or secret that must be set before millpond starts, and is reported. Pure: no I/O.

use std::path::Path;

use super::Environment;
use super::findings::{Finding, Problems, Warning};
use super::tree::{self, Entry, Value};
use super::units::Fault;

mod auth;
mod document;
mod notes;
mod outputs;
mod quantity;
mod queue;
mod read;
mod settings;
mod surroundings;
#[cfg(test)]
mod tests;
mod write;

use notes::Notes;
use outputs::Outputs;

/// Longest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = tree::FILE_BYTES_MAX;

/// What came of a file.
#[derive(Debug)]
pub struct Import {
    /// The configuration; nothing if no destination could be translated.
    pub configuration: Option<String>,
    /// Destinations that were translated.
    pub translated: usize,
    /// Destinations that the file holds.
    pub found: usize,
    /// What could not be carried over, or means something else now, in the order of the file.
    pub notes: Vec<Warning>,
    /// What is wrong with the configuration; nothing, unless the translation itself has a defect.
    pub problems: Vec<Finding>,
}

/// Translates the bytes of an `outputs.yml`. `file` is what notes call it.
///
/// # Errors
/// The file is too long, no UTF-8, no YAML, or holds no destinations.
pub fn import(bytes: &[u8], file: &str) -> Result<Import, Problems> {
    if bytes.len() > FILE_BYTES_MAX {
        let remedy = "is this the right file? at most 1 MiB is read; import a part of it at a time";
        return Err(Problems::of_file(file, Fault::new("is too long", remedy)));
    }
    let source = std::str::from_utf8(bytes)
        .map_err(|_| Problems::of_file(file, Fault::new("is not UTF-8", "save it as UTF-8")))?;
    // An error is told without its line, which may hold a secret of a destination of any kind.
    let root = tree::parse(source).map_err(|error| Problems::of_hidden_syntax(file, error))?;
    let notes = Notes::new(file);
    let section = root.as_ref().and_then(|root| section_of(&root.value, &notes));
    let (entries, prefix) = section.ok_or_else(|| no_outputs(file))?;
    let outputs = Outputs::translate(entries, prefix, &notes);
    let configuration = (outputs.translated > 0).then(|| document::document(file, &outputs));
    let problems = configuration.as_deref().map_or_else(Vec::new, |yaml| problems_of(yaml, &outputs));
    let Outputs { translated, stopped, .. } = outputs;
    Ok(Import {
        configuration,
        translated,
        found: entries.len(),
        notes: notes.into_findings(stopped),
        problems,
    })
}

/// The destinations by id, and what their ids follow in the path of a key. They stand under `outputs`, or alone.
fn section_of<'a>(root: &'a Value, notes: &Notes<'_>) -> Option<(&'a [Entry], &'static str)> {
    let Value::Map(entries) = root else {
        return None;
    };
    if let Some(wrapper) = entries.iter().find(|entry| entry.key == "outputs") {
        let Value::Map(outputs) = &*wrapper.node.value else {
            return None;
        };
        for entry in entries.iter().filter(|entry| entry.at != wrapper.at) {
            let fault = Fault::new(
                "is not translated: only the first section `outputs` is",
                "see what it does in Cribl",
            );
            notes.add(entry.at, &entry.key, None, fault);
        }
        return (!outputs.is_empty()).then_some((outputs.as_slice(), "outputs."));
    }
    let has_type = |entry: &Entry| match &*entry.node.value {
        Value::Map(settings) => settings.iter().any(|setting| setting.key == "type"),
        _ => false,
    };
    entries.iter().any(has_type).then_some((entries.as_slice(), ""))
}

fn no_outputs(file: &str) -> Problems {
    let remedy =
        "name Cribl's outputs.yml: a section `outputs` with the settings of each destination under its id";
    Problems::of_file(file, Fault::new("holds no destinations of Cribl", remedy))
}

/// What is wrong with the configuration where all that it refers to is set.
fn problems_of(yaml: &str, outputs: &Outputs) -> Vec<Finding> {
    let environment = Environment {
        name: outputs.environment.clone(),
        variables: outputs.surroundings.variables(),
        secrets_elsewhere: true,
    };
    let checked = super::parse(yaml, "the configuration made of it", Path::new("/"), &environment);
    checked.err().map_or_else(Vec::new, |problems| problems.problems)
}
