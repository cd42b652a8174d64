//! From a syslog message to the event that it becomes. Pure: time is an argument.
//!
//! ```text
//! {"_raw":"<34>1 …","_time":1732450454.123456,"host":"web1","source":"udp:514","facility":"auth","severity":"crit",
//!  "appname":"su","procid":"77","msgid":"ID47","structured_data":{"origin":{"ip":"192.0.2.1"}},"message":"…"}
//! ```
//!
//! What a message does not say is left out. A parameter that is there several times becomes a list. What is no syslog
//! message has `_raw`, `_time`, `host` and `source`, and what of `facility`, `severity` and `message` can be told.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use syslog_loose::{
    Message, Protocol, StructuredElement, SyslogFacility, SyslogSeverity, Variant, decompose_pri,
};

use super::time::{resolve, wall_clock, year_of};
use crate::codec::escape;
use crate::config::checked::Zone;

/// Makes events of syslog messages.
#[derive(Debug)]
pub(in crate::inputs) struct SyslogEvents {
    zone: Zone,
}

/// How a message could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::inputs) struct Read {
    /// It is one; otherwise it was wrapped as text.
    pub(in crate::inputs) is_syslog: bool,
    /// It is valid UTF-8; otherwise what is not was replaced.
    pub(in crate::inputs) is_utf8: bool,
}

impl SyslogEvents {
    /// For senders in this time zone, where they do not say theirs.
    pub(in crate::inputs) fn new(zone: Zone) -> Self {
        Self { zone }
    }

    /// Appends the event of a message that came from `peer` at `now`.
    pub(in crate::inputs) fn write(
        &self,
        message: &[u8],
        peer: Option<&str>,
        source: &str,
        now: SystemTime,
        out: &mut Vec<u8>,
    ) -> Read {
        let text = String::from_utf8_lossy(message);
        let is_utf8 = matches!(text, Cow::Borrowed(_));
        // Some end messages like strings of C.
        let text = text.trim_end_matches(['\0', '\n', '\r']);
        let now = DateTime::<Utc>::from(now);
        let wall = wall_clock(self.zone, now);
        let parsed = syslog_loose::parse_message_with_year_exact_tz(
            text,
            |date| year_of(date, wall),
            Some(Utc),
            Variant::Either,
        );
        let mut event = Event { out };
        event.begin(text);
        let is_syslog = match parsed {
            Ok(parsed) => {
                let host = parsed.hostname.or(peer);
                event.origin(self.moment(&parsed, text).unwrap_or(now), host, source);
                event.fields(&parsed);
                true
            }
            Err(_) => {
                event.origin(now, peer, source);
                event.rest(text);
                false
            }
        };
        event.end();
        Read { is_syslog, is_utf8 }
    }

    /// When it was written, if it says so.
    fn moment(&self, parsed: &Message<&str>, text: &str) -> Option<DateTime<Utc>> {
        let written = parsed.timestamp?;
        // A time that begins with a month has no zone.
        let behind_priority = text.split_once('>').map_or(text, |(_, rest)| rest).trim_start();
        let has_zone = parsed.protocol != Protocol::RFC3164
            || !behind_priority.starts_with(|char: char| char.is_ascii_alphabetic());
        Some(if has_zone { written.to_utc() } else { resolve(self.zone, written.naive_utc()) })
    }
}

/// The event as it is written, member by member.
struct Event<'a> {
    out: &'a mut Vec<u8>,
}

impl Event<'_> {
    fn begin(&mut self, raw: &str) {
        self.out.reserve(raw.len() * 2 + 256);
        self.out.extend_from_slice(b"{\"_raw\":");
        self.string(raw);
    }

    fn end(&mut self) {
        self.out.push(b'}');
    }

    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        escape(text.as_bytes(), self.out);
        self.out.push(b'"');
    }

    fn member(&mut self, name: &str, value: &str) {
        self.out.push(b',');
        self.string(name);
        self.out.push(b':');
        self.string(value);
    }

    fn origin(&mut self, moment: DateTime<Utc>, host: Option<&str>, source: &str) {
        let micros = moment.timestamp_micros();
        let sign = if micros < 0 { "-" } else { "" };
        let (seconds, micros) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
        write!(self.out, ",\"_time\":{sign}{seconds}.{micros:06}")
            .expect("a Vec takes what is written to it");
        if let Some(host) = host {
            self.member("host", host);
        }
        self.member("source", source);
    }

    fn priority(&mut self, facility: Option<SyslogFacility>, severity: Option<SyslogSeverity>) {
        if let Some(facility) = facility {
            self.member("facility", facility.as_str());
        }
        if let Some(severity) = severity {
            self.member("severity", severity.as_str());
        }
    }

    fn fields(&mut self, parsed: &Message<&str>) {
        self.priority(parsed.facility, parsed.severity);
        if let Some(appname) = parsed.appname {
            self.member("appname", appname);
        }
        if let Some(procid) = &parsed.procid {
            self.member("procid", &procid.to_string());
        }
        if let Some(msgid) = parsed.msgid {
            self.member("msgid", msgid);
        }
        self.structured_data(&parsed.structured_data);
        // A message may begin with the mark that it is UTF-8.
        self.member("message", parsed.msg.trim_start_matches('\u{feff}'));
    }

    fn structured_data(&mut self, elements: &[StructuredElement<&str>]) {
        if elements.is_empty() {
            return;
        }
        self.out.extend_from_slice(b",\"structured_data\":{");
        let params = elements.iter().map(|element| (element.id, element.params()));
        for (index, (id, params)) in grouped(params).into_iter().enumerate() {
            self.key(index, id);
            self.params(params.into_iter().flatten().map(|(name, value)| (*name, value)));
        }
        self.out.push(b'}');
    }

    fn params<'a>(&mut self, params: impl Iterator<Item = (&'a str, String)>) {
        self.out.push(b'{');
        for (index, (name, values)) in grouped(params).into_iter().enumerate() {
            self.key(index, name);
            match values.as_slice() {
                [value] => self.string(value),
                values => self.list(values),
            }
        }
        self.out.push(b'}');
    }

    fn key(&mut self, index: usize, key: &str) {
        if index > 0 {
            self.out.push(b',');
        }
        self.string(key);
        self.out.push(b':');
    }

    fn list(&mut self, values: &[String]) {
        self.out.push(b'[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.string(value);
        }
        self.out.push(b']');
    }

    /// What can be told of something that is no syslog message.
    fn rest(&mut self, text: &str) {
        let priority = text.strip_prefix('<').and_then(|text| text.split_once('>'));
        let Some((number, rest)) = priority else { return };
        let Some(number) = number.parse::<u8>().ok().filter(|number| *number < 192) else { return };
        let (facility, severity) = decompose_pri(number);
        self.priority(facility, severity);
        self.member("message", rest);
    }
}

/// Each name once, in the order in which they come first, with all of its values: names in JSON must be distinct.
fn grouped<'a, T>(pairs: impl Iterator<Item = (&'a str, T)>) -> Vec<(&'a str, Vec<T>)> {
    let mut places = HashMap::new();
    let mut groups: Vec<(&str, Vec<T>)> = Vec::new();
    for (name, value) in pairs {
        let place = *places.entry(name).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => groups.push((name, vec![value])),
        }
    }
    groups
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
