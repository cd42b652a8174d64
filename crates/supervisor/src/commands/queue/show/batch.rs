//! A batch, for a person and for a program.

use std::io::{self, Write};

use millpond_kinesis::decode::{DecodeError, decode};
use millpond_kinesis::{Batch, Format, RecordRef};
use millpond_queue::Frame;
use serde_json::{Value, json};

use crate::backlog::meta_of;
use crate::dead_letters::KIND_DEAD_LETTER;
use crate::terminal::human;
use crate::terminal::table::{Side, Table, Tone};

/// A record is unpacked up to this size; the largest that can be configured is smaller.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// How much of an event is shown in a table, in characters.
const PREVIEW_CHARS: usize = 40;

/// A batch that was found.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) file: String,
    pub(super) position: u64,
    pub(super) bytes: u64,
    pub(super) packed: bool,
    pub(super) frame: Frame,
    pub(super) settled: bool,
}

/// One record of it.
#[derive(Debug)]
struct Record {
    partition_key: String,
    explicit_hash_key: Option<u128>,
    bytes: u64,
    /// Events in it, and the first one; or why it cannot be decoded.
    events: Result<(u64, Option<String>), DecodeError>,
}

impl Record {
    fn of(format: Format, record: &RecordRef<'_>) -> Self {
        let decoded = decode(format, &record.data, RECORD_BYTES_MAX);
        let events = decoded.map(|decoded| {
            let first = decoded.events().next().map(|event| String::from_utf8_lossy(event).into_owned());
            (decoded.events().count() as u64, first)
        });
        Self {
            partition_key: record.partition_key.to_owned(),
            explicit_hash_key: record.explicit_hash_key,
            bytes: record.data.len() as u64,
            events,
        }
    }
}

impl Shown {
    /// The batch, where it is one for Kinesis that this program can read; else why not.
    fn batch(&self) -> Result<Batch, String> {
        let info = self.frame.info;
        let format = Format::from_code(info.kind).ok_or_else(|| match info.kind {
            KIND_DEAD_LETTER => "a dead letter; `millpond dead-letters show` reads it".to_owned(),
            kind => format!("of kind {kind}, which this program does not know"),
        })?;
        Batch::from_payload(meta_of(format, &info), self.frame.payload.clone())
            .map_err(|error| error.to_string())
    }

    fn records(&self) -> Result<Vec<Record>, String> {
        let batch = self.batch()?;
        Ok(batch.records().map(|record| Record::of(batch.format, &record)).collect())
    }

    pub(super) fn write_text(&self, out: &mut dyn Write, now_ms: i64) -> io::Result<()> {
        let (info, payload_bytes) = (self.frame.info, self.frame.payload.len() as u64);
        let mut line = |name: &str, text: String| writeln!(out, "{name:<10} {text}");
        let state = if self.settled { "delivered or given up; still on disk" } else { "to be delivered" };
        line("batch", format!("{}, {state}", human::count(self.frame.sequence.0)))?;
        line("format", format_words(info.kind))?;
        line("events", human::count(info.events.into()))?;
        line("records", human::count(info.records.into()))?;
        let packed = if self.packed { "; packed by the queue" } else { "" };
        let (payload, raw) = (human::count(payload_bytes), human::count(info.raw_bytes));
        line("payload", format!("{payload} bytes, {raw} before compression{packed}"))?;
        let time = |ms: i64| format!("{}, {} ago", human::time(ms), human::age(ms, now_ms));
        line("oldest", time(info.first_time_ms))?;
        line("newest", time(info.last_time_ms))?;
        line("appended", time(info.appended_ms))?;
        line("where", format!("{} at {}, {} bytes", self.file, self.position, human::count(self.bytes)))?;
        match self.records() {
            Ok(records) => write!(out, "\n{}", table(&records)),
            Err(why) => writeln!(out, "\nits payload is no batch of records: it is {why}"),
        }
    }

    pub(super) fn json(&self) -> Value {
        let info = self.frame.info;
        let records = self.records();
        let why = records.as_ref().err().cloned();
        json!({
            "seq": self.frame.sequence.0,
            "settled": self.settled,
            "kind": info.kind,
            "format": Format::from_code(info.kind).map(format_word),
            "events": info.events,
            "records_count": info.records,
            "payload_bytes": self.frame.payload.len(),
            "raw_bytes": info.raw_bytes,
            "oldest_event_ms": info.first_time_ms,
            "newest_event_ms": info.last_time_ms,
            "appended_ms": info.appended_ms,
            "file": self.file,
            "position": self.position,
            "frame_bytes": self.bytes,
            "packed": self.packed,
            "unreadable": why,
            "records": records.unwrap_or_default().iter().map(record_json).collect::<Vec<_>>(),
        })
    }
}

fn record_json(record: &Record) -> Value {
    let (events, first, error) = match &record.events {
        Ok((events, first)) => (Some(*events), first.as_deref(), None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    json!({
        "partition_key": record.partition_key,
        "explicit_hash_key": record.explicit_hash_key.map(|key| key.to_string()),
        "bytes": record.bytes,
        "events": events,
        "first_event": first,
        "error": error,
    })
}

fn table(records: &[Record]) -> Table {
    let columns = [
        ("record", Side::Right),
        ("key", Side::Left),
        ("bytes", Side::Right),
        ("events", Side::Right),
        ("first event", Side::Left),
    ];
    let mut table = Table::new(&columns);
    for (index, record) in records.iter().enumerate() {
        let plain = |text: String| (text, Tone::Plain);
        let (events, first) = match &record.events {
            Ok((events, first)) => {
                (plain(human::count(*events)), plain(preview(first.as_deref().unwrap_or_default())))
            }
            Err(error) => (plain("?".to_owned()), (error.to_string(), Tone::Bad)),
        };
        let key = plain(preview(&record.partition_key));
        table.row([
            plain(human::count(index as u64 + 1)),
            key,
            plain(human::count(record.bytes)),
            events,
            first,
        ]);
    }
    table
}

/// The begin of a text, on one line, without what would move the cursor.
fn preview(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(PREVIEW_CHARS)
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect();
    if text.chars().nth(PREVIEW_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn format_word(format: Format) -> &'static str {
    match format {
        Format::Gzip => "gzip",
        Format::Ndjson => "ndjson",
        Format::Event => "event",
        Format::Opaque => "opaque",
    }
}

fn format_words(kind: u8) -> String {
    let words = match Format::from_code(kind) {
        Some(Format::Gzip) => "a header line and NDJSON, compressed with gzip",
        Some(Format::Ndjson) => "a header line and NDJSON, not compressed",
        Some(Format::Event) => "one event a record, as JSON, not compressed",
        Some(Format::Opaque) => "records as somebody else encoded them",
        None if kind == KIND_DEAD_LETTER => "a dead letter",
        None => "unknown",
    };
    format!("{words} (kind {kind})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_one_short_line() {
        assert_eq!(preview("a\n\x1b[2J"), "a\u{fffd}\u{fffd}[2J");
        assert_eq!(preview(&"ä".repeat(40)), "ä".repeat(40));
        assert_eq!(preview(&"ä".repeat(41)), format!("{}…", "ä".repeat(40)));
    }
}
