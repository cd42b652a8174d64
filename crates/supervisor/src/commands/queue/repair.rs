//! `millpond queue repair`: what cannot be read is set aside.

use std::process::ExitCode;

use super::super::failure::{self, Failure};

/// Arguments of `millpond queue repair`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RepairArgs {}

/// Runs it.
#[must_use]
pub(super) fn run(args: &RepairArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &RepairArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
