//! How the fields of requests are read: borrowed where they can be, base64 straight to bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::error::ServiceError;

/// A text, borrowed from the request unless it has escapes. (`Option<Cow<str>>` would always be copied.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visit)
    }
}

/// Bytes that stand in base64 in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Blob;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string of base64")
            }

            fn visit_bytes<E: Error>(self, base64: &[u8]) -> Result<Self::Value, E> {
                let decoded = base64_simd::STANDARD.decode_to_vec(base64);
                decoded
                    .map(Blob)
                    .map_err(|_| E::custom("the string can not be converted to a Blob: invalid base64"))
            }
        }
        // Reading it as bytes saves checking all of it for UTF-8.
        deserializer.deserialize_bytes(Visit)
    }
}

/// The records of a PutRecords. Those beyond `RECORDS_MAX` are counted and dropped: they will be refused anyway.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    pub(crate) kept: Vec<Entry<'a>>,
    pub(crate) count: usize,
}

/// One record of a PutRecords.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry<'a> {
    pub(crate) data: Option<Blob>,
    #[serde(borrow)]
    pub(crate) partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) explicit_hash_key: Option<Text<'a>>,
}

impl Entries<'_> {
    //= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html (read 2026-11)
    //# Each PutRecords request can support up to 500 records.
    pub(crate) const RECORDS_MAX: usize = 500;
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut entries = Entries { kept: Vec::new(), count: 0 };
                while entries.count < Entries::RECORDS_MAX {
                    let Some(entry) = list.next_element()? else {
                        return Ok(entries);
                    };
                    entries.kept.push(entry);
                    entries.count += 1;
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    entries.count += 1;
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_seq(Visit)
    }
}

/// Reads a request's body.
pub(crate) fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ServiceError> {
    serde_json::from_slice(body).map_err(|error| ServiceError::serialization(error.to_string()))
}

/// A value as an opaque token for clients to hand back.
pub(crate) fn to_token(value: &impl Serialize) -> String {
    let json = serde_json::to_vec(value).expect("tokens are plain structs, which always serialise");
    base64_simd::STANDARD.encode_to_string(json)
}

/// The value in a token; none if it is none of ours.
pub(crate) fn from_token<T: DeserializeOwned>(token: &str) -> Option<T> {
    let json = base64_simd::STANDARD.decode_to_vec(token.as_bytes()).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_unless_escaped() {
        let entry: Entry<'_> =
            parse(br#"{"PartitionKey":"plain","ExplicitHashKey":"a\u0062","Other":[1]}"#).unwrap();
        assert!(matches!(&entry.partition_key, Some(Text(Cow::Borrowed("plain")))));
        assert!(matches!(&entry.explicit_hash_key, Some(Text(Cow::Owned(text))) if text == "ab"));
        assert_eq!(entry.data, None);
    }

    #[test]
    fn blobs() {
        let blob = |json: &str| parse::<Blob>(json.as_bytes()).map(|blob| blob.0);
        assert_eq!(blob(r#""aGVsbG8=""#).unwrap(), b"hello");
        assert_eq!(blob(r#""""#).unwrap(), b"");
        // Some encoders write a slash as \/.
        assert_eq!(blob(r#""\/\/8=""#).unwrap(), [0xff, 0xff]);
        for wrong in [r#""aGVsbG8""#, r#""!!!!""#, "7", "[1]", "null", "{}"] {
            assert_eq!(blob(wrong).unwrap_err().code, "SerializationException", "{wrong}");
        }
    }

    #[test]
    fn entries_beyond_the_limit_are_only_counted() {
        let list = format!("[{}]", vec![r#"{"Data":"YQ=="}"#; 700].join(","));
        let entries: Entries<'_> = parse(list.as_bytes()).unwrap();
        assert_eq!((entries.kept.len(), entries.count), (500, 700));
    }

    #[test]
    fn tokens_round_trip() {
        assert_eq!(from_token::<(u8, String)>(&to_token(&(7, "x"))), Some((7, "x".to_owned())));
        for wrong in ["", "!", "bm8="] {
            assert_eq!(from_token::<(u8, String)>(wrong), None, "{wrong}");
        }
    }
}
