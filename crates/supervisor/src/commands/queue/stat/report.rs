//! What `stat` says, for a person and for a program.

use std::io::{self, Write};
use std::time::Duration;

use millpond_queue::Tally;
use millpond_queue::inspect::Overview;
use serde_json::{Map, Value, json};

use super::super::drain::{Drain, Pace};
use super::super::many;
use super::super::plot::{self, Ink, Stretch};
use super::losses;
use crate::terminal::human;

/// What the configuration allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) size_bytes_max: u64,
    pub(super) free_bytes_min: u64,
}

/// Where a batch is not compressed, its record table makes it a little larger.
const PACKED_MIN: f64 = 1.05;
/// Less than this, and how much comes in is a guess.
const HISTORY_SECS_MIN: u32 = 10;

/// What the queue still takes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Room {
    bytes: u64,
    /// How long that lasts, if as much comes in as since the oldest batch that is to be delivered.
    full_in_secs: Option<f64>,
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&human::bytes(self.bytes))?;
        match self.full_in_secs {
            Some(secs) => write!(f, ": full in {}, if it goes on like this", human::span(whole_secs(secs))),
            None => Ok(()),
        }
    }
}

/// All that was found out.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) directory: String,
    pub(super) output: Option<String>,
    pub(super) holder: Option<u32>,
    pub(super) overview: Overview,
    pub(super) drain: Drain,
    pub(super) stretches: Vec<Stretch>,
    pub(super) limits: Option<Limits>,
    pub(super) free_bytes: u64,
    pub(super) now_ms: i64,
}

impl Report {
    /// Event times of what is to be delivered: of the oldest and of the newest.
    fn times(&self) -> Option<(i64, i64)> {
        let first = self.stretches.iter().map(|&(first, ..)| first).min()?;
        let last = self.stretches.iter().map(|&(_, last, _)| last).max()?;
        Some((first, last))
    }

    /// Segments of which something is known to be damaged or missing.
    fn damaged_segments(&self) -> u64 {
        let is_bad = |segment: &&millpond_queue::inspect::Segment| {
            segment.state == millpond_queue::inspect::SegmentState::Damaged || segment.set_aside > 0
        };
        self.overview.segments.iter().filter(is_bad).count() as u64
    }

