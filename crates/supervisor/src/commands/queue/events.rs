//! The events of batches: taken out of their records, chosen, and put down one on a line.

use std::borrow::Cow;
use std::io::{self, Write};

use bytes::Bytes;
use millpond_kinesis::decode::{self, DecodeError, Decoded};
use millpond_kinesis::limits::RECORD_BYTES_MAX;
use millpond_kinesis::{Batch, Format};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::batches::Between;

/// A record is unpacked up to here: what this program makes is never larger than the largest record.
const UNPACKED_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

/// Which events.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct EventArgs {
    /// At most so many
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Only those whose text matches, as it stands in the JSON
    #[arg(long, value_name = "REGEX")]
    grep: Option<regex::bytes::Regex>,
    /// Only those with this value in this field; `a.b` is the field b in a. Given several times, all must hold
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    conditions: Vec<Condition>,
}

/// A field and the value that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    field: String,
    value: String,
}

impl std::str::FromStr for Condition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((field, value)) if !field.is_empty() => {
                Ok(Self { field: field.to_owned(), value: value.to_owned() })
            }
            _ => Err("write a field, an equals sign and a value, such as level=error or request.status=500"),
        }
    }
}

impl Condition {
    fn holds(&self, event: &Map<String, Value>) -> bool {
        lookup(event, &self.field).is_some_and(|found| match found {
            Value::String(text) => *text == self.value,
            Value::Bool(flag) => flag.to_string() == self.value,
            Value::Null => self.value == "null",
            Value::Number(number) => {
                number.to_string() == self.value
                    || number.as_f64().is_some_and(|number| self.value.parse() == Ok(number))
            }
            Value::Array(_) | Value::Object(_) => false,
        })
    }
}

/// A field by its name as it stands, else by the way to it.
fn lookup<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(at, _)| lookup(object.get(&path[..at])?.as_object()?, &path[at + 1..]))
}

impl EventArgs {
    /// Whether every event is wanted.
    pub(super) fn takes_all(&self) -> bool {
        self.grep.is_none() && self.conditions.is_empty()
    }

    fn admits(&self, event: &[u8]) -> bool {
        if self.grep.as_ref().is_some_and(|grep| !grep.is_match(event)) {
            return false;
        }
        if self.conditions.is_empty() {
            return true;
        }
        // What is no object has no fields.
        let object: Option<Map<String, Value>> = serde_json::from_slice(event).ok();
        object.is_some_and(|object| self.conditions.iter().all(|condition| condition.holds(&object)))
    }
}

/// When an event was, if it says so and that is within its batch's times, else whenever its batch was. Batches say when
/// events were taken in; a time that somebody else has put into an event may be from another day, and would hide it.
fn is_within(between: Between, batch: &Batch, event: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Timed {
        #[serde(rename = "_time", default)]
        time: Value,
    }
    let timed: Option<Timed> = serde_json::from_slice(event).ok();
    let seconds = timed.and_then(|timed| timed.time.as_f64());
    let time_ms = seconds.map(|seconds| (seconds * 1000.0).round() as i64);
    let own = time_ms.filter(|time_ms| (batch.first_time_ms..=batch.last_time_ms).contains(time_ms));
    own.is_none_or(|time_ms| between.contains(time_ms))
}

/// The events of one record; one that somebody else has encoded is read as what it seems to be.
pub(crate) fn decode_record(format: Format, data: &Bytes) -> Result<Decoded, DecodeError> {
    if format == Format::Opaque {
        let seems = decode::sniff(data);
        if let Ok(decoded) = decode::decode(seems, data, UNPACKED_BYTES_MAX) {
            return Ok(decoded);
        }
    }
    decode::decode(format, data, UNPACKED_BYTES_MAX)
}

/// Writes the chosen events of a batch, one a line; gives how many they were, and what is wrong with records that cannot
/// be read.
pub(super) fn write_events(
    batch: &Batch,
    chosen: &EventArgs,
    between: Option<Between>,
    most: u64,
    out: &mut dyn Write,
) -> io::Result<(u64, Vec<String>)> {
    let between = between.filter(|between| !between.holds(batch.first_time_ms, batch.last_time_ms));
    let (mut written, mut troubles) = (0, Vec::new());
    for (index, record) in batch.records().enumerate() {
        let decoded = match decode_record(batch.format, &record.data) {
            Ok(decoded) => decoded,
            Err(error) => {
                troubles.push(format!("record {index}: {error}"));
                continue;
            }
        };
        for event in decoded.events() {
            if written == most {
                return Ok((written, troubles));
            }
            if between.is_none_or(|between| is_within(between, batch, event)) && chosen.admits(event) {
                write_event(event, batch.format == Format::Opaque, out)?;
                written += 1;
            }
        }
    }
    Ok((written, troubles))
}

