//! Reads records back into events, for people and for proofs. Reads what anyone wrote: every size
//! is checked before memory is given to it.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use crate::batch::Format;
use crate::record::{Header, parse_header};

/// A record, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The header line, if the record has one.
    pub header: Option<Header>,
    /// The events: NDJSON behind a header, otherwise one event: a JSON object, or the bytes of an
    /// opaque record.
    pub body: Bytes,
}

/// Why a record cannot be read as its format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not gzip, or damaged.
    #[error("the record is not valid gzip: {0}")]
    Gzip(String),
    /// More than the caller allows.
    #[error("the record is larger than {bytes_max} bytes when unpacked")]
    TooLarge {
        /// The limit given.
        bytes_max: usize,
    },
    /// The first line is not a header.
    #[error("the record does not begin with a header line: {0}")]
    Header(String),
    /// The header promises something else than the body holds.
    #[error(
        "the header says {} events in {} bytes, the body has {count} in {size}",
        header.count, header.size
    )]
    Mismatch {
        /// What the header says.
        header: Header,
        /// Events found.
        count: u64,
        /// Bytes found.
        size: u64,
    },
}

impl Decoded {
    /// The events, in order, without their line feed.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.header.is_some();
        let mut rest: Option<&[u8]> = Some(&self.body);
        std::iter::from_fn(move || {
            let body = rest.filter(|body| !body.is_empty())?;
            let end = if lines { find_line_feed(body) } else { None };
            match end {
                Some(end) => {
                    rest = Some(&body[end + 1..]);
                    Some(&body[..end])
                }
                None => {
                    rest = None;
                    Some(body)
                }
            }
        })
    }
}

fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// Decodes one record of a known format and compares the header with what is there. `bytes_max`
/// bounds the unpacked bytes.
pub fn decode(format: Format, data: &Bytes, bytes_max: usize) -> Result<Decoded, DecodeError> {
    let unpacked = match format {
        Format::Gzip => unpack(data, bytes_max)?,
        Format::Ndjson | Format::Event | Format::Opaque => data.clone(),
    };
    if unpacked.len() > bytes_max {
        return Err(DecodeError::TooLarge { bytes_max });
    }
    match format {
        Format::Gzip | Format::Ndjson => split_header(unpacked),
        Format::Event | Format::Opaque => Ok(Decoded { header: None, body: unpacked }),
    }
}

/// What a record of unknown origin seems to be, by its first bytes: for records that were read back
/// from a stream.
pub fn sniff(data: &[u8]) -> Format {
    if data.starts_with(&[0x1f, 0x8b]) {
        return Format::Gzip;
    }
    let first_line = find_line_feed(data).map(|end| &data[..end]);
    match first_line {
        Some(line) if parse_header(line).is_ok() => Format::Ndjson,
        _ if data.starts_with(b"{") => Format::Event,
        _ => Format::Opaque,
    }
}

fn unpack(data: &[u8], bytes_max: usize) -> Result<Bytes, DecodeError> {
    let mut unpacked = Vec::with_capacity(data.len().saturating_mul(6).min(bytes_max));
    MultiGzDecoder::new(data)
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| DecodeError::Gzip(error.to_string()))?;
    if unpacked.len() > bytes_max {
        return Err(DecodeError::TooLarge { bytes_max });
    }
    Ok(Bytes::from(unpacked))
}

fn split_header(mut unpacked: Bytes) -> Result<Decoded, DecodeError> {
    let end =
        find_line_feed(&unpacked).ok_or_else(|| DecodeError::Header("there is no line feed".to_owned()))?;
    let header = parse_header(&unpacked[..end]).map_err(DecodeError::Header)?;
    let body = unpacked.split_off(end + 1);
    let decoded = Decoded { header: Some(header), body };
    let count = decoded.events().count() as u64;
    let size = decoded.body.len() as u64;
    if (u64::from(header.count), header.size) != (count, size) {
        return Err(DecodeError::Mismatch { header, count, size });
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::gzip;

    const NDJSON: &str = "{\"format\":\"ndjson\",\"count\":2,\"size\":16}\n{\"a\":1}\n{\"a\":2}\n";

    fn events(decoded: &Decoded) -> Vec<&str> {
        decoded.events().map(|event| std::str::from_utf8(event).unwrap()).collect()
    }

    #[test]
    fn each_format_is_read() {
        let check = |format: Format, data: &[u8], expected: &[&str]| {
            assert_eq!(sniff(data), format);
            let decoded = decode(format, &Bytes::copy_from_slice(data), 1000).unwrap();
            assert_eq!(events(&decoded), expected);
        };
        check(Format::Ndjson, NDJSON.as_bytes(), &["{\"a\":1}", "{\"a\":2}"]);
        check(Format::Gzip, &gzip(NDJSON.as_bytes(), 6), &["{\"a\":1}", "{\"a\":2}"]);
        check(Format::Event, b"{\"a\":1}", &["{\"a\":1}"]);
        check(Format::Opaque, b"\x00\n\n", &["\0\n\n"]);
        check(Format::Opaque, b"", &[]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |format: Format, data: &[u8], expected: &str| {
            let error = decode(format, &Bytes::copy_from_slice(data), 1000).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error} should contain {expected:?}");
        };
        check(Format::Gzip, b"nope", "not valid gzip");
        check(Format::Gzip, &gzip(NDJSON.as_bytes(), 6)[..30], "not valid gzip");
        check(Format::Gzip, &gzip(&[b' '; 5000], 6), "larger than 1000");
        check(Format::Ndjson, &[b' '; 5000], "larger than 1000");
        check(Format::Ndjson, b"{}", "no line feed");
        check(Format::Ndjson, b"{}\n", "does not begin with a header");
        check(
            Format::Ndjson,
            NDJSON.replace("16", "17").as_bytes(),
            "2 events in 17 bytes, the body has 2 in 16",
        );
        check(Format::Ndjson, NDJSON.replace(":2,", ":3,").as_bytes(), "says 3 events");
    }

    #[test]
    fn several_gzip_members_are_one_record() {
        let mut data = gzip(&NDJSON.as_bytes()[..20], 1).to_vec();
        data.extend_from_slice(&gzip(&NDJSON.as_bytes()[20..], 9));
        let decoded = decode(Format::Gzip, &Bytes::from(data), 1000).unwrap();
        assert_eq!(events(&decoded).len(), 2);
    }
}
