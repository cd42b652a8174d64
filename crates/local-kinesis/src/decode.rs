//! A record's bytes → its events, with everything checked that the record says of itself.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::GzDecoder;
use memchr::memchr;
use serde::de::IgnoredAny;

/// A record is at most 10 MiB, and ten times that is more than a forwarder packs into one.
const UNPACKED_BYTES_MAX: usize = 128 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const HEADER_START: &[u8] = b"{\"format\":\"ndjson\",\"count\":";
/// `HEADER_START`, two numbers of up to 20 digits, `,"size":` and `}`.
const HEADER_BYTES_MAX: usize = 29 + 20 + 8 + 20 + 1;

/// How a record was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// gzip of a header line and NDJSON.
    Gzip,
    /// A header line and NDJSON.
    Ndjson,
    /// One JSON object.
    Event,
}

/// A record's events; produced by [`decode`], which has checked them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// How the record was encoded.
    pub encoding: Encoding,
    /// Events in it.
    pub count: usize,
    body: Cow<'a, [u8]>,
    /// Where the events begin, after the header line.
    body_start: usize,
}

/// Why a record's bytes are not what a forwarder may send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("the record is empty")]
    Empty,
    /// The gzip stream is damaged or cut.
    #[error("the gzip stream is damaged: {0}")]
    Gzip(String),
    /// Bytes after the end of the gzip stream.
    #[error("{0} bytes follow the end of the gzip stream")]
    Trailing(usize),
    /// More than the decoder is willing to unpack.
    #[error("the record unpacks to more than {0} bytes")]
    TooLarge(usize),
    /// The first line is no header line.
    #[error("no header line, the record begins with `{0}`")]
    Header(String),
    /// The header's count is wrong.
    #[error("the header says {header} events, there are {found}")]
    Count {
        /// What the header says.
        header: u64,
        /// What is there.
        found: u64,
    },
    /// The header's size is wrong.
    #[error("the header says {header} bytes, there are {found}")]
    Size {
        /// What the header says.
        header: u64,
        /// What is there.
        found: u64,
    },
    /// The last event does not end with a newline.
    #[error("the last event does not end with a newline")]
    Unfinished,
    /// An event is no JSON object.
    #[error("event {index} is no JSON object ({reason}): `{start}`")]
    Event {
        /// Which, from 0.
        index: usize,
        /// What the parser says.
        reason: String,
        /// How the event begins.
        start: String,
    },
}

/// Checks a record and gives its events.
///
/// # Errors
/// When the compression, the header line or an event is not right; each [`DecodeError`] says what was found.
pub fn decode(data: &[u8]) -> Result<Decoded<'_>, DecodeError> {
    if data.is_empty() {
        return Err(DecodeError::Empty);
    }
    if data.starts_with(&GZIP_MAGIC) {
        return decode_batch(Encoding::Gzip, Cow::Owned(unpack(data)?));
    }
    if data.starts_with(HEADER_START) {
        return decode_batch(Encoding::Ndjson, Cow::Borrowed(data));
    }
    check_event(0, data)?;
    Ok(Decoded { encoding: Encoding::Event, count: 1, body: Cow::Borrowed(data), body_start: 0 })
}

/// How many events the record claims to hold; one if it has no header line. Unpacks no more than that line.
pub(crate) fn claimed_events(data: &[u8]) -> u32 {
    let mut start = [0_u8; HEADER_BYTES_MAX + 1];
    let header = if data.starts_with(&GZIP_MAGIC) {
        // A damaged stream claims nothing; it is for `decode` to say what is wrong with it.
        let mut decoder = GzDecoder::new(data);
        let mut filled = 0;
        while let Some(rest) = start.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match decoder.read(rest) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        parse_header(start.get(..filled).unwrap_or_default())
    } else if data.starts_with(HEADER_START) {
        parse_header(data)
    } else {
        None
    };
    header.map_or(1, |header| u32::try_from(header.count).unwrap_or(u32::MAX))
}

/// The unpacked bytes of a record, checked for nothing but gzip.
pub(crate) fn unpacked(data: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    if data.starts_with(&GZIP_MAGIC) { unpack(data).map(Cow::Owned) } else { Ok(Cow::Borrowed(data)) }
}

fn unpack(data: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = GzDecoder::new(data);
    let mut unpacked = Vec::with_capacity(data.len().saturating_mul(6).min(UNPACKED_BYTES_MAX));
    let limit = UNPACKED_BYTES_MAX as u64 + 1;
    let read = decoder.by_ref().take(limit).read_to_end(&mut unpacked);
    read.map_err(|error| DecodeError::Gzip(error.to_string()))?;
    if unpacked.len() > UNPACKED_BYTES_MAX {
        return Err(DecodeError::TooLarge(UNPACKED_BYTES_MAX));
    }
    match decoder.into_inner().len() {
        0 => Ok(unpacked),
        trailing => Err(DecodeError::Trailing(trailing)),
    }
}

struct Header {
    count: u64,
    size: u64,
    /// Bytes of the line, newline included.
    line_bytes: usize,
}

/// Reads `{"format":"ndjson","count":8,"size":3960}` and a newline: these keys, this order, no spaces.
fn parse_header(data: &[u8]) -> Option<Header> {
    let line_end = memchr(b'\n', data.get(..data.len().min(HEADER_BYTES_MAX + 1))?)?;
    let line = data.get(..line_end)?;
    let numbers = line.strip_prefix(HEADER_START)?.strip_suffix(b"}")?;
    let numbers = std::str::from_utf8(numbers).ok()?;
    let (count, size) = numbers.split_once(",\"size\":")?;
    Some(Header { count: plain_number(count)?, size: plain_number(size)?, line_bytes: line_end + 1 })
}

