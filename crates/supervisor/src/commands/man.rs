//! `millpond man`: manual pages, made of what `--help` says.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::failure::{self, Failure};
use crate::cli::Cli;
use crate::terminal::print;

/// Arguments of `millpond man`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
    $ millpond man | head -20
    $ millpond man --dir .")]
pub struct ManArgs {
    /// Write a page for every command into this directory, such as /usr/local/share/man/man1, instead of printing that of
    /// `millpond`
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Prints or writes the pages: exit code 0.
#[must_use]
pub fn run(args: &ManArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &ManArgs) -> Result<ExitCode, Failure> {
    let mut command = Cli::command();
    command.build();
    match &args.dir {
        None => {
            let page = page(command).map_err(|error| Failure::printing(&error))?;
            print::to_stdout(|out| out.write_all(&page)).map_err(|error| Failure::printing(&error))?;
        }
        Some(directory) => write_all(directory, command)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

/// Writes the page of a command, and those of its subcommands.
fn write_all(directory: &Path, command: clap::Command) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let path = directory.join(format!("{name}.1"));
    let subcommands: Vec<_> =
        command.get_subcommands().filter(|command| command.get_name() != "help").cloned().collect();
    let written = page(command).and_then(|page| std::fs::write(&path, page));
    written.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    subcommands.into_iter().try_for_each(|command| write_all(directory, command))
}
