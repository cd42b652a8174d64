//! From messages to events: the hot path. Nothing is parsed into a tree, nothing is allocated per message.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;

use memchr::memchr2;

use crate::chunk::{Chunk, Codec, Form};
use crate::processing::system_fields::Fields;
use crate::processing::{Tail, json};

/// What became of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was wrapped as text.
    Text,
    /// It was a JSON object and passed as it is.
    Json,
    /// It should have been a JSON object, is none, and was wrapped as text.
    NotAnObject,
}

/// Turns the messages of one chunk into events.
#[derive(Debug)]
pub struct EventWriter {
    codec: Codec,
    /// The messages are events already.
    are_events: bool,
    /// What stands behind the escaped line: time, host, source and system fields are the same for a whole chunk.
    suffix: Vec<u8>,
    /// The system fields; none where there is nothing to add.
    tail: Option<Arc<Tail>>,
}

impl EventWriter {
    /// A writer for the messages of `chunk`, read on the machine named `host`.
    #[must_use]
    pub fn new(chunk: &Chunk, host: &str) -> Self {
        let (are_events, tail) = match &chunk.form {
            Form::AsRead(tail) => (false, tail.clone()),
            Form::Events(_) => (true, None),
        };
        Self { are_events, ..Self::with_tail(chunk, host, tail) }
    }

    /// The same for messages as they were read, with these system fields.
    #[must_use]
    pub fn with_tail(chunk: &Chunk, host: &str, tail: Option<Arc<Tail>>) -> Self {
        let mut suffix = b"\",\"_time\":".to_vec();
        let (seconds, millis) = (chunk.read_at_ms.div_euclid(1000), chunk.read_at_ms.rem_euclid(1000));
        // Writing to a Vec cannot fail.
        write!(suffix, "{seconds}.{millis:03}").expect("a Vec takes what is written to it");
        suffix.extend_from_slice(b",\"host\":\"");
        escape(chunk.host.as_deref().unwrap_or(host).as_bytes(), &mut suffix);
        suffix.extend_from_slice(b"\",\"source\":\"");
        escape(chunk.source.as_bytes(), &mut suffix);
        suffix.push(b'"');
        if let Some(tail) = &tail {
            tail.push(Fields::default(), false, &mut suffix);
        }
        suffix.push(b'}');
        Self { codec: chunk.codec, are_events: false, suffix, tail }
    }

    /// The system fields that it adds.
    #[must_use]
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_deref()
    }

    /// Appends the event of one message, which must be valid UTF-8, to `out`: a line of its own, whatever it holds.
    pub fn write(&self, line: &[u8], out: &mut Vec<u8>) -> Written {
        if self.are_events {
            out.extend_from_slice(line);
            return Written::Json;
        }
        let mut written = Written::Text;
        if self.codec == Codec::Json {
            if let Some(look) = json::look(line) {
                self.write_object(line, look, out);
                return Written::Json;
            }
            written = Written::NotAnObject;
        }
        self.write_text(line, out);
        written
    }

    /// Appends the event of a line that is wrapped.
    pub fn write_text(&self, line: &[u8], out: &mut Vec<u8>) {
        out.reserve(line.len() + self.suffix.len() + 16);
        out.extend_from_slice(b"{\"_raw\":\"");
        escape(line, out);
        out.extend_from_slice(&self.suffix);
    }

    /// Appends a JSON object, of which `look` is what is in it, as it is but for internal fields and system fields.
    pub fn write_object(&self, object: &[u8], look: json::Look, out: &mut Vec<u8>) {
        let begin = out.len();
        if look.internal {
            json::without_internal(object, out);
        } else {
            out.extend_from_slice(object);
        }
        if let Some(tail) = &self.tail {
            let end = out.trim_ascii_end().len().max(begin + 2) - 1;
            out.truncate(end);
            let is_first = out[begin..].trim_ascii_end().ends_with(b"{");
            tail.push(look.present, is_first, out);
            out.push(b'}');
        }
        join_lines(&mut out[begin..]);
    }

    /// Appends the event of a line whose event would be too large, cut so that it has at most `bytes_max` bytes, with
    /// `"_truncated":true` in it. What is cut is `_raw`; an object without one is wrapped as text first.
    pub fn write_cut(&self, line: &[u8], bytes_max: usize, out: &mut Vec<u8>) {
        if self.are_events || self.codec == Codec::Json {
            let mut event = Vec::new();
            self.write(line, &mut event);
            if json::cut_raw(&event, bytes_max, out) {
                return;
            }
        }
        const HEAD: &[u8] = b"{\"_raw\":\"";
        const MARK: &[u8] = b"\",\"_truncated\":true";
        let room = bytes_max.saturating_sub(HEAD.len() + MARK.len() + self.suffix.len());
        out.extend_from_slice(HEAD);
        escape_begin(&String::from_utf8_lossy(line), room, out);
        out.extend_from_slice(MARK);
        // The suffix begins by closing the string, which the mark has done.
        out.extend_from_slice(&self.suffix[1..]);
    }
}