/// Writes one event as one line of JSON. `foreign`: somebody else has encoded it, so it may be anything.
pub(crate) fn write_event(event: &[u8], foreign: bool, out: &mut dyn Write) -> io::Result<()> {
    if foreign && serde_json::from_slice::<IgnoredAny>(event).is_err() {
        let (key, text) = match std::str::from_utf8(event) {
            Ok(text) => ("opaque", text.to_owned()),
            Err(_) => ("opaque_base64", base64_simd::STANDARD.encode_to_string(event)),
        };
        serde_json::to_writer(&mut *out, &Map::from_iter([(key.to_owned(), Value::String(text))]))?;
    } else {
        out.write_all(&on_one_line(event))?;
    }
    out.write_all(b"\n")
}

/// Outside of strings, JSON may have line breaks; inside of them, it has none.
fn on_one_line(event: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', event).is_none() {
        return Cow::Borrowed(event);
    }
    let spaced = event.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
    Cow::Owned(spaced.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(args: &[&str], event: &str) -> bool {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            events: EventArgs,
        }
        let line = std::iter::once("cat").chain(args.iter().copied());
        <Only as clap::Parser>::try_parse_from(line).unwrap().events.admits(event.as_bytes())
    }

    #[test]
    fn conditions_compare_values_as_they_are_written() {
        let event = r#"{"level":"error","status":500,"half":0.5,"ok":true,"none":null,"a":{"b":{"c":"x"},"n":1},"a.n":2,"list":[1]}"#;
        let check =
            |condition, expected| assert_eq!(admits(&["--where", condition], event), expected, "{condition}");
        for good in [
            "level=error",
            "status=500",
            "status=500.0",
            "half=0.5",
            "half=.5",
            "ok=true",
            "none=null",
            "a.b.c=x",
            // The name as it stands goes before the way to it.
            "a.n=2",
        ] {
            check(good, true);
        }
        for bad in [
            "level=err",
            "level=",
            "status=50",
            "status=true",
            "ok=1",
            "a.b=x",
            "a.n=1",
            "list=1",
            "nothing=",
            "nothing=null",
        ] {
            check(bad, false);
        }
        assert!(admits(&["--where", "ok=true", "--where", "status=500"], event));
        assert!(!admits(&["--where", "ok=true", "--where", "status=501"], event));
        assert!(!admits(&["--where", "ok=true"], "no JSON"));
    }

    #[test]
    fn grep_looks_at_the_bytes() {
        assert!(admits(&["--grep", "err.r"], r#"{"level":"error"}"#));
        assert!(admits(&["--grep", "(?i)ERROR|warn"], r#"{"level":"error"}"#));
        assert!(!admits(&["--grep", "^error"], r#"{"level":"error"}"#));
        assert!(!admits(&["--grep", "error", "--where", "level=warn"], r#"{"level":"error"}"#));
    }

    #[test]
    fn every_event_is_one_line_of_json() {
        let check = |event: &[u8], foreign, expected: &str| {
            let mut out = Vec::new();
            write_event(event, foreign, &mut out).unwrap();
            assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        };
        check(b"{\"a\":1}", false, "{\"a\":1}\n");
        check(b"{\n\"a\":\r\n1}", false, "{ \"a\":  1}\n");
        check(b"{\"a\":1}", true, "{\"a\":1}\n");
        check(b"a\n\"b\"", true, "{\"opaque\":\"a\\n\\\"b\\\"\"}\n");
        check(b"\xff\x00", true, "{\"opaque_base64\":\"/wA=\"}\n");
    }

    #[test]
    fn the_time_of_an_event_is_its_own_where_its_batch_agrees() {
        let meta = millpond_kinesis::BatchMeta {
            format: Format::Event,
            events: 1,
            raw_bytes: 1,
            first_time_ms: 10_000,
            last_time_ms: 20_000,
        };
        let record =
            millpond_kinesis::RecordRef { partition_key: "k", explicit_hash_key: None, data: Bytes::new() };
        let batch = Batch::from_records(meta, &[record]);
        let args = <super::super::batches::BatchArgs as Default>::default();
        assert_eq!(args.between(), None);
        let between = Between::of(15_000, 18_000);
        let check = |event: &str, expected| {
            assert_eq!(is_within(between, &batch, event.as_bytes()), expected, "{event}")
        };
        check(r#"{"_time":15.0}"#, true);
        check(r#"{"_time":17.999}"#, true);
        check(r#"{"_time":18}"#, false);
        check(r#"{"_time":14.999}"#, false);
        // Of another day, no number, none at all: it was taken in when its batch was.
        check(r#"{"_time":1}"#, true);
        check(r#"{"_time":"16"}"#, true);
        check("{}", true);
        check("no JSON", true);
    }
}
