//! The header line in front of NDJSON, and partition keys: what a record has besides its events.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::limits::PARTITION_KEY_UNITS_MAX;

/// `{"format":"ndjson","count":N,"size":S}` and `\n` without the digits of N and S.
const HEADER_BYTES_FIXED: usize = 37;

/// A header line at its longest: two numbers of ten digits.
pub const HEADER_BYTES_MAX: usize = HEADER_BYTES_FIXED + 10 + 10;

/// Characters of a random partition key.
pub const RANDOM_KEY_BYTES: usize = 8;

/// What the header line of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Events in the record.
    pub count: u32,
    /// Bytes after the header line, before compression, with one `\n` after each event.
    pub size: u64,
}

/// Bytes of the header line, its line feed included.
pub fn header_len(count: u32, size: u32) -> usize {
    HEADER_BYTES_FIXED + digits(count) + digits(size)
}

fn digits(number: u32) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// The header line, its line feed included. Other consumers rely on the order of the keys and on
/// there being no spaces.
pub fn header_line(count: u32, size: u32) -> String {
    let line = format!("{{\"format\":\"ndjson\",\"count\":{count},\"size\":{size}}}\n");
    assert_eq!(line.len(), header_len(count, size), "header length is computed right");
    line
}

/// Reads a header line (without its line feed). Tolerates other spacing, order and further keys;
/// `Err` says what is wrong.
pub fn parse_header(line: &[u8]) -> Result<Header, String> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        format: &'a str,
        count: u32,
        size: u64,
    }
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if line.format != "ndjson" {
        return Err(format!("its format is {:?}, not \"ndjson\"", line.format));
    }
    Ok(Header { count: line.count, size: line.size })
}

/// Appends a random partition key. The service places a record by the MD5 of its key, so 32 random
/// bits spread as evenly as more would, and each character costs bandwidth on every record.
pub fn push_random_key(random: &mut fastrand::Rng, keys: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits = random.u32(..);
    let key: [u8; RANDOM_KEY_BYTES] = std::array::from_fn(|digit| HEX[(bits >> (4 * digit)) as usize & 15]);
    keys.push_str(std::str::from_utf8(&key).expect("digits are ASCII"));
}

/// The longest begin of `text` that is legal as a partition key: at most 256 UTF-16 units.
pub fn cut_to_key(text: &str) -> &str {
    let mut units = 0;
    for (offset, character) in text.char_indices() {
        units += character.len_utf16();
        if units > PARTITION_KEY_UNITS_MAX {
            return &text[..offset];
        }
    }
    text
}

/// Whether the service takes this partition key: 1 to 256 UTF-16 units.
pub fn is_legal_key(key: &str) -> bool {
    !key.is_empty() && cut_to_key(key).len() == key.len()
}

/// Appends the value of a top-level field of a JSON object to `text`: strings as they are, numbers in
/// their shortest form, booleans as words. `false`, and nothing appended, where the field is missing,
/// null, empty, or not a scalar. The object is walked, not built; nothing is allocated but `text`.
pub fn push_field_value(event: &[u8], name: &str, text: &mut String) -> bool {
    let before = text.len();
    let walk = FieldWalk { name, text };
    // Whether what follows the field is valid JSON is not the question here.
    drop(serde_json::Deserializer::from_slice(event).deserialize_map(walk));
    text.len() > before
}

struct FieldWalk<'a> {
    name: &'a str,
    text: &'a mut String,
}

impl<'de> Visitor<'de> for FieldWalk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(matches) = map.next_key_seed(KeyIs(self.name))? {
            if matches {
                return map.next_value_seed(ScalarTo(self.text));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

struct KeyIs<'a>(&'a str);

impl<'de> serde::de::DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

/// Appends a value that has an obvious text, and nothing for others.
struct ScalarTo<'a>(&'a mut String);

