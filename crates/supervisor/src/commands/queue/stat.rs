//! `millpond queue stat`: what it holds, how old it is, and when it will be through.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use millpond_queue::inspect::{self, Mark, Overview};
use millpond_queue::{DropReason, Fs, Sequence, Storage as _, Tally};

use super::super::failure::{self, Failure};
use super::super::place::{Place, PlaceArgs};
use super::drain::{self, Sight};
use super::{holder, json_line, unreadable};
use crate::config::units::Period;
use crate::terminal::print;

mod report;

use report::{Limits, Report};

/// Up to so many pending batches, the header of each is looked at for the plot; else the summary of each segment.
const HEADERS_MAX: u64 = 2_000;

const EXAMPLES: &str = "\
Examples:
    $ millpond queue stat
    $ millpond queue stat --measure 2s
    $ millpond queue stat --json
    $ millpond queue stat --path millpond-data/queues/main";

/// Arguments of `millpond queue stat`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Look twice, this long apart, to know how fast it drains; without it, the last two saves of the cursor tell
    #[arg(long, value_name = "DURATION")]
    measure: Option<Period>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &StatArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &StatArgs) -> Result<ExitCode, Failure> {
    let place = args.place.find()?;
    let storage = place.look()?;
    let report = look(&place, &storage, args.measure.map(|period| period.0))
        .map_err(|error| unreadable(&place, &error))?;
    print::to_stdout(|out| if args.json { json_line(out, &report.json()) } else { report.write_text(out) })
        .map_err(|error| Failure::printing(&error))?;
    Ok(ExitCode::SUCCESS)
}

fn look(place: &Place, storage: &Fs, measure: Option<Duration>) -> io::Result<Report> {
    let before = measure.map(|_| sights(storage)).transpose()?;
    if let Some(duration) = measure {
        std::thread::sleep(duration);
    }
    let overview = inspect::overview(storage)?;
    let now_ms = crate::clock::unix_ms();
    let pending = overview.pending.batches;
    let [later, earlier] = sights(storage)?;
    let drain = match before {
        None => drain::by_last_saves(earlier, later, pending, now_ms),
        Some([before, _]) => drain::by_two_looks(before, later, pending),
    };
    Ok(Report {
        directory: place.directory.display().to_string(),
        output: place.owner.as_ref().map(|owner| owner.output().id.clone()),
        // Who owns it is a courtesy: where it cannot be found out, the rest is worth as much.
        holder: holder::of(&place.directory).unwrap_or_default(),
        stretches: stretches(storage, &overview)?,
        limits: place.owner.as_ref().map(|owner| {
            let queue = &owner.output().queue;
            Limits { size_bytes_max: queue.size_bytes_max, free_bytes_min: queue.free_bytes_min }
        }),
        free_bytes: storage.free_bytes()?,
        overview,
        drain,
        now_ms,
    })
}

/// Where the cursor was at its last two saves, the newest first.
fn sights(storage: &Fs) -> io::Result<[Option<Sight>; 2]> {
    let mut marks = inspect::marks(storage)?.into_iter();
    let mut sight = || marks.next().map(|mark| sight(storage, &mark)).transpose();
    Ok([sight()?, sight()?])
}

fn sight(storage: &Fs, mark: &Mark) -> io::Result<Sight> {
    let saved = std::fs::metadata(storage.directory().join(&mark.file))?.modified()?;
    let at_ms = saved.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Ok(Sight {
        at_ms: i64::try_from(at_ms).unwrap_or(i64::MAX),
        generation: mark.generation,
        settled: mark.settled,
        durable: mark.durable.0,
    })
}

/// What is to be delivered, by event time.
fn stretches(storage: &Fs, overview: &Overview) -> io::Result<Vec<super::plot::Stretch>> {
    let pending = overview.segments.iter().filter(|segment| segment.pending.events > 0);
    if overview.pending.batches <= HEADERS_MAX {
        let standing = inspect::standing(storage)?;
        let from = overview.acked.unwrap_or(Sequence::FIRST);
        let headers = inspect::headers(storage.clone(), from);
        return headers
            .filter(|header| header.as_ref().map_or(true, |header| !standing.is_settled(header.sequence)))
            .map(|header| {
                let info = header?.info;
                Ok((info.first_time_ms, info.last_time_ms, info.events.into()))
            })
            .collect();
    }
    let stretch = |segment: &inspect::Segment| {
        let last = segment.last_time_ms?;
        // Of the segment that is being delivered, only what is still to come counts.
        let first = match overview.oldest {
            Some(oldest) if segment.pending.batches < segment.batches => oldest.first_time_ms.min(last),
            _ => segment.first_time_ms?,
        };
        Some((first, last, segment.pending.events))
    };
    Ok(pending.filter_map(stretch).collect())
}

/// What was given up, by reason, and all together.
fn losses(overview: &Overview) -> (Vec<(&'static str, Tally)>, Tally) {
    let by_reason: Vec<_> = DropReason::ALL
        .into_iter()
        .map(|reason| (crate::driver::policy_name(reason), overview.losses.of(reason)))
        .collect();
    let all = by_reason.iter().fold(Tally::default(), |sum, &(_, lost)| sum.plus(lost));
    (by_reason, all)
}
