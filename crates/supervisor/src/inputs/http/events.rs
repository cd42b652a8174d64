//! From a body to lines, one for each event. Pure.
//!
//! The whole body is checked before anything of it is handed on, so that one that is refused leaves nothing behind.

use memchr::{memchr, memchr2, memrchr};
use serde::de::IgnoredAny;

use super::super::lines::take_lines;
use super::content::Format;
use super::refusal::Refusal;
use crate::chunk::Codec;

/// Bytes of a chunk, unless a single line is longer.
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// The events of a body, as lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Events {
    /// Each is a line; only the last may lack its end.
    pub(super) data: Vec<u8>,
    /// How a line becomes an event.
    pub(super) codec: Codec,
    /// Lines in `data`.
    pub(super) count: u64,
    /// How many of these were cut.
    pub(super) cut: u64,
    /// Bytes of cut lines that are not in `data`.
    pub(super) cut_bytes: u64,
}

impl Events {
    /// Reads a whole body. `codec` is for lines; JSON says itself what it is.
    pub(super) fn of(format: Format, body: &[u8], codec: Codec, max_line: usize) -> Result<Self, Refusal> {
        // Some clients begin UTF-8 with a byte order mark, which is not part of the text.
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        match format {
            Format::Lines => {
                let taken = take_lines(body, false, max_line, true);
                let (count, cut, cut_bytes) = (taken.lines, taken.cut, taken.cut_bytes);
                Ok(Self { data: taken.data, codec, count, cut, cut_bytes })
            }
            Format::Ndjson => ndjson(body, max_line),
            Format::Json => json(body, max_line),
        }
    }

    /// Appends one JSON object that was checked, as a line.
    fn push(&mut self, object: &[u8], max_line: usize) -> Result<(), Refusal> {
        self.count += 1;
        if object.len() > max_line {
            return Err(Refusal::EventTooLarge { index: self.count, bytes: object.len(), max: max_line });
        }
        let begin = self.data.len();
        self.data.extend_from_slice(object);
        // Line ends are white space between its parts: inside of a string JSON wants them escaped.
        let mut at = begin;
        while let Some(found) = memchr2(b'\n', b'\r', &self.data[at..]) {
            self.data[at + found] = b' ';
            at += found + 1;
        }
        self.data.push(b'\n');
        Ok(())
    }

    fn of_json(bytes: usize) -> Self {
        // Each event has a line end where its line, its array or its neighbour had something as well, mostly.
        Self { data: Vec::with_capacity(bytes + 1), codec: Codec::Json, count: 0, cut: 0, cut_bytes: 0 }
    }
}

fn ndjson(body: &[u8], max_line: usize) -> Result<Events, Refusal> {
    let mut events = Events::of_json(body.len());
    let mut rest = body;
    let mut number = 0_u64;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest[..end].trim_ascii();
        rest = rest.get(end + 1..).unwrap_or_default();
        number += 1;
        if line.is_empty() {
            continue;
        }
        let bad = |what: &str| Refusal::Malformed(format!("line {number} is no JSON object: {what}"));
        let end = object_end(line).map_err(|what| bad(&what))?;
        if end < line.len() {
            return Err(bad("there is more behind it on the line"));
        }
        events.push(line, max_line)?;
    }
    Ok(events)
}

fn json(body: &[u8], max_line: usize) -> Result<Events, Refusal> {
    let mut scan = Scan { body, at: 0, events: Events::of_json(body.len()), max_line };
    loop {
        match scan.peek() {
            None => return Ok(scan.events),
            Some(b'[') => scan.array()?,
            Some(_) => scan.object()?,
        }
    }
}

/// The way through JSON text whose objects are events.
struct Scan<'a> {
    body: &'a [u8],
    at: usize,
    events: Events,
    max_line: usize,
}

impl Scan<'_> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.body[self.at..];
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    fn array(&mut self) -> Result<(), Refusal> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.object()?;
            let found = self.peek();
            self.at += 1;
            match found {
                Some(b',') => _ = self.peek(),
                Some(b']') => return Ok(()),
                Some(_) => return Err(self.bad("behind it there is neither `,` nor `]`")),
                None => return Err(self.bad("behind it the array breaks off")),
            }
        }
    }

    fn object(&mut self) -> Result<(), Refusal> {
        let rest = &self.body[self.at..];
        match object_end(rest) {
            Ok(end) => {
                self.events.push(&rest[..end], self.max_line)?;
                self.at += end;
                Ok(())
            }
            Err(what) => {
                self.events.count += 1;
                let begin = self.at;
                Err(self.bad(&format!("it begins at byte {begin} of the body and is no JSON object: {what}")))
            }
        }
    }

    /// Something is wrong with, or behind, the event that was read last.
    fn bad(&self, what: &str) -> Refusal {
        Refusal::Malformed(format!("event {}: {what}", self.events.count))
    }
}

/// Where the JSON object ends that `text` begins with. `Err`: why there is none.
fn object_end(text: &[u8]) -> Result<usize, String> {
    if text.first() != Some(&b'{') {
        return Err("it does not begin with `{`".to_owned());
    }
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(values.byte_offset()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it is empty".to_owned()),
    }
}

/// Where the first chunk of these lines ends: at the end of a line.
pub(super) fn chunk_end(lines: &[u8]) -> usize {
    let Some(first) = lines.get(..CHUNK_BYTES_MAX) else {
        return lines.len();
    };
    let end =
        memrchr(b'\n', first).or_else(|| memchr(b'\n', &lines[first.len()..]).map(|end| first.len() + end));
    end.map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
