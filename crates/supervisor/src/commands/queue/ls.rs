//! `millpond queue ls`: the segments.

use std::io::{self, Write};
use std::process::ExitCode;

use millpond_queue::inspect::{self, Overview, Segment, SegmentState};
use serde::Serialize;

use super::super::failure::{self, Failure};
use super::super::place::{Place, PlaceArgs};
use super::{batches, events, json_line, many, unreadable};
use crate::terminal::human;
use crate::terminal::print;
use crate::terminal::table::{Side, Table, Tone};

const EXAMPLES: &str = "\
Examples:
    $ millpond queue ls
    $ millpond queue ls --json | head -n 3
    $ millpond queue ls --path millpond-data/queues/main";

/// Arguments of `millpond queue ls`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object a segment
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &LsArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &LsArgs) -> Result<ExitCode, Failure> {
    let place = args.place.find()?;
    let overview = inspect::overview(&place.look()?).map_err(|error| unreadable(&place, &error))?;
    let rows = rows(&overview, keeps_delivered(&place));
    let now_ms = crate::clock::unix_ms();
    print::to_stdout(|out| match args.json {
        true => rows.iter().try_for_each(|row| json_line(out, row)),
        false => write_text(out, &rows, &overview, now_ms),
    })
    .map_err(|error| Failure::printing(&error))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the configuration keeps what was delivered.
fn keeps_delivered(place: &Place) -> bool {
    place.owner.as_ref().is_some_and(|owner| {
        let queue = &owner.output().queue;
        queue.retain.is_some() || queue.retain_bytes_max.is_some()
    })
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It is appended to, or a crash has left it without a seal.
    Active,
    /// It is closed, and holds something that is not delivered.
    Sealed,
    /// All in it is settled; it goes with the next checkpoint, or as soon as another one follows it.
    Delivered,
    /// All in it is settled; it is kept to be sent once more, or for another consumer.
    Retained,
    /// Bytes of it cannot be read.
    Damaged,
    /// No file holds these batches.
    Missing,
}

impl State {
    fn word(self) -> (&'static str, Tone) {
        match self {
            Self::Active => ("active", Tone::Good),
            Self::Sealed => ("sealed", Tone::Plain),
            Self::Delivered => ("delivered", Tone::Faint),
            Self::Retained => ("retained", Tone::Faint),
            Self::Damaged => ("damaged", Tone::Bad),
            Self::Missing => ("missing", Tone::Bad),
        }
    }
}

/// One segment, or batches that are in none.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    file: Option<String>,
    state: State,
    first_seq: u64,
    end_seq: u64,
    batches: u64,
    events: u64,
    payload_bytes: u64,
    raw_bytes: u64,
    disk_bytes: u64,
    oldest_event_ms: Option<i64>,
    newest_event_ms: Option<i64>,
    appended_ms: Option<i64>,
    pending_batches: u64,
    pending_events: u64,
    set_aside_files: u64,
}

impl Row {
    fn of(segment: &Segment, state: State) -> Self {
        Self {
            file: Some(segment.file.clone()),
            state,
            first_seq: segment.first.0,
            end_seq: segment.end.0,
            batches: segment.batches,
            events: segment.events,
            payload_bytes: segment.payload_bytes,
            raw_bytes: segment.raw_bytes,
            disk_bytes: segment.disk_bytes,
            oldest_event_ms: segment.first_time_ms,
            newest_event_ms: segment.last_time_ms,
            appended_ms: segment.first_appended_ms,
            pending_batches: segment.pending.batches,
            pending_events: segment.pending.events,
            set_aside_files: segment.set_aside,
        }
    }

    fn missing(first_seq: u64, end_seq: u64) -> Self {
        Self {
            file: None,
            state: State::Missing,
            first_seq,
            end_seq,
            batches: end_seq - first_seq,
            events: 0,
            payload_bytes: 0,
            raw_bytes: 0,
            disk_bytes: 0,
            oldest_event_ms: None,
            newest_event_ms: None,
            appended_ms: None,
            pending_batches: 0,
            pending_events: 0,
            set_aside_files: 0,
        }
    }
}

