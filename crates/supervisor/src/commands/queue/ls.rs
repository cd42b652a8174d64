//! `millpond queue ls`: the segments.

use std::process::ExitCode;

use super::super::failure::{self, Failure};

/// Arguments of `millpond queue ls`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LsArgs {}

/// Runs it.
#[must_use]
pub(super) fn run(args: &LsArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &LsArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
