//! `millpond dead-letters`: events that can never be accepted, looked at, sent once more, given up.

use std::process::ExitCode;

mod ls;
mod purge;
mod retry;
mod show;
mod summary;
mod which;

/// Arguments of `millpond dead-letters`.
#[derive(Debug, Clone, clap::Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum DeadLettersCommand {
    /// List what was refused, and why
    Ls(ls::LsArgs),
    /// Show one of them, with its events
    Show(show::ShowArgs),
    /// Send them once more
    Retry(retry::RetryArgs),
    /// Give them up
    Purge(purge::PurgeArgs),
}

/// Runs what is asked for.
#[must_use]
pub fn run(args: &DeadLettersArgs) -> ExitCode {
    match &args.command {
        DeadLettersCommand::Ls(args) => ls::run(args),
        DeadLettersCommand::Show(args) => show::run(args),
        DeadLettersCommand::Retry(args) => retry::run(args),
        DeadLettersCommand::Purge(args) => purge::run(args),
    }
}
