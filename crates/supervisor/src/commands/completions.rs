//! `millpond completions`: what a shell needs to complete command lines.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::failure::{self, Failure};
use crate::cli::Cli;
use crate::terminal::print;

/// Arguments of `millpond completions`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
    $ millpond completions bash > millpond.bash
    $ millpond completions zsh > _millpond")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script for the shell: exit code 0.
#[must_use]
pub fn run(args: &CompletionsArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "millpond", &mut script);
    print::to_stdout(|out| out.write_all(&script)).map_err(|error| Failure::printing(&error))?;
    Ok(ExitCode::SUCCESS)
}
