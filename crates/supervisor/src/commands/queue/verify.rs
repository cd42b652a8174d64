//! `millpond queue verify`: every frame of every segment.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use millpond_queue::Fs;
use millpond_queue::inspect::{Checked, Damage, Verify};
use serde::Serialize;

use super::super::failure::{self, Failure};
use super::super::place::PlaceArgs;
use super::{batches, json_line, many, unreadable};
use crate::terminal::human;
use crate::terminal::print;

const EXAMPLES: &str = "\
Examples:
    $ millpond queue verify
    $ millpond queue verify --json
    $ millpond queue verify --path millpond-data/queues/main";

/// Arguments of `millpond queue verify`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object for each damaged place, then one with the totals
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &VerifyArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let place = args.place.find()?;
    let checks = Verify::new(place.look()?).map_err(|error| unreadable(&place, &error))?;
    let mut totals = None;
    let mut failed = None;
    print::to_stdout(|out| {
        match check(checks, args.json, out)? {
            Ok(found) => totals = Some(found),
            Err(error) => failed = Some(error),
        }
        Ok(())
    })
    .map_err(|error| Failure::printing(&error))?;
    if let Some(error) = failed {
        return Err(unreadable(&place, &error));
    }
    // Whoever reads and has gone away has seen that there is damage.
    Ok(if totals.is_some_and(|totals| totals.damaged_places == 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a check amounts to.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Totals {
    segments: u64,
    batches: u64,
    events: u64,
    payload_bytes: u64,
    read_bytes: u64,
    damaged_places: u64,
    set_aside_places: u64,
    damaged_bytes: u64,
    lost_batches: u64,
}

impl Totals {
    fn add(&mut self, checked: &Checked) {
        match checked {
            // What forged files say need not add up.
            Checked::Damaged(damage) => {
                let lost = damage.end.0.saturating_sub(damage.first.0);
                self.damaged_places += 1;
                self.set_aside_places += u64::from(damage.set_aside);
                self.damaged_bytes = self.damaged_bytes.saturating_add(damage.bytes);
                self.lost_batches = self.lost_batches.saturating_add(lost);
            }
            Checked::Segment { bytes, batches, events, payload_bytes, .. } => {
                self.segments += 1;
                self.batches = self.batches.saturating_add(*batches);
                self.events = self.events.saturating_add(*events);
                self.payload_bytes = self.payload_bytes.saturating_add(*payload_bytes);
                self.read_bytes = self.read_bytes.saturating_add(*bytes);
            }
            _ => {}
        }
    }
}

/// Checks everything, and says what is damaged as it is found. The outer error is one of printing, the inner one of
/// reading.
fn check(checks: Verify<Fs>, json: bool, out: &mut dyn Write) -> io::Result<Result<Totals, io::Error>> {
    let (start, bar) = (Instant::now(), bar(checks.bytes()));
    let mut totals = Totals::default();
    for checked in checks {
        let checked = match checked {
            Ok(checked) => checked,
            Err(error) => {
                bar.finish_and_clear();
                return Ok(Err(error));
            }
        };
        totals.add(&checked);
        match &checked {
            Checked::Frame { bytes } => bar.inc(*bytes),
            Checked::Damaged(damage) => bar.suspend(|| {
                if json {
                    json_line(out, &DamageJson::of(damage))
                } else {
                    writeln!(out, "{}", words(damage))
                }?;
                out.flush()
            })?,
            _ => {}
        }
    }
    bar.finish_and_clear();
    if json {
        return json_line(out, &TotalsJson { kind: "totals", totals }).map(|()| Ok(totals));
    }
    let took = start.elapsed();
    let per_second = (totals.read_bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
    let segments = many(totals.segments, "segment", "segments");
    let good = many(totals.batches, "batch is good", "batches are good");
    let read = human::bytes(totals.read_bytes);
    writeln!(
        out,
        "{good} in {segments}; {read} read in {}, {}/s",
        human::span(took),
        human::bytes(per_second)
    )?;
    if totals.damaged_places > 0 {
        let places = many(totals.damaged_places, "place is damaged", "places are damaged");
        let (bytes, lost) = (human::bytes(totals.damaged_bytes), batches(totals.lost_batches));
        let next = if totals.set_aside_places == totals.damaged_places {
            "the bytes are in quarantine/, and the place goes with its segment when the rest of it is delivered"
        } else {
            "`millpond queue repair` sets the bytes aside"
        };
        writeln!(out, "{places} ({bytes}), {lost} cannot be read; {next}")?;
    }
    Ok(Ok(totals))
}

/// A bar on a terminal, nothing elsewhere.
fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    bar.set_style(style.expect("the template is a constant"));
    bar
}

fn words(damage: &Damage) -> String {
    let Damage { file, position, bytes, first, end, reason, .. } = damage;
    let lost = match end.0.saturating_sub(first.0) {
        0 => "no batch is lost".to_owned(),
        1 => format!("batch {first} cannot be read"),
        batches => format!("{batches} batches, {first} to {}, cannot be read", end.0 - 1),
    };
    format!("{file} at {position}, {bytes} bytes: {reason}; {lost}")
}

#[derive(Serialize)]
struct DamageJson<'a> {
    kind: &'static str,
    file: &'a str,
    position: u64,
    bytes: u64,
    first_seq: u64,
    end_seq: u64,
    reason: &'a str,
    set_aside: bool,
}

impl<'a> DamageJson<'a> {
    fn of(damage: &'a Damage) -> Self {
        Self {
            kind: "damage",
            file: &damage.file,
            position: damage.position,
            bytes: damage.bytes,
            first_seq: damage.first.0,
            end_seq: damage.end.0,
            reason: &damage.reason,
            set_aside: damage.set_aside,
        }
    }
}

#[derive(Serialize)]
struct TotalsJson {
    kind: &'static str,
    #[serde(flatten)]
    totals: Totals,
}
