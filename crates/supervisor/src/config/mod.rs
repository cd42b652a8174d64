//! The configuration: what was written, and what it [means](checked) once every value in it was found good.
//!
//! [`load`] reads a file and yields either a whole [`Config`] or all of its problems at once, each with its place,
//! what is wrong and what would be right.

use std::collections::BTreeMap;
use std::path::Path;

pub mod checked;
mod findings;

pub use checked::Config;
pub use findings::{Finding, Problems, Warning};

/// What a configuration takes from the process around it.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Name of the environment that runs; outputs of another environment are inactive.
    pub name: String,
    /// Variables that `${NAME}` stands for.
    pub variables: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of this process; those that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process(name: Option<&str>) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { name: name.unwrap_or_default().to_owned(), variables }
    }
}

/// Reads and checks the configuration at `path`.
///
/// Relative paths in it are taken from the directory of the file. Nothing but the file is read and nothing is written.
///
/// # Errors
/// Every problem of the file, in the order of its lines.
#[expect(clippy::todo, reason = "the signature lands before the body")]
pub fn load(_path: &Path, _environment: &Environment) -> Result<(Config, Vec<Warning>), Problems> {
    todo!()
}
