//! The `millpond` command.

use std::process::ExitCode;

use clap::Parser as _;
use millpond::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
