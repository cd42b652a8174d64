//! `millpond queue cat`: its events.

use std::process::ExitCode;

use super::super::failure::{self, Failure};

/// Arguments of `millpond queue cat`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CatArgs {}

/// Runs it.
#[must_use]
pub(super) fn run(args: &CatArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &CatArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
