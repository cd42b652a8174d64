//! `millpond queue export`: its events or records into a file.

use std::process::ExitCode;

use super::super::failure::{self, Failure};

/// Arguments of `millpond queue export`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ExportArgs {}

/// Runs it.
#[must_use]
pub(super) fn run(args: &ExportArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &ExportArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
