//! `millpond top`: a running forwarder, live.

use std::process::ExitCode;

use super::failure::{self, Failure};

/// Arguments of `millpond top`.
#[derive(Debug, Clone, clap::Args)]
pub struct TopArgs {}

/// Runs it.
#[must_use]
pub fn run(args: &TopArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(_args: &TopArgs) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there yet"))
}
