//! `millpond dead-letters retry`: sent once more.

use std::process::ExitCode;

use super::super::failure::{self, Failure};

/// Arguments of `millpond dead-letters retry`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RetryArgs {}

/// Runs it.
#[must_use]
pub(super) fn run(args: &RetryArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &RetryArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
