//! `millpond queue repair`: what cannot be read is set aside.

use std::process::ExitCode;

use millpond_queue::OpenError;
use millpond_queue::repair::{self, Step};
use serde_json::{Value, json};

use super::super::failure::{self, Failure};
use super::super::place::PlaceArgs;
use super::{in_use, json_line};
use crate::terminal::print;

const EXAMPLES: &str = "\
Examples:
    $ millpond queue repair --dry-run
    $ millpond queue repair
    $ millpond queue repair --dry-run --path millpond-data/queues/main";

/// Arguments of `millpond queue repair`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only say what would be done; works beside a running forwarder
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object a step
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &RepairArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &RepairArgs) -> Result<ExitCode, Failure> {
    let place = args.place.find()?;
    let storage = place.look()?;
    let steps = if args.dry_run { repair::plan(&storage) } else { repair::repair(&storage) };
    let steps = steps.map_err(|error| match error {
        OpenError::Locked { pid } => in_use(&place, pid),
        error => Failure::failed(format!("{}: {error}", place.directory.display())),
    })?;
    print::to_stdout(|out| {
        if args.json {
            return steps.iter().try_for_each(|step| json_line(out, &step_json(step, !args.dry_run)));
        }
        if steps.is_empty() {
            return writeln!(out, "there is nothing to repair");
        }
        steps.iter().try_for_each(|step| writeln!(out, "{}", words(step, !args.dry_run)))
    })
    .map_err(|error| Failure::printing(&error))?;
    // A plan with something in it has found a problem; a repair has ended it.
    Ok(if args.dry_run && !steps.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A step that was done, or would be.
fn words(step: &Step, done: bool) -> String {
    let is = |was: &'static str, would: &'static str| if done { was } else { would };
    match step {
        Step::Copy { file, position, bytes, first, end, reason } => {
            let lost = match end.0 - first.0 {
                0 => "no batch is lost".to_owned(),
                1 => format!("batch {first} is lost"),
                batches => format!("{batches} batches from {first} on are lost"),
            };
            let copied = is("copied into quarantine/", "would be copied into quarantine/");
            format!("{file} at {position}, {bytes} bytes: {reason}; {lost}: {copied}")
        }
        Step::Move { file, reason } => {
            format!("{file}: {reason}: {}", is("moved into quarantine/", "would be moved into quarantine/"))
        }
        Step::Remove { file } => {
            format!("{file}: left by an interrupted creation: {}", is("removed", "would be removed"))
        }
        step => step.to_string(),
    }
}

fn step_json(step: &Step, done: bool) -> Value {
    match step {
        Step::Copy { file, position, bytes, first, end, reason } => json!({
            "step": "copy", "done": done, "file": file, "position": position, "bytes": bytes,
            "first_seq": first.0, "end_seq": end.0, "reason": reason,
        }),
        Step::Move { file, reason } => {
            json!({ "step": "move", "done": done, "file": file, "reason": reason })
        }
        Step::Remove { file } => json!({ "step": "remove", "done": done, "file": file }),
        Step::Catalog { reason } => json!({ "step": "catalog", "done": done, "reason": reason }),
        step => json!({ "step": "other", "done": done, "reason": step.to_string() }),
    }
}
