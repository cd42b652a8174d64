//! Looks at the top level of a JSON object without building it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What the names of internal fields begin with. They are never sent.
pub const INTERNAL: &str = "__";

/// Which of a few fields an object has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// It has internal fields.
    pub internal: bool,
    /// A bit for each of the names that were asked for.
    pub present: u64,
}

/// Looks at one JSON object, with any white space around it; nothing if the text is anything else. At most 64 `names`.
#[must_use]
pub fn look<'n>(text: &[u8], names: impl Iterator<Item = &'n str> + Clone) -> Option<Look> {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return None;
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let look = json.deserialize_map(TopLevel { names }).ok()?;
    json.end().ok()?;
    Some(look)
}

struct TopLevel<I> {
    names: I,
}

impl<'de, 'n, I: Iterator<Item = &'n str> + Clone> Visitor<'de> for TopLevel<I> {
    type Value = Look;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Look, A::Error> {
        let mut look = Look::default();
        while let Some(found) = map.next_key_seed(Key { names: self.names.clone() })? {
            look.internal |= found.internal;
            look.present |= found.present;
            map.next_value::<IgnoredAny>()?;
        }
        Ok(look)
    }
}

struct Key<I> {
    names: I,
}

impl<'de, 'n, I: Iterator<Item = &'n str>> DeserializeSeed<'de> for Key<I> {
    type Value = Look;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Look, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n, I: Iterator<Item = &'n str>> Visitor<'_> for Key<I> {
    type Value = Look;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Look, E> {
        let present = self.names.enumerate().find(|(_, name)| *name == key).map_or(0, |(bit, _)| 1 << bit);
        Ok(Look { internal: key.starts_with(INTERNAL), present })
    }
}

/// Appends a JSON object without its internal fields, the others as they were written.
pub fn without_internal(object: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    let walk = Copy { out: &mut *out };
    if serde_json::Deserializer::from_slice(object).deserialize_map(walk).is_err() {
        // Who calls this has looked at it before.
        debug_assert!(false, "an object that was looked at is one");
        out.truncate(begin);
        out.extend_from_slice(b"{}");
    }
}

struct Copy<'o> {
    out: &'o mut Vec<u8>,
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut separator = b'{';
        while let Some((key, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            if key.0.starts_with(INTERNAL) {
                continue;
            }
            self.out.push(separator);
            separator = b',';
            push_text(&key.0, self.out);
            self.out.push(b':');
            self.out.extend_from_slice(value.get().as_bytes());
        }
        if separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
        Ok(())
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
        look(text.as_bytes(), ["a", "b"].into_iter())
    }

    #[test]
    fn an_object_is_looked_at_on_its_top_level_only() {
        let found = |internal, present| Some(Look { internal, present });
        assert_eq!(seen("{}"), found(false, 0));
        assert_eq!(seen(" {\"b\": {\"a\":1,\"__x\":2}} "), found(false, 0b10));
        assert_eq!(seen("{\"a\":1,\"__x\":[],\"b\":null}"), found(true, 0b11));
        assert_eq!(seen("{\"\\u005f_x\":1,\"\\u0061\":2}"), found(true, 0b01));
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
