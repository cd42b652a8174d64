//! `millpond dead-letters purge`: given up.

use std::process::ExitCode;

use super::super::failure::{self, Failure};

/// Arguments of `millpond dead-letters purge`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PurgeArgs {}

/// Runs it.
#[must_use]
pub(super) fn run(args: &PurgeArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &PurgeArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
