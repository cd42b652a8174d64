//! From an entry of the journal, as `journalctl --output=json` shows it, to the event that it becomes. Pure.
//!
//! ```text
//! {"_raw":"Started app","_time":1795521600.250000,"host":"edge1","source":"journald","MESSAGE":"Started app",
//!  "PRIORITY":"6","_HOSTNAME":"edge1","_SYSTEMD_UNIT":"app.service",…}
//! ```
//!
//! Fields are as they come, but for those that begin with `__`: they are addresses within the journal. A field that is
//! there several times is a list. One that holds bytes comes as a list of numbers and becomes text.

use std::io::Write as _;

use serde_json::{Map, Value};

use crate::codec::escape;

/// What an entry says of itself besides its event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// Where it is in the journal.
    pub(super) cursor: String,
    /// All of its bytes are valid UTF-8; otherwise what is not was replaced.
    pub(super) is_utf8: bool,
}

/// Appends the event of an entry, one line of the output. `None`, and nothing is appended, if it is none.
///
/// A tree is built here although nothing else on the way of events builds one: what journald itself takes in a second is
/// a small part of what this handles.
pub(super) fn write(line: &[u8], out: &mut Vec<u8>) -> Option<Read> {
    let mut fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let Some(Value::String(cursor)) = fields.remove("__CURSOR") else { return None };
    let micros: u64 = fields.get("__REALTIME_TIMESTAMP").and_then(Value::as_str)?.parse().ok()?;
    fields.retain(|name, _| !name.starts_with("__"));
    let mut is_utf8 = true;
    fields.values_mut().for_each(|value| to_text(value, &mut is_utf8));
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    out.extend_from_slice(b"{\"_raw\":\"");
    escape(text("MESSAGE").unwrap_or_default().as_bytes(), out);
    // Writing to a Vec cannot fail.
    write!(out, "\",\"_time\":{}.{:06}", micros / 1_000_000, micros % 1_000_000)
        .expect("a Vec takes what is written to it");
    if let Some(host) = text("_HOSTNAME") {
        out.extend_from_slice(b",\"host\":\"");
        escape(host.as_bytes(), out);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"source\":\"journald\"");
    // What stands there already must not stand there twice.
    for name in ["_raw", "_time", "host", "source"] {
        fields.remove(name);
    }
    if !fields.is_empty() {
        let rest = out.len();
        serde_json::to_writer(&mut *out, &fields).expect("a Vec takes what is written to it");
        // The members go on, instead of beginning an object.
        if let Some(brace) = out.get_mut(rest) {
            *brace = b',';
        }
    } else {
        out.push(b'}');
    }
    Some(Read { cursor, is_utf8 })
}

/// Bytes become text; a list of values becomes one of texts.
fn to_text(value: &mut Value, is_utf8: &mut bool) {
    let Value::Array(items) = value else { return };
    let bytes = |items: &[Value]| -> Option<Vec<u8>> {
        items.iter().map(|item| u8::try_from(item.as_u64()?).ok()).collect()
    };
    match bytes(items) {
        Some(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            *is_utf8 &= matches!(text, std::borrow::Cow::Borrowed(_));
            *value = Value::String(text.into_owned());
        }
        None => items.iter_mut().for_each(|item| to_text(item, is_utf8)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(entry: Value, expected: Value, is_utf8: bool) {
        let mut out = b"before".to_vec();
        let read = write(entry.to_string().as_bytes(), &mut out).unwrap();
        assert_eq!(read, Read { cursor: "s=1".to_owned(), is_utf8 });
        assert_eq!(serde_json::from_slice::<Value>(&out["before".len()..]).unwrap(), expected);
    }

    #[test]
    fn entries() {
        check(
            json!({"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1795521600250000", "__MONOTONIC_TIMESTAMP": "5",
                   "MESSAGE": "a \"b\"\nc", "PRIORITY": "6", "_HOSTNAME": "edge1", "_raw": "x"}),
            json!({"_raw": "a \"b\"\nc", "_time": 1_795_521_600.25, "host": "edge1", "source": "journald",
                   "MESSAGE": "a \"b\"\nc", "PRIORITY": "6", "_HOSTNAME": "edge1"}),
            true,
        );
        check(
            json!({"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "7"}),
            json!({"_raw": "", "_time": 0.000_007, "source": "journald"}),
            true,
        );
        // Bytes; a field that is there several times; one that journalctl does not show.
        check(
            json!({"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "0", "MESSAGE": [104, 255, 10], "A": ["x", [104, 105]], "B": null}),
            json!({"_raw": "h\u{fffd}\n", "_time": 0.0, "source": "journald", "MESSAGE": "h\u{fffd}\n", "A": ["x", "hi"], "B": null}),
            false,
        );
    }

    #[test]
    fn what_is_no_entry() {
        let good = br#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1"}"#;
        assert!(write(good, &mut Vec::new()).is_some());
        for len in 0..good.len() {
            let mut out = Vec::new();
            assert_eq!(write(&good[..len], &mut out), None);
            assert!(out.is_empty());
        }
        for bad in [
            &br#"{"MESSAGE":"x"}"#[..],
            br#"{"__CURSOR":1,"__REALTIME_TIMESTAMP":"1"}"#,
            br#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"-"}"#,
        ] {
            assert_eq!(write(bad, &mut Vec::new()), None);
        }
    }
}
