//! `millpond queue verify`: every frame of every segment.

use std::process::ExitCode;

use super::super::failure::{self, Failure};

/// Arguments of `millpond queue verify`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct VerifyArgs {}

/// Runs it.
#[must_use]
pub(super) fn run(args: &VerifyArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &VerifyArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