/// The segments, and what is missing between them.
fn rows(overview: &Overview, keeps_delivered: bool) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(overview.segments.len());
    let settled = overview.acked.map_or(0, |acked| acked.0);
    for (index, segment) in overview.segments.iter().enumerate() {
        let before = rows.last().map_or(segment.first.0, |row| row.end_seq);
        if before < segment.first.0 && settled < segment.first.0 {
            rows.push(Row::missing(before.max(settled), segment.first.0));
        }
        let is_last = index + 1 == overview.segments.len();
        rows.push(Row::of(segment, state(segment, is_last, keeps_delivered, overview)));
    }
    rows
}

fn state(segment: &Segment, is_last: bool, keeps_delivered: bool, overview: &Overview) -> State {
    // The last one stays whatever is set: it knows the next sequence.
    let is_kept = !is_last
        && (keeps_delivered || overview.consumers.iter().any(|consumer| consumer.acked < segment.end));
    match segment.state {
        SegmentState::Damaged => State::Damaged,
        SegmentState::Delivered if is_kept => State::Retained,
        SegmentState::Delivered => State::Delivered,
        _ if segment.set_aside > 0 => State::Damaged,
        SegmentState::Active => State::Active,
        SegmentState::Sealed => State::Sealed,
    }
}

fn write_text(out: &mut dyn Write, rows: &[Row], overview: &Overview, now_ms: i64) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no segments: nothing was ever queued");
    }
    let columns = [
        ("sequences", Side::Left),
        ("batches", Side::Right),
        ("events", Side::Right),
        ("size", Side::Right),
        ("oldest", Side::Left),
        ("newest", Side::Left),
        ("state", Side::Left),
    ];
    let mut table = Table::new(&columns);
    for row in rows {
        let plain = |text: String| (text, Tone::Plain);
        let time =
            |time_ms: Option<i64>| plain(time_ms.map_or_else(|| "–".to_owned(), |ms| short_time(ms, now_ms)));
        let (word, tone) = row.state.word();
        table.row([
            plain(sequences(row.first_seq, row.end_seq)),
            plain(human::count(row.batches)),
            plain(human::count(row.events)),
            plain(human::bytes(row.disk_bytes)),
            time(row.oldest_event_ms),
            time(row.newest_event_ms),
            (word.to_owned(), tone),
        ]);
    }
    write!(out, "{table}")?;
    let pending = overview.pending;
    writeln!(
        out,
        "\n{} of {} to be delivered ({}); times are UTC",
        human::count(pending.batches),
        batches(rows.iter().map(|row| row.batches).sum()),
        events(pending.events),
    )?;
    if overview.quarantined_files > 0 {
        let files = many(overview.quarantined_files, "file", "files");
        writeln!(out, "{files} in quarantine/: damage was found, and is set aside")?;
    }
    Ok(())
}

/// First and last, as a person counts.
fn sequences(first: u64, end: u64) -> String {
    match end.saturating_sub(first) {
        0 => format!("{first}–"),
        1 => first.to_string(),
        _ => format!("{first}–{}", end - 1),
    }
}

/// A time in a narrow column: without the year where that is the one of now.
fn short_time(time_ms: i64, now_ms: i64) -> String {
    let (time, now) = (human::time(time_ms), human::time(now_ms));
    match (time.get(..4), now.get(..4), time.get(5..16)) {
        (Some(year), Some(this_year), Some(rest)) if year == this_year => rest.to_owned(),
        (Some(_), Some(_), Some(_)) if time.len() == 20 => time[..10].to_owned(),
        _ => time,
    }
}

