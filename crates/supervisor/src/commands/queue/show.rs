//! `millpond queue show`: one batch.

use std::process::ExitCode;

use super::super::failure::{self, Failure};

/// Arguments of `millpond queue show`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ShowArgs {}

/// Runs it.
#[must_use]
pub(super) fn run(args: &ShowArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &ShowArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