/// A JSON number without sign, fraction or leading zeros.
fn plain_number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

fn decode_batch(encoding: Encoding, data: Cow<'_, [u8]>) -> Result<Decoded<'_>, DecodeError> {
    let header = parse_header(&data).ok_or_else(|| DecodeError::Header(excerpt(&data)))?;
    let body = data.get(header.line_bytes..).unwrap_or_default();
    if body.last().is_some_and(|last| *last != b'\n') {
        return Err(DecodeError::Unfinished);
    }
    let found = body.len() as u64;
    if header.size != found {
        return Err(DecodeError::Size { header: header.size, found });
    }
    let mut count = 0;
    for event in body.split_inclusive(|byte| *byte == b'\n') {
        check_event(count, event)?;
        count += 1;
    }
    if header.count != count as u64 {
        return Err(DecodeError::Count { header: header.count, found: count as u64 });
    }
    Ok(Decoded { encoding, count, body_start: header.line_bytes, body: data })
}

fn check_event(index: usize, event: &[u8]) -> Result<(), DecodeError> {
    let problem = |reason: String| DecodeError::Event { index, reason, start: excerpt(event) };
    if event.trim_ascii_start().first() != Some(&b'{') {
        return Err(problem("it does not begin with a brace".to_owned()));
    }
    serde_json::from_slice::<IgnoredAny>(event).map(|_| ()).map_err(|error| problem(error.to_string()))
}

fn excerpt(data: &[u8]) -> String {
    String::from_utf8_lossy(data.get(..data.len().min(80)).unwrap_or_default()).trim_end().to_owned()
}

impl Decoded<'_> {
    /// The events in order, without their newlines.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        let body = self.body.get(self.body_start..).unwrap_or_default();
        // A single event may be spread over lines; the events of a batch may not.
        let (single, lines) = match self.encoding {
            Encoding::Event => (Some(body), None),
            Encoding::Gzip | Encoding::Ndjson => {
                (None, Some(body.split(|byte| *byte == b'\n').take(self.count)))
            }
        };
        single.into_iter().chain(lines.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn check(data: &[u8], expected: Result<(Encoding, &[&str]), &str>) {
        match (decode(data), expected) {
            (Ok(decoded), Ok((encoding, events))) => {
                let found: Vec<_> =
                    decoded.events().map(|event| std::str::from_utf8(event).unwrap()).collect();
                assert_eq!((decoded.encoding, found.as_slice()), (encoding, events));
                assert_eq!(decoded.count, events.len());
                assert_eq!(claimed_events(data) as usize, events.len());
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "`{error}` lacks `{part}`"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    const BATCH: &[u8] = b"{\"format\":\"ndjson\",\"count\":2,\"size\":18}\n{\"a\":1}\n{\"b\":[2]}\n";

    #[test]
    fn well_formed_records() {
        let events: &[&str] = &["{\"a\":1}", "{\"b\":[2]}"];
        check(BATCH, Ok((Encoding::Ndjson, events)));
        check(&gzip(BATCH), Ok((Encoding::Gzip, events)));
        check(b"{\"a\":\n1}", Ok((Encoding::Event, &["{\"a\":\n1}"])));
        check(b"{\"format\":\"ndjson\",\"count\":0,\"size\":0}\n", Ok((Encoding::Ndjson, &[])));
    }

    #[test]
    fn malformed_records() {
        let with = |header: &str, body: &str| gzip(format!("{header}\n{body}").as_bytes());
        let right = r#"{"format":"ndjson","count":1,"size":8}"#;
        check(&with(right, "{\"a\":1}\n"), Ok((Encoding::Gzip, &["{\"a\":1}"])));

        check(b"", Err("empty"));
        check(b"[1]", Err("does not begin with a brace"));
        check(b"{\"a\":}", Err("expected value"));
        check(&with("{}", "{\"a\":1}\n"), Err("no header line, the record begins with `{}"));
        check(&gzip(b"{\"a\":1}\n"), Err("no header line"));
        for header in [
            r#"{"format":"ndjson","size":8,"count":1}"#,
            r#"{"format":"ndjson", "count":1,"size":8}"#,
            r#"{"format":"ndjson","count":01,"size":8}"#,
            r#"{"format":"ndjson","count":1,"size":8} "#,
            r#"{"format":"ndjson","count":-1,"size":8}"#,
        ] {
            check(&with(header, "{\"a\":1}\n"), Err("no header line"));
        }
        check(&with(right, "{\"a\":1}"), Err("does not end with a newline"));
        check(&with(right, "{\"a\":1}\n{\"a\":1}\n"), Err("says 8 bytes, there are 16"));
        check(&with(right, "{\"a\":\n}\n"), Err("event 0 is no JSON object"));
        check(
            &with(r#"{"format":"ndjson","count":3,"size":8}"#, "{\"a\":1}\n"),
            Err("says 3 events, there are 1"),
        );
        check(&with(r#"{"format":"ndjson","count":1,"size":9}"#, "{\"a\":1}\n\n"), Err("event 1"));
    }

    #[test]
    fn damaged_gzip() {
        let whole = gzip(BATCH);
        for cut in 3..whole.len() {
            assert!(matches!(decode(&whole[..cut]), Err(DecodeError::Gzip(_))), "cut at {cut}");
            claimed_events(&whole[..cut]);
        }
        let mut flipped = whole.clone();
        *flipped.iter_mut().rev().nth(5).unwrap() ^= 1;
        check(&flipped, Err("gzip stream is damaged"));
        check(&[whole.as_slice(), b"xyz"].concat(), Err("3 bytes follow"));
    }
}