#[cfg(test)]
mod tests {
    use millpond_queue::{BatchInfo, Fs, Options, Queue, Retain, Sequence};

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// A queue of four segments with one batch of 40 KB each; the first two are delivered, and kept.
    fn queue(directory: &std::path::Path) -> Queue<Fs> {
        let options = Options {
            segment_bytes_max: 64 << 10,
            free_bytes_min: 0,
            retain: Retain { for_ms: Some(1 << 40), bytes_max: None },
            catalog: false,
            ..Options::default()
        };
        let (mut queue, _) = Queue::open(Fs::create(directory).unwrap(), options).unwrap();
        for hour in 1..=4 {
            let info = BatchInfo {
                events: 10,
                first_time_ms: hour * HOUR_MS,
                last_time_ms: hour * HOUR_MS,
                ..BatchInfo::default()
            };
            queue.append(info, &[vec![7; 40_000].into()]).unwrap();
            assert_eq!(queue.commit().unwrap().upto, queue.durable());
        }
        [1, 2].into_iter().for_each(|sequence| queue.ack(Sequence(sequence)));
        queue.checkpoint(HOUR_MS).unwrap();
        queue
    }

    fn states(directory: &std::path::Path, keeps_delivered: bool) -> Vec<(u64, u64, State)> {
        let overview = inspect::overview(&Fs::existing(directory).unwrap()).unwrap();
        let rows = rows(&overview, keeps_delivered);
        rows.iter().map(|row| (row.first_seq, row.end_seq, row.state)).collect()
    }

    #[test]
    fn what_a_segment_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut queue = queue(directory.path());
        let (sealed, active) = ((3, 4, State::Sealed), (4, 5, State::Active));
        let kept = [(1, 2, State::Retained), (2, 3, State::Retained), sealed, active];
        assert_eq!(states(directory.path(), true), kept);
        // Where no configuration says that it is kept, it is about to go,
        let going = [(1, 2, State::Delivered), (2, 3, State::Delivered), sealed, active];
        assert_eq!(states(directory.path(), false), going);
        // unless somebody else has not seen it.
        queue.add_consumer("audit", Sequence(2)).unwrap();
        let for_audit = [(1, 2, State::Delivered), (2, 3, State::Retained), sealed, active];
        assert_eq!(states(directory.path(), false), for_audit);
        // The last one stays in any case.
        [3, 4].into_iter().for_each(|sequence| queue.ack(Sequence(sequence)));
        queue.checkpoint(HOUR_MS).unwrap();
        assert_eq!(states(directory.path(), true).last(), Some(&(4, 5, State::Delivered)));
    }

    #[test]
    fn what_is_missing_or_damaged_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        drop(queue(directory.path()));
        let segment = |base: u64| directory.path().join(format!("{base:020}.seg"));
        std::fs::remove_file(segment(3)).unwrap();
        let delivered = [(1, 2, State::Delivered), (2, 3, State::Delivered)];
        let missing = [&delivered[..], &[(3, 4, State::Missing), (4, 5, State::Active)]].concat();
        assert_eq!(states(directory.path(), false), missing);
        // What was delivered may be missing.
        std::fs::remove_file(segment(2)).unwrap();
        assert_eq!(states(directory.path(), false), [&missing[..1], &missing[2..]].concat());
        std::fs::write(segment(3), vec![1; 10_000]).unwrap();
        assert_eq!(
            states(directory.path(), false),
            [delivered[0], (3, 4, State::Damaged), (4, 5, State::Active)]
        );
    }

    #[test]
    fn times_and_numbers_are_short() {
        let now_ms = 1_764_126_900_999;
        assert_eq!(short_time(now_ms, now_ms), "11-26 03:15");
        assert_eq!(short_time(now_ms - 400 * 24 * HOUR_MS, now_ms), "2024-10-22");
        assert_eq!(short_time(i64::MAX, now_ms), human::time(i64::MAX));
        assert_eq!([sequences(1, 1), sequences(1, 2), sequences(1, 9)], ["1–", "1", "1–8"]);
    }
}