    pub(super) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |name: &str, text: String| writeln!(out, "{name:<10} {text}");
        line("queue", self.whose())?;
        line("holds", self.holds())?;
        if let Some((first, last)) = self.times() {
            line("oldest", format!("{}, {} ago", human::time(first), human::age(first, self.now_ms)))?;
            line("newest", format!("{}, {} ago", human::time(last), human::age(last, self.now_ms)))?;
        }
        line("drain", self.drain_text())?;
        line("cursor", self.cursor_text())?;
        for consumer in &self.overview.consumers {
            let (acked, behind) = (human::count(consumer.acked.0), consumer.pending);
            let (batches, events) =
                (super::super::batches(behind.batches), super::super::events(behind.events));
            let text = format!("{} at batch {acked}: {events} in {batches} behind", consumer.name);
            line("", text)?;
        }
        line("disk", self.disk_text())?;
        if let Some(room) = self.room() {
            line("room", room.to_string())?;
        }
        line("given up", self.losses_text())?;
        line("damage", self.damage_text())?;
        let ink = Ink::of_locale(|name| std::env::var(name).ok());
        match plot::draw(&self.stretches, ink) {
            Some(plot) => write!(out, "\nqueued events by event time\n{plot}"),
            None => Ok(()),
        }
    }

    fn whose(&self) -> String {
        let output = self.output.as_ref().map(|id| format!(" of the output {id}")).unwrap_or_default();
        match self.holder {
            Some(process) => format!("{}{output}, in use by process {process}", self.directory),
            None => format!("{}{output}, not in use on this machine", self.directory),
        }
    }

    fn holds(&self) -> String {
        let Tally { batches, events, payload_bytes, raw_bytes } = self.overview.pending;
        if batches == 0 {
            return "nothing that is to be delivered".to_owned();
        }
        let packed = ratio(payload_bytes, raw_bytes)
            .filter(|&ratio| ratio >= PACKED_MIN)
            .map_or_else(String::new, |ratio| format!(", packed {ratio:.1} : 1"));
        let (batches, events) = (super::super::batches(batches), super::super::events(events));
        format!("{events} in {batches}, {}{packed}", human::bytes(payload_bytes))
    }

    fn drain_text(&self) -> String {
        match self.drain {
            Drain::Empty => "there is nothing to drain".to_owned(),
            Drain::Unknown => match self.holder {
                Some(_) => "not known: look twice, with --measure 5s".to_owned(),
                None => "no forwarder has it open here".to_owned(),
            },
            Drain::Still { since_ms } => {
                let since = match since_ms {
                    Some(since_ms) => format!("left this queue for {}", human::age(since_ms, self.now_ms)),
                    None => "left this queue yet".to_owned(),
                };
                let why = match self.holder {
                    Some(_) => "`millpond status` says why",
                    None => "no forwarder has it open here",
                };
                format!("nothing has {since}: {why}")
            }
            Drain::Moving(Pace { out_batches, out_events, in_batches, left_secs }) => {
                let left = match left_secs {
                    Some(secs) => format!("through in {}", human::span(whole_secs(secs))),
                    None => "it does not become shorter".to_owned(),
                };
                format!(
                    "{}/s out ({out_batches:.1} batches/s, {in_batches:.1} in): {left}",
                    super::super::events(out_events.round() as u64)
                )
            }
        }
    }

    /// How much the queue still takes, and how long that lasts.
    fn room(&self) -> Option<Room> {
        let Limits { size_bytes_max, free_bytes_min } = self.limits?;
        let left = size_bytes_max.saturating_sub(self.overview.disk_bytes);
        let bytes = left.min(self.free_bytes.saturating_sub(free_bytes_min));
        let shrinks = matches!(self.drain, Drain::Empty | Drain::Moving(Pace { left_secs: Some(_), .. }));
        let since_ms = self.overview.oldest.map(|info| info.appended_ms).filter(|&ms| ms > 0 && !shrinks);
        let history = since_ms.and_then(|since_ms| u32::try_from((self.now_ms - since_ms) / 1000).ok());
        let per_sec = history
            .filter(|&secs| secs >= HISTORY_SECS_MIN)
            .map(|secs| self.overview.pending.payload_bytes as f64 / f64::from(secs));
        let full_in_secs = per_sec.filter(|&per_sec| per_sec > 0.0).map(|per_sec| bytes as f64 / per_sec);
        Some(Room { bytes, full_in_secs })
    }

    fn cursor_text(&self) -> String {
        let end = human::count(self.overview.end.0);
        match self.overview.acked {
            Some(acked) => format!("at batch {}; the next one will be {end}", human::count(acked.0)),
            None => format!("none was written yet; the next batch will be {end}"),
        }
    }

    fn disk_text(&self) -> String {
        let (used, free) = (self.overview.disk_bytes, human::bytes(self.free_bytes));
        match self.limits {
            Some(Limits { size_bytes_max, free_bytes_min }) => {
                let percent = u128::from(used) * 100 / u128::from(size_bytes_max.max(1));
                format!(
                    "{} of {} ({percent} %); {free} free, {} of it are left alone",
                    human::bytes(used),
                    human::bytes(size_bytes_max),
                    human::bytes(free_bytes_min)
                )
            }
            None => format!("{}; {free} free", human::bytes(used)),
        }
    }

    fn losses_text(&self) -> String {
        let (by_reason, all) = losses(&self.overview);
        if all.batches == 0 {
            return "nothing since the queue began".to_owned();
        }
        let lost = by_reason.into_iter().filter(|(_, lost)| lost.batches > 0);
        let lost: Vec<String> =
            lost.map(|(reason, lost)| format!("{} {reason}", human::count(lost.events))).collect();
        format!("{} since the queue began: {}", super::super::events(all.events), lost.join(", "))
    }

    fn damage_text(&self) -> String {
        let Overview { quarantined_files, quarantine_bytes, .. } = self.overview;
        match (self.damaged_segments(), quarantined_files) {
            (0, 0) => "none known; `millpond queue verify` reads everything".to_owned(),
            (segments, files) => format!(
                "known in {}; {} ({}) in quarantine/",
                many(segments, "segment", "segments"),
                many(files, "file", "files"),
                human::bytes(quarantine_bytes)
            ),
        }
    }

    pub(super) fn json(&self) -> Value {
        let overview = &self.overview;
        let times = self.times();
        let consumers = overview.consumers.iter().map(|consumer| {
            let mut object = tally(consumer.pending);
            object.insert("name".to_owned(), json!(consumer.name));
            object.insert("acked_seq".to_owned(), json!(consumer.acked.0));
            Value::Object(object)
        });
        let (by_reason, _) = losses(overview);
        let lost: Map<String, Value> = by_reason
            .into_iter()
            .map(|(reason, lost)| (reason.to_owned(), Value::Object(tally(lost))))
            .collect();
        let Tally { payload_bytes, raw_bytes, .. } = overview.pending;
        json!({
            "directory": self.directory,
            "output": self.output,
            "queue_id": overview.queue_id.map(|id| format!("{id:032x}")),
            "process": self.holder,
            "now_ms": self.now_ms,
            "pending": tally(overview.pending),
            "compression_ratio": ratio(payload_bytes, raw_bytes),
            "oldest_event_ms": times.map(|(first, _)| first),
            "newest_event_ms": times.map(|(_, last)| last),
            "oldest_appended_ms": overview.oldest.map(|info| info.appended_ms),
            "acked_seq": overview.acked.map(|acked| acked.0),
            "end_seq": overview.end.0,
            "consumers": consumers.collect::<Vec<_>>(),
            "drain": drain_json(self.drain),
            "segments": overview.segments.len(),
            "damaged_segments": self.damaged_segments(),
            "disk_bytes": overview.disk_bytes,
            "max_bytes": self.limits.map(|limits| limits.size_bytes_max),
            "free_bytes": self.free_bytes,
            "min_free_bytes": self.limits.map(|limits| limits.free_bytes_min),
            "room_bytes": self.room().map(|room| room.bytes),
            "full_in_secs": self.room().and_then(|room| room.full_in_secs),
            "quarantined_files": overview.quarantined_files,
            "quarantine_bytes": overview.quarantine_bytes,
            "given_up_ever": lost,
        })
    }
}

