//! What a body is, by its headers, and how it is decompressed. Pure.

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;

use super::refusal::Refusal;

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines of any kind.
    Lines,
    /// A JSON object a line.
    Ndjson,
    /// JSON objects and arrays of objects, one behind the other.
    Json,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Format {
    /// By the header `Content-Type`; without one, lines.
    pub(super) fn of(content_type: Option<&[u8]>) -> Result<Self, Refusal> {
        let Some(text) = content_type.map(String::from_utf8_lossy) else {
            return Ok(Self::Lines);
        };
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "" | "text/plain" => Ok(Self::Lines),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines"
            | "application/json-lines" => Ok(Self::Ndjson),
            "application/json" | "text/json" => Ok(Self::Json),
            _ => Err(Refusal::MediaType(shown(&text))),
        }
    }
}

impl Encoding {
    /// By the headers `Content-Encoding`. One encoding, not several on top of each other.
    pub(super) fn of<'a>(headers: impl Iterator<Item = &'a [u8]>) -> Result<Self, Refusal> {
        let all = headers.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
        let mut names = all.split(',').map(|name| name.trim().to_ascii_lowercase());
        let mut encoded = names.by_ref().filter(|name| !name.is_empty() && name != "identity");
        match (encoded.next().as_deref(), encoded.next()) {
            (None, _) => Ok(Self::Identity),
            (Some("gzip" | "x-gzip"), None) => Ok(Self::Gzip),
            (Some("zstd"), None) => Ok(Self::Zstd),
            _ => Err(Refusal::Encoding(shown(&all))),
        }
    }

    /// Decompresses a whole body to at most `bytes_max`. What it needs besides does not depend on the body: gzip looks
    /// back 32 KiB, and zstd, which may look back further, finds it in the result.
    pub(super) fn decode(self, body: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        let too_large = || Refusal::BodyTooLarge(bytes_max, "decompressed");
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => {
                let mut plain = Vec::new();
                // One byte more than allowed shows that there is more.
                let mut limited = MultiGzDecoder::new(body.as_slice()).take(bytes_max as u64 + 1);
                limited
                    .read_to_end(&mut plain)
                    .map_err(|error| Refusal::Malformed(format!("the body is no gzip: {error}")))?;
                if plain.len() > bytes_max { Err(too_large()) } else { Ok(fitted(plain)) }
            }
            Self::Zstd => {
                let mut plain = Vec::with_capacity(bytes_max);
                let mut decompressor = zstd::bulk::Decompressor::new()
                    .map_err(|error| Refusal::Malformed(format!("zstd cannot be set up: {error}")))?;
                match decompressor.decompress_to_buffer(&body, &mut plain) {
                    Ok(_) => Ok(fitted(plain)),
                    Err(error) if error.to_string().contains("Destination buffer is too small") => {
                        Err(too_large())
                    }
                    Err(error) => Err(Refusal::Malformed(format!("the body is no zstd: {error}"))),
                }
            }
        }
    }
}

/// With no memory besides what it holds.
fn fitted(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.shrink_to_fit();
    bytes
}

/// A header's value as it may be shown to whoever sent it.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn formats() {
        let format = |text: &str| Format::of(Some(text.as_bytes()));
        assert_eq!(Format::of(None), Ok(Format::Lines));
        assert_eq!(format("text/plain; charset=utf-8"), Ok(Format::Lines));
        assert_eq!(format("Application/X-NDJSON"), Ok(Format::Ndjson));
        assert_eq!(format("application/jsonl"), Ok(Format::Ndjson));
        assert_eq!(format("application/json;charset=utf-8"), Ok(Format::Json));
        assert_eq!(format("application/xml"), Err(Refusal::MediaType("application/xml".to_owned())));
        assert!(format("application/x-www-form-urlencoded").is_err());
    }

    #[test]
    fn encodings() {
        let encoding = |values: &[&'static str]| Encoding::of(values.iter().map(|value| value.as_bytes()));
        assert_eq!(encoding(&[]), Ok(Encoding::Identity));
        assert_eq!(encoding(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(encoding(&["GZIP"]), Ok(Encoding::Gzip));
        assert_eq!(encoding(&["identity, x-gzip"]), Ok(Encoding::Gzip));
        assert_eq!(encoding(&["zstd"]), Ok(Encoding::Zstd));
        assert_eq!(encoding(&["br"]), Err(Refusal::Encoding("br".to_owned())));
        assert_eq!(encoding(&["gzip", "zstd"]), Err(Refusal::Encoding("gzip,zstd".to_owned())));
        assert_eq!(encoding(&["gzip, gzip"]), Err(Refusal::Encoding("gzip, gzip".to_owned())));
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd_of(plain: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(plain, 3).unwrap()
    }

    #[test]
    fn several_members_are_one_body_and_no_more_than_allowed_comes_out() {
        let plain: Vec<u8> = (0..1_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let twice = [plain.as_slice(), plain.as_slice()].concat();
        for (encoding, compress) in
            [(Encoding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Encoding::Zstd, zstd_of)]
        {
            let body = [compress(&plain), compress(&plain)].concat();
            assert_eq!(encoding.decode(body.clone(), twice.len()).as_ref(), Ok(&twice));
            let refused = Err(Refusal::BodyTooLarge(twice.len() - 1, "decompressed"));
            assert_eq!(encoding.decode(body.clone(), twice.len() - 1), refused);
            let bomb = compress(&vec![0; 64 << 20]);
            assert_eq!(encoding.decode(bomb, 1 << 20), Err(Refusal::BodyTooLarge(1 << 20, "decompressed")));
            for bad in
                [&body[..body.len() - 5], b"plain text, not compressed", &[&body[..], b"more"].concat()]
            {
                let decoded = encoding.decode(bad.to_vec(), 1 << 20);
                assert!(matches!(decoded, Err(Refusal::Malformed(_))), "{encoding:?} {decoded:?}");
            }
        }
    }
}