impl ScalarTo<'_> {
    fn push(self, value: impl fmt::Display) {
        fmt::Write::write_fmt(self.0, format_args!("{value}")).expect("a string takes whatever is written");
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for ScalarTo<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarTo<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.push_str(value);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.push(value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.push(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_line_is_pinned() {
        assert_eq!(header_line(8, 3960), "{\"format\":\"ndjson\",\"count\":8,\"size\":3960}\n");
        assert_eq!(header_line(u32::MAX, u32::MAX).len(), HEADER_BYTES_MAX);
        for (count, size) in [(0, 0), (9, 10), (99, 100), (1_000, 999_999), (1, 10_485_760)] {
            assert_eq!(header_line(count, size).len(), header_len(count, size));
        }
    }

    #[test]
    fn header_is_read_tolerantly_and_refused_clearly() {
        let header = Header { count: 8, size: 3960 };
        let check = |line: &str, expected: Result<Header, &str>| match parse_header(line.as_bytes()) {
            Ok(found) => assert_eq!(Ok(found), expected, "{line}"),
            Err(error) => {
                let wanted = expected.expect_err(line);
                assert!(error.contains(wanted), "{line}: {error:?} should contain {wanted:?}");
            }
        };
        check(r#"{"format":"ndjson","count":8,"size":3960}"#, Ok(header));
        check(r#"{ "size": 3960, "count": 8, "format": "ndjson", "more": [1] }"#, Ok(header));
        check(r#"{"format":"csv","count":8,"size":3960}"#, Err("csv"));
        check(r#"{"_raw":"x"}"#, Err("missing field"));
        check("", Err("EOF"));
        check(r#"{"format":"ndjson","count":-1,"size":3960}"#, Err("-1"));
    }

    #[test]
    fn random_keys_are_short_legal_and_spread() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut first_characters = std::collections::BTreeMap::new();
        for _ in 0..16_000 {
            let mut key = String::new();
            push_random_key(&mut random, &mut key);
            assert_eq!(key.len(), RANDOM_KEY_BYTES);
            assert!(is_legal_key(&key));
            *first_characters.entry(key.as_bytes()[0]).or_insert(0) += 1;
        }
        assert_eq!(first_characters.len(), 16);
        assert!(first_characters.values().all(|n| (850..1150).contains(n)), "{first_characters:?}");
    }

    #[test]
    fn keys_are_counted_in_utf16_units() {
        assert!(is_legal_key("k"));
        assert!(!is_legal_key(""));
        assert!(is_legal_key(&"x".repeat(256)));
        assert!(!is_legal_key(&"x".repeat(257)));
        assert!(is_legal_key(&"ö".repeat(256)));
        assert!(is_legal_key(&"𝄞".repeat(128)));
        assert!(!is_legal_key(&"𝄞".repeat(129)));
        assert_eq!(cut_to_key(&"𝄞".repeat(129)), "𝄞".repeat(128));
        let odd = format!("x{}", "𝄞".repeat(128));
        assert_eq!(cut_to_key(&odd), format!("x{}", "𝄞".repeat(127)));
    }

    #[test]
    fn a_field_is_found_without_building_the_event() {
        let check = |event: &str, expected: Option<&str>| {
            let mut text = "before ".to_owned();
            assert_eq!(push_field_value(event.as_bytes(), "host", &mut text), expected.is_some(), "{event}");
            assert_eq!(text, format!("before {}", expected.unwrap_or_default()), "{event}");
        };
        check(r#"{"host":"a"}"#, Some("a"));
        check(r#"{"x":{"host":"inner"},"host":"outer"}"#, Some("outer"));
        check(r#"{"x":[{"host":1}],"host":"t\u00e4g"}"#, Some("täg"));
        check(r#"{"host":17,"x":1}"#, Some("17"));
        check(r#"{"host":-1}"#, Some("-1"));
        check(r#"{"host":1.5}"#, Some("1.5"));
        check(r#"{"host":true}"#, Some("true"));
        check(r#"{"host":null}"#, None);
        check(r#"{"host":""}"#, None);
        check(r#"{"host":{"a":1}}"#, None);
        check(r#"{"host":[1]}"#, None);
        check(r#"{"ho\u0073t":"escaped key"}"#, Some("escaped key"));
        check(r#"{"other":"a"}"#, None);
        check(r#"["host"]"#, None);
        check("not json", None);
        check("", None);
        check(r#"{"host":"cut off"#, None);
    }
}
