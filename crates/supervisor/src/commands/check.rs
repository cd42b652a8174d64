//! `millpond check`: what is wrong with a configuration, and what it means where nothing is.

use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `millpond check`.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// The configuration to check.
    #[arg(long, short, value_name = "FILE", default_value = "millpond.yaml")]
    pub config: PathBuf,
    /// Name of the environment that runs here; outputs of another environment are inactive.
    #[arg(long, value_name = "NAME", env = "MILLPOND_ENVIRONMENT")]
    pub environment: Option<String>,
    /// Prints one JSON document instead of text.
    #[arg(long)]
    pub json: bool,
    /// Prints the JSON Schema of the configuration and does nothing else.
    #[arg(long)]
    pub schema: bool,
}

/// Checks a configuration and prints what was found: exit code 0 when it is good, 1 when something outside the
/// file is wrong (a directory that cannot be written), 2 when the configuration is.
#[must_use]
#[expect(clippy::todo, reason = "the signature lands before the body")]
pub fn run(_args: &CheckArgs) -> ExitCode {
    todo!()
}
