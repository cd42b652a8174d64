//! Looks at the top level of a JSON object without building it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::system_fields::Fields;

/// What the names of internal fields begin with. They are never sent.
pub const INTERNAL: &str = "__";

/// Which fields of those that matter here an object has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Internal fields.
    pub internal: bool,
    /// System fields.
    pub present: Fields,
}

/// Looks at one JSON object, with any white space around it; nothing if the text is anything else.
#[must_use]
pub fn look(text: &[u8]) -> Option<Look> {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return None;
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let look = json.deserialize_map(TopLevel).ok()?;
    json.end().ok()?;
    Some(look)
}

struct TopLevel;

impl<'de> Visitor<'de> for TopLevel {
    type Value = Look;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Look, A::Error> {
        let mut look = Look::default();
        while let Some(found) = map.next_key_seed(Key)? {
            look.internal |= found.internal;
            look.present = look.present.and(found.present);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(look)
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Look;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Look, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Look;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Look, E> {
        Ok(Look { internal: key.starts_with(INTERNAL), present: Fields::named(key) })
    }
}

/// Appends a JSON object without its internal fields, the others as they were written.
pub fn without_internal(object: &[u8], out: &mut Vec<u8>) {
    // Who calls this has looked at it before.
    let Members(members) = serde_json::from_slice(object).expect("an object that was looked at is one");
    let sent = members.iter().filter(|(key, _)| !key.starts_with(INTERNAL));
    out.push(b'{');
    for (index, (key, value)) in sent.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(key, out);
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
    out.push(b'}');
}

/// Appends an object whose `_raw` is cut so that it has at most `bytes_max` bytes, with `"_truncated":true` behind it. All
/// else stays as it was written. `false`, and nothing appended, where it has no text under `_raw`, or is too large without.
pub fn cut_raw(object: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> bool {
    const MARK: &[u8] = b",\"_truncated\":true}";
    let Ok(Members(members)) = serde_json::from_slice::<Members<'_>>(object) else { return false };
    let Some(at) = members.iter().position(|(key, value)| key == "_raw" && value.get().starts_with('"'))
    else {
        return false;
    };
    let Ok(raw) = serde_json::from_str::<Cow<'_, str>>(members[at].1.get()) else { return false };
    let (begin, mut behind) = (out.len(), Vec::new());
    for (index, (key, value)) in members.iter().enumerate() {
        let into = if index <= at { &mut *out } else { &mut behind };
        into.push(if index == 0 { b'{' } else { b',' });
        push_text(key, into);
        into.push(b':');
        if index != at {
            into.extend_from_slice(value.get().as_bytes());
        }
    }
    behind.extend_from_slice(MARK);
    let Some(room) = bytes_max.checked_sub(out.len() - begin + 2 + behind.len()) else {
        out.truncate(begin);
        return false;
    };
    out.push(b'"');
    crate::codec::escape_begin(&raw, room, out);
    out.push(b'"');
    out.extend_from_slice(&behind);
    true
}

/// The members of an object, the values as they were written.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((key.0, value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(All).map(Self)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Appends text as a JSON string.
pub fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    crate::codec::escape(text.as_bytes(), out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(text: &str) -> Option<Look> {
        look(text.as_bytes())
    }

    #[test]
    fn an_object_is_looked_at_on_its_top_level_only() {
        let found = |internal, names: &[&str]| {
            let present = names.iter().map(|name| Fields::named(name)).fold(Fields::default(), Fields::and);
            Some(Look { internal, present })
        };
        assert_eq!(seen("{}"), found(false, &[]));
        assert_eq!(seen(" {\"cribl_wp\": {\"cribl_pipe\":1,\"__x\":2}} "), found(false, &["cribl_wp"]));
        let both = "{\"cribl_wp\":1,\"__x\":[],\"cribl_pipe\":null}";
        assert_eq!(seen(both), found(true, &["cribl_pipe", "cribl_wp"]));
        assert_eq!(seen("{\"\\u005f_x\":1,\"\\u0063ribl_wp\":2}"), found(true, &["cribl_wp"]));
        for other in ["", "[]", "1", "{", "{} x", "{\"a\":}", "{\"a\":\"\n\"}"] {
            assert_eq!(seen(other), None, "{other}");
        }
    }

    #[test]
    fn internal_fields_are_left_out_and_all_else_stays_as_written() {
        let check = |given: &str, expected: &str| {
            let mut out = b"x".to_vec();
            without_internal(given.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{expected}"));
        };
        check(r#"{"__a":1}"#, "{}");
        check(r#" { "a" : 1.10 , "__b":{"c":1}, "c\n": [ 1, 2 ] } "#, r#"{"a":1.10,"c\n":[ 1, 2 ]}"#);
        check(r#"{"\u005f_a":1,"n":18446744073709551616}"#, r#"{"n":18446744073709551616}"#);
    }

    #[test]
    fn raw_is_cut_and_all_else_stays() {
        let object = r#" {"a": 1.0, "_raw":"é\n\"xyz", "b":[ 2 ]} "#;
        for bytes_max in 0..80 {
            let mut out = b"x".to_vec();
            let is_cut = cut_raw(object.as_bytes(), bytes_max, &mut out);
            let out = String::from_utf8(out).unwrap();
            if !is_cut {
                assert!(bytes_max < 49 && out == "x", "{bytes_max} {out}");
                continue;
            }
            assert!(out.len() - 1 <= bytes_max, "{out}");
            let event: serde_json::Value = serde_json::from_str(&out[1..]).unwrap();
            assert!("é\n\"xyz".starts_with(event["_raw"].as_str().unwrap()) && event["_truncated"] == true);
            assert!(out.starts_with("x{\"a\":1.0,\"_raw\":\"") && out.contains("\"b\":[ 2 ]"), "{out}");
        }
        for other in ["{}", "[]", r#"{"_raw":1}"#, "no"] {
            assert!(!cut_raw(other.as_bytes(), 1000, &mut Vec::new()), "{other}");
        }
    }

    proptest! {
        /// What serde_json reads as an object is one here, and nothing else.
        #[test]
        fn objects_are_told_from_other_text(text in r#"([{}\[\]:, ]|"a"|"__b"|1|null|"\\n"){0,8}"#) {
            let object = serde_json::from_str::<serde_json::Value>(&text).ok().filter(serde_json::Value::is_object);
            prop_assert_eq!(seen(&text).is_some(), object.is_some());
            if let Some(serde_json::Value::Object(mut object)) = object {
                let mut out = Vec::new();
                without_internal(text.as_bytes(), &mut out);
                object.retain(|key, _| !key.starts_with(INTERNAL));
                prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap(), serde_json::Value::Object(object));
            }
        }
    }
}
