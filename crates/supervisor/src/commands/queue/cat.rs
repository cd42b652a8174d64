//! `millpond queue cat`: its events.

use std::io::Write;
use std::process::ExitCode;

use super::super::failure::{self, Failure};
use super::super::place::PlaceArgs;
use super::batches::{self, BatchArgs, Met};
use super::events::{self, EventArgs};
use crate::terminal::print;

const EXAMPLES: &str = "\
Examples:
    $ millpond queue cat --limit 10
    $ millpond queue cat --since 2h --grep 'error|timeout'
    $ millpond queue cat --all --where host=gateway-7 --limit 1";

/// Arguments of `millpond queue cat`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CatArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    batches: BatchArgs,
    #[command(flatten)]
    events: EventArgs,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &CatArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &CatArgs) -> Result<ExitCode, Failure> {
    let place = args.place.find()?;
    let storage = place.look()?;
    let unread = |error| Failure::failed(format!("{}: {error}", place.directory.display()));
    let mut walk = Walk::new(batches::walk(storage, &args.batches).map_err(unread)?, args);
    let is_whole = print::to_stdout(|out| walk.write(out)).map_err(|error| Failure::printing(&error))?;
    match walk.failure {
        Some(error) => Err(unread(error)),
        // Whoever reads has seen enough.
        None if !is_whole => Ok(ExitCode::SUCCESS),
        None if walk.troubles > 0 => Ok(ExitCode::FAILURE),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What has come of it so far.
struct Walk<'a, B> {
    batches: B,
    args: &'a CatArgs,
    troubles: u64,
    failure: Option<std::io::Error>,
}

impl<'a, B: Iterator<Item = std::io::Result<Met>>> Walk<'a, B> {
    fn new(batches: B, args: &'a CatArgs) -> Self {
        Self { batches, args, troubles: 0, failure: None }
    }

    fn write(&mut self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut left = self.args.events.limit.unwrap_or(u64::MAX);
        let between = self.args.batches.between();
        while left > 0 {
            match self.batches.next() {
                None => break,
                // Not that of writing.
                Some(Err(error)) => {
                    self.failure = Some(error);
                    break;
                }
                Some(Ok(Met::Trouble(trouble))) => self.say(&trouble),
                Some(Ok(Met::Batch { sequence, batch, .. })) => {
                    let (written, troubles) =
                        events::write_events(&batch, &self.args.events, between, left, out)?;
                    left -= written;
                    troubles.iter().for_each(|trouble| self.say(&format!("batch {sequence}, {trouble}")));
                }
            }
        }
        Ok(())
    }

    fn say(&mut self, trouble: &str) {
        self.troubles += 1;
        eprintln!("millpond: {trouble}");
    }
}