/// Makes one line of a JSON object. Line ends in it are white space between its parts: inside of a string JSON wants them
/// escaped.
fn join_lines(object: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = memchr2(b'\n', b'\r', &object[at..]) {
        object[at + found] = b' ';
        at += found + 1;
    }
}

/// The message with U+FFFD for what is not UTF-8.
#[must_use]
pub fn valid(message: &[u8]) -> Cow<'_, [u8]> {
    match String::from_utf8_lossy(message) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const LOWS: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// Marks, in the high bit of each byte, the bytes of `word` that JSON wants escaped: `"`, `\` and what is below a space.
fn escapes_in(word: u64) -> u64 {
    // No carry leaves a byte, so that each mark is exact.
    let zero_bytes = |word: u64| !(((word & LOWS) + LOWS) | word | LOWS);
    zero_bytes(word & (ONES * 0xe0)) | zero_bytes(word ^ (ONES * 0x22)) | zero_bytes(word ^ (ONES * 0x5c))
}

/// Without a branch, so that many can be looked at together.
fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Bytes that are looked at together: as much as the compiler makes a few vector instructions of.
const BLOCK: usize = 32;

fn has_escape(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(false, |found, byte| found | needs_escape(*byte))
}

/// Appends `text` as the inside of a JSON string.
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut escaping = Escaping { text, copied: 0, out };
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().enumerate() {
        if has_escape(block) {
            escaping.escape_in(index * BLOCK, block);
        }
    }
    escaping.escape_in(blocks.len() * BLOCK, rest);
    escaping.out.extend_from_slice(&text[escaping.copied..]);
}

/// Appends the begin of a text as the inside of a JSON string: as many characters as take at most `room` bytes there.
pub fn escape_begin(text: &str, mut room: usize, out: &mut Vec<u8>) {
    let mut escaped = Vec::with_capacity(8);
    for char in text.chars() {
        escaped.clear();
        escape(char.encode_utf8(&mut [0; 4]).as_bytes(), &mut escaped);
        let Some(left) = room.checked_sub(escaped.len()) else { break };
        room = left;
        out.extend_from_slice(&escaped);
    }
}

/// A text on its way into a JSON string.
struct Escaping<'a> {
    text: &'a [u8],
    /// All before this is in `out`.
    copied: usize,
    out: &'a mut Vec<u8>,
}

