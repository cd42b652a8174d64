//! What came of a replay.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::course::{Amount, Lacking, Progress};
use super::run::Ended;
use crate::counters::OutputCounters;
use crate::terminal::human;

/// How it ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every batch of the range was accepted.
    Complete,
    /// All was sent that can be, and something is lacking.
    Incomplete,
    /// It was told to stop; the same command goes on.
    Interrupted,
    /// It could not go on.
    Failed,
}

/// What one run has done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ThisRun {
    /// Batches, events, bytes and times of what is through (of what would be sent, with `--dry-run`).
    #[serde(flatten)]
    pub amount: AmountJson,
    /// Events that were sent, repetitions included.
    pub sent_events: u64,
    /// Events that the service accepted.
    pub accepted_events: u64,
    /// Events that were sent again, although they may have arrived.
    pub repeated_events: u64,
    /// Records that were throttled or failed alone, and were sent again.
    pub retried_records: u64,
    /// Events that were refused for good.
    pub rejected_events: u64,
    /// How long it took.
    pub duration_secs: f64,
    /// Accepted events in a second.
    pub events_per_sec: f64,
}

/// How much, as it stands in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AmountJson {
    batches: u64,
    events: u64,
    wire_bytes: u64,
    first_event_ms: Option<i64>,
    last_event_ms: Option<i64>,
}

impl From<Amount> for AmountJson {
    fn from(amount: Amount) -> Self {
        let Amount { batches, events, bytes, first_event_ms, last_event_ms } = amount;
        Self { batches, events, wire_bytes: bytes, first_event_ms, last_event_ms }
    }
}

/// What all runs of one name have done together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AllRuns {
    /// What is through.
    #[serde(flatten)]
    pub amount: AmountJson,
    /// Events of it that were refused for good.
    pub rejected_events: u64,
}

/// What is known from the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heading {
    /// The name of the replay; none with `--consume`.
    pub name: Option<String>,
    /// The directory that is read.
    pub queue: PathBuf,
    /// The stream that it goes to.
    pub stream: String,
    /// Where that is.
    pub region: String,
    /// And at which endpoint.
    pub endpoint: Option<String>,
    /// Nothing is sent.
    pub dry_run: bool,
    /// Batches that are pending are left to the process that owns the queue.
    pub left_to_owner: bool,
    /// That process, if it has said so.
    pub owner_pid: Option<u32>,
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// How it ended.
    pub outcome: Outcome,
    /// What it was.
    #[serde(flatten)]
    pub heading: Heading,
    /// This run.
    pub this_run: ThisRun,
    /// All runs of its name.
    pub all_runs: AllRuns,
    /// What could not be sent.
    #[serde(flatten)]
    pub lacking: Lacking,
    /// Where refused events are kept, if there are any.
    pub dead_letters: Option<PathBuf>,
    /// Why it could not go on.
    pub failure: Option<String>,
    /// What a person wants to know.
    pub notes: Vec<String>,
}

