//! The configuration: what was written, and what it [means](checked) once every value in it was found good.
//!
//! [`load`] reads a file and yields either a whole [`Config`] or all of its problems at once, each with its place,
//! what is wrong and what would be right.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

pub mod checked;
mod context;
pub mod cribl;
mod excerpt;
mod findings;
mod listen;
pub(crate) mod names;
mod read;
#[cfg(test)]
mod reference;
mod schema;
pub mod secrets;
mod section;
mod settings;
mod tree;
pub mod units;
mod values;
mod variables;
mod words;

pub use checked::Config;
use context::Context;
pub use findings::{Finding, Problems, Severity, Warning};
pub use schema::schema;
use units::Fault;
pub(crate) use words::nearest as words_nearest;

/// What a configuration takes from the process around it.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Name of the environment that runs; outputs of another environment are inactive.
    pub name: String,
    /// Variables that `${NAME}` stands for.
    pub variables: BTreeMap<String, String>,
    /// The configuration is for another machine: its secrets need not be here.
    pub secrets_elsewhere: bool,
}

impl Environment {
    /// The variables of this process; those that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process(name: Option<&str>) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { name: name.unwrap_or_default().to_owned(), variables, secrets_elsewhere: false }
    }
}

/// Reads and checks the configuration at `path`.
///
/// Relative paths in it are taken from the directory of the file. Nothing but the file and the programs that it names is
/// read, and nothing is written.
///
/// # Errors
/// Every problem of the file, in the order of its lines.
pub fn load(path: &Path, environment: &Environment) -> Result<(Config, Vec<Warning>), Problems> {
    let file = path.display().to_string();
    let whole = |fault: Fault| Problems::of_file(&file, fault);
    let source = read_file(path).map_err(whole)?;
    let directory = std::path::absolute(path).map_err(|error| {
        whole(Fault::new(format!("cannot be found: {error}"), "name it with its whole path"))
    })?;
    let directory = directory.parent().unwrap_or(&directory);
    parse(&source, &file, directory, environment)
}

/// Checks the text of a configuration. `file` is what findings call it; relative paths start from `directory`.
///
/// # Errors
/// Every problem of the text, in the order of its lines.
pub fn parse(
    source: &str,
    file: &str,
    directory: &Path,
    environment: &Environment,
) -> Result<(Config, Vec<Warning>), Problems> {
    let root = match tree::parse(source) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let remedy = "docs/configuration.md shows the least that it must hold";
            return Err(Problems::of_file(file, Fault::new("is empty", remedy)));
        }
        Err(error) => return Err(Problems::of_syntax(file, source, error)),
    };
    let context = Context::new(file, source, directory, environment);
    let config = read::config(&context, &root);
    let (problems, warnings) = context.into_findings();
    match config {
        Some(config) if problems.is_empty() => Ok((config, warnings)),
        _ => {
            assert!(!problems.is_empty(), "a configuration that is not read has a problem");
            Err(Problems { problems, warnings })
        }
    }
}

/// The least that a configuration holds.
const MINIMAL: &str = "\
inputs:
  app:
    type: file
    include: [\"/var/log/app/*.log\"]
outputs:
  main:
    type: kinesis
    stream_name: logs
    region: eu-west-1
";

fn no_file_remedy() -> String {
    let begin = "name the configuration with --config FILE, or begin with this one:\n".to_owned();
    let remedy = MINIMAL.lines().fold(begin, |text, line| text + "\n      " + line);
    remedy + "\n\n    Every setting is in docs/configuration.md."
}

/// The text of the file, if it is text and not far too long.
fn read_file(path: &Path) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(tree::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Fault::new("there is no such file", no_file_remedy()),
        _ => Fault::new(format!("cannot be read: {error}"), "see that it is a file which this user may read"),
    })?;
    if bytes.len() > tree::FILE_BYTES_MAX {
        let remedy = "is this the right file? a configuration has at most 1 MiB";
        return Err(Fault::new("is too long for a configuration", remedy));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        Fault::new(format!("is not UTF-8 on line {line}"), "save it as UTF-8")
    })
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