fn drain_json(drain: Drain) -> Value {
    match drain {
        Drain::Empty => json!({ "state": "empty" }),
        Drain::Unknown => json!({ "state": "unknown" }),
        Drain::Still { since_ms } => json!({ "state": "still", "since_ms": since_ms }),
        Drain::Moving(Pace { out_batches, out_events, in_batches, left_secs }) => json!({
            "state": "moving",
            "events_per_sec": out_events,
            "batches_per_sec": out_batches,
            "appended_batches_per_sec": in_batches,
            "left_secs": left_secs,
        }),
    }
}

fn tally(tally: Tally) -> Map<String, Value> {
    let Tally { batches, events, payload_bytes, raw_bytes } = tally;
    let numbers = [
        ("batches", batches),
        ("events", events),
        ("payload_bytes", payload_bytes),
        ("raw_bytes", raw_bytes),
    ];
    numbers.into_iter().map(|(name, number)| (name.to_owned(), json!(number))).collect()
}

fn ratio(payload_bytes: u64, raw_bytes: u64) -> Option<f64> {
    (payload_bytes > 0 && raw_bytes > 0).then(|| raw_bytes as f64 / payload_bytes as f64)
}

/// A duration that can be said; a very long one as the longest.
fn whole_secs(secs: f64) -> Duration {
    Duration::from_secs(secs.ceil().min(1e12) as u64)
}
