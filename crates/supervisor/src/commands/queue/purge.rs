//! `millpond queue purge`: what it holds is given up.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use millpond_queue::inspect::{self, Overview};
use millpond_queue::storage::LockError;
use millpond_queue::{Fs, OpenError, Options, Queue, Sequence, Storage as _, Tally};
use serde_json::json;

use super::super::failure::{self, Failure};
use super::super::place::{Place, PlaceArgs};
use super::{in_use, json_line, unreadable};
use crate::terminal::human::{self, TimeArg};
use crate::terminal::print;

const EXAMPLES: &str = "\
Examples:
    $ millpond queue purge --dry-run
    $ millpond queue purge --dry-run --until 2d
    $ millpond queue purge --to-seq 1 --yes";

/// Arguments of `millpond queue purge`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only up to the first batch with an event of this time or later, such as 2026-11-26T03:15:00Z or 2h (ago)
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,
    /// Only up to this batch, which goes as well
    #[arg(long, value_name = "SEQ", conflicts_with = "until")]
    to_seq: Option<u64>,
    /// Where the range is meant to begin: no later than the oldest batch, since a queue gives up its oldest first
    #[arg(long, value_name = "SEQ")]
    from_seq: Option<u64>,
    /// Only say what would be given up; works beside a running forwarder
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print one JSON document; needs --yes or --dry-run
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &PurgeArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &PurgeArgs) -> Result<ExitCode, Failure> {
    let place = args.place.find()?;
    let storage = place.look()?;
    let asks = !args.yes && !args.dry_run;
    if asks && (args.json || !io::stdin().is_terminal()) {
        return Err(Failure::usage(
            "what a purge gives up cannot be brought back, and there is nobody here to be asked: look with --dry-run, then say \
             --yes",
        ));
    }
    let range = Range::find(args, &storage, &place)?;
    if args.dry_run || range.lost.batches == 0 {
        say(args, &range, None)?;
        return Ok(ExitCode::SUCCESS);
    }
    is_free(&storage, &place)?;
    if asks && !is_agreed(&range)? {
        eprintln!("nothing was given up");
        return Ok(ExitCode::FAILURE);
    }
    let purged = purge(storage, &place, range.end)?;
    say(args, &range, Some(purged))?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be given up.
#[derive(Debug)]
struct Range {
    first: Sequence,
    /// The first batch that stays.
    end: Sequence,
    lost: Tally,
    /// Times of the oldest and the newest event in it.
    times_ms: Option<(i64, i64)>,
    /// Other consumers that have not seen all of it.
    consumers: Vec<String>,
}

impl Range {
    fn find(args: &PurgeArgs, storage: &Fs, place: &Place) -> Result<Self, Failure> {
        let failed = |error| unreadable(place, &error);
        let overview = inspect::overview(storage).map_err(failed)?;
        let low = overview.acked.unwrap_or(Sequence::FIRST);
        let first = overview.consumers.iter().map(|consumer| consumer.acked).fold(low, Sequence::min);
        if let Some(from) = args.from_seq.filter(|&from| from > low.0) {
            return Err(Failure::usage(format!(
                "--from-seq {from}: the oldest batch that is to be delivered is {low}, and what comes before {from} cannot stay: a \
                 queue is first in, first out, and gives up its oldest first; leave --from-seq out, or deliver what comes before"
            )));
        }
        let mut range = Self {
            first,
            end: args.to_seq.map_or(overview.end, |last| Sequence(last.saturating_add(1)).min(overview.end)),
            lost: Tally::default(),
            times_ms: None,
            consumers: Vec::new(),
        };
        let standing = inspect::standing(storage).map_err(failed)?;
        for header in inspect::headers(storage.clone(), first) {
            let header = header.map_err(failed)?;
            if args.until.is_some_and(|until| header.info.last_time_ms >= until.0) {
                range.end = range.end.min(header.sequence);
            }
            if header.sequence >= range.end {
                break;
            }
            if !standing.is_settled(header.sequence) {
                range.add(&header);
            }
        }
        range.consumers = behind(&overview, range.end);
        Ok(range)
    }

    fn add(&mut self, header: &inspect::Headed) {
        let info = header.info;
        self.lost = self.lost.plus(Tally {
            batches: 1,
            events: info.events.into(),
            payload_bytes: header.payload_bytes,
            raw_bytes: info.raw_bytes,
        });
        let (first, last) = self.times_ms.unwrap_or((info.first_time_ms, info.last_time_ms));
        self.times_ms = Some((first.min(info.first_time_ms), last.max(info.last_time_ms)));
    }

    fn words(&self) -> String {
        let Tally { batches, events, payload_bytes, .. } = self.lost;
        if batches == 0 {
            return "nothing in this range is to be delivered".to_owned();
        }
        let (batches, events) = (super::batches(batches), super::events(events));
        let times = self.times_ms.map_or_else(String::new, |(first, last)| {
            format!(",\n    from {} to {}", human::time(first), human::time(last))
        });
        format!("{events} in {batches} ({}){times}", human::bytes(payload_bytes))
    }
}

/// The named consumers that have not seen everything below `end`.
fn behind(overview: &Overview, end: Sequence) -> Vec<String> {
    let behind = overview.consumers.iter().filter(|consumer| consumer.acked < end);
    behind.map(|consumer| consumer.name.clone()).collect()
}

/// Nobody owns the queue, so that there is a point in asking.
fn is_free(storage: &Fs, place: &Place) -> Result<(), Failure> {
    match storage.lock() {
        Ok(()) => {
            storage.unlock();
            Ok(())
        }
        Err(LockError::Held { pid }) => Err(in_use(place, pid)),
        Err(LockError::Io(error)) => {
            Err(Failure::failed(format!("{}: LOCK: {error}", place.directory.display())))
        }
    }
}

/// Asks the person at the terminal.
fn is_agreed(range: &Range) -> Result<bool, Failure> {
    let mut answer = String::new();
    let mut error_out = io::stderr().lock();
    let asked = writeln!(error_out, "to be given up for good: {}", range.words())
        .and_then(|()| match &range.consumers[..] {
            [] => Ok(()),
            names => writeln!(error_out, "these consumers lose it as well: {}", names.join(", ")),
        })
        .and_then(|()| write!(error_out, "give it up? Type yes: "))
        .and_then(|()| error_out.flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    asked.map_err(|error| Failure::failed(format!("nobody could be asked: {error}")))?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

/// What a purge did.
#[derive(Debug)]
struct Purged {
    lost: Tally,
    reclaimed_bytes: u64,
}

fn purge(storage: Fs, place: &Place, end: Sequence) -> Result<Purged, Failure> {
    let at = place.directory.display();
    // What was delivered is kept as the configuration says; without one, nobody says so.
    let options = place
        .owner
        .as_ref()
        .map_or_else(Options::default, |owner| crate::output::queue_options(&owner.output().queue));
    let (mut queue, _) = Queue::open(storage, options).map_err(|error| match error {
        OpenError::Locked { pid } => in_use(place, pid),
        error => Failure::failed(format!("{at}: {error}")),
    })?;
    let before = queue.stats();
    let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("{at}: giving up: {error}"));
    queue.purge(end).map_err(|error| failed(&error))?;
    let now_ms = crate::clock::unix_ms();
    let outcome = queue.checkpoint(now_ms).map_err(|error| failed(&error))?;
    let (now, was) = (queue.stats().losses.purged, before.losses.purged);
    queue.close(now_ms).map_err(|error| failed(&error))?;
    Ok(Purged {
        lost: Tally {
            batches: now.batches - was.batches,
            events: now.events - was.events,
            payload_bytes: now.payload_bytes - was.payload_bytes,
            raw_bytes: now.raw_bytes - was.raw_bytes,
        },
        reclaimed_bytes: outcome.reclaimed_bytes,
    })
}

fn say(args: &PurgeArgs, range: &Range, purged: Option<Purged>) -> Result<(), Failure> {
    let lost = purged.as_ref().map_or(range.lost, |purged| purged.lost);
    print::to_stdout(|out| {
        if args.json {
            let document = json!({
                "done": purged.is_some(),
                "reason": "purged",
                "first_seq": range.first.0,
                "end_seq": range.end.0,
                "batches": lost.batches,
                "events": lost.events,
                "payload_bytes": lost.payload_bytes,
                "raw_bytes": lost.raw_bytes,
                "oldest_event_ms": range.times_ms.map(|(first, _)| first),
                "newest_event_ms": range.times_ms.map(|(_, last)| last),
                "consumers_behind": range.consumers,
                "reclaimed_bytes": purged.as_ref().map(|purged| purged.reclaimed_bytes),
            });
            return json_line(out, &document);
        }
        match &purged {
            None if lost.batches == 0 => writeln!(out, "{}", range.words())?,
            None => writeln!(out, "would be given up: {}", range.words())?,
            Some(purged) => {
                let (batches, events) = (super::batches(lost.batches), super::events(lost.events));
                writeln!(out, "given up: {events} in {batches}, counted as `purged`")?;
                let back = human::bytes(purged.reclaimed_bytes);
                writeln!(out, "given back: {back} on disk; space comes back by whole segments")?;
            }
        }
        match &range.consumers[..] {
            [] => Ok(()),
            names => writeln!(out, "consumers that had not seen all of it: {}", names.join(", ")),
        }
    })
    .map_err(|error| Failure::printing(&error))?;
    Ok(())
}
