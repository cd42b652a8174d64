//! `millpond replay`: what is queued, retained or salvaged is sent, anywhere.

use std::process::ExitCode;

use super::failure::{self, Failure};

/// Arguments of `millpond replay`.
#[derive(Debug, Clone, clap::Args)]
pub struct ReplayArgs {}

/// Runs it.
#[must_use]
pub fn run(args: &ReplayArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &ReplayArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
