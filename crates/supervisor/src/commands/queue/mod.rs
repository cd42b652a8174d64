//! `millpond queue`: a queue looked into, mended and emptied.

use std::io::{self, Write};
use std::process::ExitCode;

use super::failure::Failure;
use super::place::Place;
use crate::terminal::human;

mod batches;
mod cat;
mod drain;
pub(crate) mod events;
mod export;
mod holder;
mod ls;
mod plot;
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

/// A JSON document on a line of its own.
fn json_line(out: &mut dyn Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// The queue's files cannot be read.
fn unreadable(place: &Place, error: &io::Error) -> Failure {
    Failure::failed(format!("{}: the queue cannot be read: {error}", place.directory.display()))
}

/// A forwarder has the queue, and what is to be done needs it alone.
fn in_use(place: &Place, pid: Option<u32>) -> Failure {
    let process = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    Failure::failed(format!(
        "{} is in use by {process}: stop the forwarder, do this again, and start it",
        place.directory.display()
    ))
}

/// So many of something, in words.
fn many(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", human::count(number), if number == 1 { one } else { several })
}

fn batches(number: u64) -> String {
    many(number, "batch", "batches")
}

fn events(number: u64) -> String {
    many(number, "event", "events")
}
