//! `millpond queue`: a queue looked into, mended and emptied.

use std::process::ExitCode;

mod batches;
mod cat;
pub(crate) mod events;
mod export;
mod ls;
mod purge;
mod repair;
mod show;
mod stat;
mod verify;

/// Arguments of `millpond queue`.
#[derive(Debug, Clone, clap::Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum QueueCommand {
    /// List the segments
    Ls(ls::LsArgs),
    /// Say what it holds, how old it is, and when it will be through
    Stat(stat::StatArgs),
    /// Show one batch: its header and its records
    Show(show::ShowArgs),
    /// Print its events, one JSON object a line
    Cat(cat::CatArgs),
    /// Check every frame of every segment
    Verify(verify::VerifyArgs),
    /// Write its events or records into a file
    Export(export::ExportArgs),
    /// Set aside what cannot be read
    Repair(repair::RepairArgs),
    /// Give up what it holds
    Purge(purge::PurgeArgs),
}

/// Runs what is asked for.
#[must_use]
pub fn run(args: &QueueArgs) -> ExitCode {
    match &args.command {
        QueueCommand::Ls(args) => ls::run(args),
        QueueCommand::Stat(args) => stat::run(args),
        QueueCommand::Show(args) => show::run(args),
        QueueCommand::Cat(args) => cat::run(args),
        QueueCommand::Verify(args) => verify::run(args),
        QueueCommand::Export(args) => export::run(args),
        QueueCommand::Repair(args) => repair::run(args),
        QueueCommand::Purge(args) => purge::run(args),
    }
}