impl Escaping<'_> {
    /// Escapes what is in `part`, which begins at `begin`.
    fn escape_in(&mut self, begin: usize, part: &[u8]) {
        let (words, rest) = part.as_chunks::<8>();
        for (index, word) in words.iter().enumerate() {
            let mut marks = escapes_in(u64::from_le_bytes(*word));
            while marks != 0 {
                self.escape_at(begin + index * 8 + marks.trailing_zeros() as usize / 8);
                marks &= marks - 1;
            }
        }
        let begin = begin + words.len() * 8;
        for (index, _) in rest.iter().enumerate().filter(|(_, byte)| needs_escape(**byte)) {
            self.escape_at(begin + index);
        }
    }

    /// Escapes the byte there, and copies what is before it.
    fn escape_at(&mut self, at: usize) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.out.extend_from_slice(&self.text[self.copied..at]);
        self.copied = at + 1;
        let byte = self.text[at];
        let letter = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                self.out.extend_from_slice(b"\\u00");
                self.out.extend_from_slice(&digits);
                return;
            }
        };
        self.out.extend_from_slice(&[b'\\', letter]);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::{Framing, Receipt};
    use crate::processing::SystemFields;
    use crate::processing::system_fields::Facts;

    fn chunk(codec: Codec) -> Chunk {
        Chunk {
            input: "app".into(),
            source: "/var/log/\"odd\".log".into(),
            host: None,
            codec,
            read_at_ms: 1_732_000_000_007,
            data: Bytes::new(),
            framing: Framing::Lines,
            form: Form::default(),
            receipt: Receipt::new(|_| {}),
        }
    }

    fn event(codec: Codec, line: &str) -> (String, Written) {
        let mut out = Vec::new();
        let written = EventWriter::new(&chunk(codec), "gate-7").write(line.as_bytes(), &mut out);
        (String::from_utf8(out).unwrap(), written)
    }

    #[test]
    fn text_is_wrapped() {
        let (event, written) = event(Codec::Text, "a \"b\" \\ \t \u{1} é");
        assert_eq!(written, Written::Text);
        let expected = concat!(
            r#"{"_raw":"a \"b\" \\ \t \u0001 é","_time":1732000000.007,"#,
            r#""host":"gate-7","source":"/var/log/\"odd\".log"}"#
        );
        assert_eq!(event, expected);
    }

    #[test]
    fn a_json_object_passes_byte_for_byte_and_anything_else_is_wrapped() {
        for object in ["{}", r#"{"b":1.50,"a":[1, 2],"b":2}"#, r#" {"x":123456789012345678901234567890} "#] {
            assert_eq!(event(Codec::Json, object), (object.to_owned(), Written::Json));
        }
        for other in ["", "[1]", "12", "{", "{} {}", "{\"a\":}", "plain", "\"{}\""] {
            let (event, written) = event(Codec::Json, other);
            assert_eq!(written, Written::NotAnObject, "{other}");
            let value: serde_json::Value = serde_json::from_str(&event).unwrap();
            assert_eq!(value["_raw"], other);
        }
    }

    #[test]
    fn system_fields_are_put_behind_what_an_object_has_and_internal_fields_are_left_out() {
        let (chosen, _) = SystemFields::choose(&["cribl_pipe".to_owned(), "cribl_wp".to_owned()]);
        let facts = Facts { pipelines: &["p"], host: "h", input: ("file", "app"), output: "a", route: "a" };
        let tail = Some(Arc::new(Tail::new(&chosen, &facts)));
        let chunk = |codec| Chunk { form: Form::AsRead(tail.clone()), ..chunk(codec) };
        let check = |codec, line: &str, expected: &str| {
            let mut out = b"before".to_vec();
            EventWriter::new(&chunk(codec), "h").write(line.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"), "{line}");
        };
        check(Codec::Json, "{}", r#"{"cribl_pipe":"p","cribl_wp":"w0"}"#);
        check(Codec::Json, " { } ", r#" { "cribl_pipe":"p","cribl_wp":"w0"}"#);
        check(Codec::Json, "{\"a\":1.0 }\t", r#"{"a":1.0 ,"cribl_pipe":"p","cribl_wp":"w0"}"#);
        check(Codec::Json, r#"{"cribl_pipe":1,"__b":{"}":1}}"#, r#"{"cribl_pipe":1,"cribl_wp":"w0"}"#);
        check(Codec::Json, r#"{"__b":2}"#, r#"{"cribl_pipe":"p","cribl_wp":"w0"}"#);
        check(Codec::Json, r#"{"cribl_wp":1,"cribl_pipe":[]}"#, r#"{"cribl_wp":1,"cribl_pipe":[]}"#);
        let wrapped = r#"{"_raw":"x","_time":1732000000.007,"host":"h","source":"/var/log/\"odd\".log","cribl_pipe":"p","cribl_wp":"w0"}"#;
        check(Codec::Json, "x", wrapped);
        check(Codec::Text, "x", wrapped);
    }

    #[test]
    fn an_event_that_is_cut_keeps_its_fields() {
        let object = format!(r#"{{"a":1,"_raw":"{}","b":2}}"#, "x".repeat(1000));
        for form in [Form::default(), Form::Events(Arc::default())] {
            let chunk = Chunk { form, ..chunk(Codec::Json) };
            let mut out = Vec::new();
            EventWriter::new(&chunk, "h").write_cut(object.as_bytes(), 100, &mut out);
            let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert!(out.len() == 100 && event["a"] == 1 && event["b"] == 2 && event["_truncated"] == true);
        }
    }

    #[test]
    fn an_object_of_several_lines_becomes_one() {
        let (event, written) = event(Codec::Json, "{\n  \"a\": \"b\\n\",\r\n  \"c\": 1\n}\n");
        assert_eq!((event.as_str(), written), ("{   \"a\": \"b\\n\",    \"c\": 1 } ", Written::Json));
    }

    #[test]
    fn a_peer_is_the_host() {
        let mut out = Vec::new();
        let chunk = Chunk { host: Some("192.0.2.7".into()), ..chunk(Codec::Text) };
        EventWriter::new(&chunk, "gate-7").write(b"x", &mut out);
        let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(event["host"], "192.0.2.7");
    }

    #[test]
    fn a_cut_event_is_valid_marked_and_no_larger_than_allowed() {
        let line = "é\"\u{1}x".repeat(100);
        let writer = EventWriter::new(&chunk(Codec::Text), "gate-7");
        for bytes_max in 120..700 {
            let mut out = Vec::new();
            writer.write_cut(line.as_bytes(), bytes_max, &mut out);
            assert!(out.len() <= bytes_max && out.len() + 6 >= bytes_max, "{} of {bytes_max}", out.len());
            let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(event["_truncated"], true);
            assert!(line.starts_with(event["_raw"].as_str().unwrap()));
            assert_eq!(event["host"], "gate-7");
        }
    }

    proptest! {
        #[test]
        fn escapes_as_serde_json_does(text in any::<String>()) {
            let mut out = vec![b'"'];
            escape(text.as_bytes(), &mut out);
            out.push(b'"');
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }

        /// Whatever is looked at together: the same as byte by byte.
        #[test]
        fn escapes_in_blocks_as_byte_by_byte(
            text in proptest::collection::vec(
                prop_oneof![8 => Just(b'x'), 1 => any::<u8>(), 1 => prop::sample::select(b"\"\\\n\x1f \x7f\x80\xa2\xdc\xff".to_vec())],
                0..120,
            ),
        ) {
            let (mut together, mut apart) = (Vec::new(), Vec::new());
            escape(&text, &mut together);
            text.iter().for_each(|byte| escape(&[*byte], &mut apart));
            prop_assert_eq!(together, apart);
        }
    }
}
