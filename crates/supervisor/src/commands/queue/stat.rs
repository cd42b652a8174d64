//! `millpond queue stat`: what it holds, how old it is, and when it will be through.

use std::process::ExitCode;

use super::super::failure::{self, Failure};

/// Arguments of `millpond queue stat`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StatArgs {}

/// Runs it.
#[must_use]
pub(super) fn run(args: &StatArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &StatArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
