//! `millpond queue show`: one batch.

use std::process::ExitCode;

use millpond_queue::Sequence;
use millpond_queue::inspect::{self, Whereabouts};

use super::super::failure::{self, Failure};
use super::super::place::PlaceArgs;
use super::{json_line, unreadable};
use crate::terminal::human;
use crate::terminal::print;

mod batch;

use batch::Shown;

const EXAMPLES: &str = "\
Examples:
    $ millpond queue show 1
    $ millpond queue show 1 --json
    $ millpond queue show 1 --path millpond-data/queues/main";

/// Arguments of `millpond queue show`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// The batch's number, as `queue ls` and the log have it
    #[arg(value_name = "SEQ")]
    sequence: u64,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &ShowArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let place = args.place.find()?;
    let storage = place.look()?;
    let failed = |error| unreadable(&place, &error);
    let (sequence, number) = (Sequence(args.sequence), human::count(args.sequence));
    let shown = match inspect::find(&storage, sequence).map_err(failed)? {
        Whereabouts::Here { file, position, bytes, packed, frame } => {
            let settled = inspect::standing(&storage).map_err(failed)?.is_settled(sequence);
            Shown { file, position, bytes, packed, frame, settled }
        }
        Whereabouts::Damaged(damage) => {
            return Err(Failure::failed(format!(
                "batch {number} cannot be read: {} at {}, {} bytes: {}; `millpond queue verify` names all such places",
                damage.file, damage.position, damage.bytes, damage.reason
            )));
        }
        Whereabouts::Missing => {
            return Err(Failure::failed(format!(
                "batch {number} should be here and is in no file: was a file of {} removed?",
                place.directory.display()
            )));
        }
        Whereabouts::Gone => {
            return Err(Failure::failed(format!(
                "batch {number} has gone: it was delivered or given up, and its space was given back"
            )));
        }
        Whereabouts::NotYet { end } => {
            return Err(Failure::failed(format!(
                "there is no batch {number} yet: the next one will be {}",
                human::count(end.0)
            )));
        }
        other => return Err(Failure::failed(format!("batch {number}: {other:?}"))),
    };
    let now_ms = crate::clock::unix_ms();
    print::to_stdout(
        |out| if args.json { json_line(out, &shown.json()) } else { shown.write_text(out, now_ms) },
    )
    .map_err(|error| Failure::printing(&error))?;
    Ok(ExitCode::SUCCESS)
}