impl Summary {
    /// Of a run that has ended.
    #[must_use]
    pub fn new(
        heading: Heading,
        ended: &Ended,
        progress: &Progress,
        counters: &OutputCounters,
        dead_letters: PathBuf,
        took: Duration,
    ) -> Self {
        let course = &progress.course;
        let (accepted, rejected) = (counters.delivered_events.get(), counters.dead_letters.get());
        let repeated = counters.repeated_events.get();
        let amount = if heading.dry_run { progress.given } else { progress.settled };
        let failure = match ended {
            Ended::Failed(reason) => Some(reason.clone()),
            Ended::Through | Ended::Interrupted => progress.failure.clone(),
        };
        let through = heading.dry_run || course.is_settled();
        let whole = through && course.lacking == Lacking::default() && course.rejected_events == 0;
        let outcome = match ended {
            _ if failure.is_some() => Outcome::Failed,
            Ended::Interrupted => Outcome::Interrupted,
            _ if whole && !heading.left_to_owner => Outcome::Complete,
            _ => Outcome::Incomplete,
        };
        let seconds = took.as_secs_f64();
        Self {
            outcome,
            heading,
            this_run: ThisRun {
                amount: amount.into(),
                sent_events: accepted + rejected + repeated,
                accepted_events: accepted,
                repeated_events: repeated,
                retried_records: counters.retried_records.get(),
                rejected_events: rejected,
                duration_secs: seconds,
                events_per_sec: if seconds > 0.0 { accepted as f64 / seconds } else { 0.0 },
            },
            all_runs: AllRuns { amount: course.settled.into(), rejected_events: course.rejected_events },
            lacking: course.lacking,
            dead_letters: (course.rejected_events > 0).then_some(dead_letters),
            failure,
            notes: progress.notes(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heading { name, queue, stream, region, endpoint, .. } = &self.heading;
        let place = endpoint.as_ref().unwrap_or(region);
        writeln!(f, "{} to stream {stream} ({place})", queue.display())?;
        if let Some(name) = name {
            row(f, "name", name)?;
        }
        if self.heading.dry_run {
            row(f, "would send", &amount(&self.this_run.amount))?;
        } else {
            self.fmt_run(f)?;
        }
        if let (Some(first), Some(last)) =
            (self.this_run.amount.first_event_ms, self.this_run.amount.last_event_ms)
        {
            row(f, "events from", &format!("{} to {}", human::time(first), human::time(last)))?;
        }
        self.fmt_lacking(f)?;
        self.notes.iter().try_for_each(|note| row(f, "note", note))?;
        writeln!(f, "{}", self.last_words())
    }
}

impl Summary {
    fn fmt_run(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.this_run;
        row(f, "accepted", &format!("{} events", human::count(run.accepted_events)))?;
        row(f, "through", &amount(&run.amount))?;
        if self.all_runs.amount.batches > run.amount.batches {
            row(f, "all runs", &amount(&self.all_runs.amount))?;
        }
        let retried = human::count(run.retried_records);
        row(
            f,
            "again",
            &format!("{retried} records retried, {} events repeated", human::count(run.repeated_events)),
        )?;
        let took = human::span(Duration::from_secs_f64(run.duration_secs));
        row(f, "took", &format!("{took}, {} events/s", human::count(run.events_per_sec.round() as u64)))
    }

    fn fmt_lacking(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(directory) = &self.dead_letters {
            let rejected = human::count(self.all_runs.rejected_events);
            row(f, "refused", &format!("{rejected} events for good: kept in {}", directory.display()))?;
        }
        let Lacking { damaged_places, damaged_batches, missing_batches, foreign_batches } = self.lacking;
        if damaged_places > 0 {
            row(f, "damaged", &format!("{damaged_batches} batches in {damaged_places} places"))?;
        }
        if missing_batches > 0 {
            row(f, "missing", &format!("{missing_batches} batches"))?;
        }
        if foreign_batches > 0 {
            row(f, "not sent", &format!("{foreign_batches} batches that are no records"))?;
        }
        if self.heading.left_to_owner {
            row(f, "left", &format!("what is pending, to {}", owner(self.heading.owner_pid)))?;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let nothing = self.this_run.amount.batches == 0;
        match self.outcome {
            Outcome::Complete if self.heading.dry_run => {
                "nothing was sent and nothing was written".to_owned()
            }
            Outcome::Complete if nothing && self.all_runs.amount.batches > 0 => {
                "nothing left to send: all of it was accepted before; --again sends it once more".to_owned()
            }
            Outcome::Complete if nothing => "nothing to send: no batch is in this range".to_owned(),
            Outcome::Complete => "complete: every batch of the range was accepted".to_owned(),
            Outcome::Incomplete if self.heading.dry_run => {
                "nothing was sent; not all of the range can be".to_owned()
            }
            Outcome::Incomplete => {
                "incomplete: all was sent that can be, but not all of the range".to_owned()
            }
            Outcome::Interrupted => "interrupted: the same command goes on".to_owned(),
            Outcome::Failed => {
                format!(
                    "failed: {}; the same command goes on",
                    self.failure.as_deref().unwrap_or("no reason given")
                )
            }
        }
    }
}

/// The process that owns a queue, in words.
#[must_use]
pub fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "the process that owns the queue".to_owned(),
        |pid| format!("process {pid}, which owns the queue"),
    )
}

fn amount(amount: &AmountJson) -> String {
    format!(
        "{} batches, {} events, {}",
        human::count(amount.batches),
        human::count(amount.events),
        human::bytes(amount.wire_bytes)
    )
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, words: &str) -> fmt::Result {
    writeln!(f, "  {name:<12}{words}")
}
