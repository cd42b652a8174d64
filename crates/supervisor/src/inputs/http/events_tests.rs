use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const MAX_LINE: usize = 1 << 20;

#[track_caller]
fn check(format: Format, body: &str, expected: &[&str]) {
    let events = Events::of(format, body.as_bytes(), Codec::Text, MAX_LINE).unwrap();
    let lines: Vec<_> = std::str::from_utf8(&events.data).unwrap().lines().collect();
    assert_eq!(lines, expected, "{body:?}");
    assert_eq!(events.count, expected.len() as u64);
    assert_eq!(events.codec, if format == Format::Lines { Codec::Text } else { Codec::Json });
}

#[track_caller]
fn refused(format: Format, body: &str, expected: &str) {
    let refusal = Events::of(format, body.as_bytes(), Codec::Text, 10).unwrap_err();
    assert_eq!(refusal.to_string().split(';').next().unwrap(), expected, "{body:?}");
}

#[test]
fn lines() {
    check(Format::Lines, "", &[]);
    check(Format::Lines, "one\r\ntwo\n\nfour", &["one", "two", "", "four"]);
    check(Format::Lines, "\u{feff}one", &["one"]);
    let events = Events::of(Format::Lines, b"1234567890ab\nx\n", Codec::Json, 10).unwrap();
    assert_eq!((events.data.as_slice(), events.cut, events.cut_bytes), (&b"1234567890\nx\n"[..], 1, 3));
    assert_eq!((events.codec, events.count), (Codec::Json, 2));
}

#[test]
fn an_object_a_line() {
    check(Format::Ndjson, "", &[]);
    check(Format::Ndjson, "{\"a\":1}\r\n\n  {}  \n{\"b\":[1,\t2]}", &["{\"a\":1}", "{}", "{\"b\":[1,\t2]}"]);
    let not_one =
        |body, line, what| refused(Format::Ndjson, body, &format!("line {line} is no JSON object: {what}"));
    not_one("{}\n\nplain", 3, "it does not begin with `{`");
    not_one("{}\n[{}]\n", 2, "it does not begin with `{`");
    not_one("{} {}", 1, "there is more behind it on the line");
    not_one("{}x", 1, "there is more behind it on the line");
    not_one("{\n}", 1, "EOF while parsing an object at line 1 column 1");
    refused(
        Format::Ndjson,
        "{}\n{\"a\":12345}",
        "event 2 has 11 bytes, and the longest allowed has 10: make it smaller, or raise `max_line`",
    );
}

#[test]
fn objects_and_arrays_of_objects() {
    check(Format::Json, " \n", &[]);
    check(Format::Json, "[]", &[]);
    check(Format::Json, "[ ]{}", &["{}"]);
    check(Format::Json, "{\"a\":\"]},{\\\"\"}", &["{\"a\":\"]},{\\\"\"}"]);
    check(Format::Json, "[{\"a\":1}\n,\n {\"b\":[{}]}\n]\n", &["{\"a\":1}", "{\"b\":[{}]}"]);
    check(
        Format::Json,
        "{\n \"a\": 1\r\n}{}[{}][{},{}]\n{}",
        &["{  \"a\": 1  }", "{}", "{}", "{}", "{}", "{}"],
    );
}

#[test]
fn what_is_no_object_is_named_by_its_place() {
    let no = |body, expected: &str| refused(Format::Json, body, expected);
    no("12", "event 1: it begins at byte 0 of the body and is no JSON object: it does not begin with `{`");
    no(
        "[{},{},7]",
        "event 3: it begins at byte 7 of the body and is no JSON object: it does not begin with `{`",
    );
    no(
        "[{},[]]",
        "event 2: it begins at byte 4 of the body and is no JSON object: it does not begin with `{`",
    );
    no("[{},]", "event 2: it begins at byte 4 of the body and is no JSON object: it does not begin with `{`");
    no("[", "event 1: it begins at byte 1 of the body and is no JSON object: it does not begin with `{`");
    no("[{}", "event 1: behind it the array breaks off");
    no("[{} {}]", "event 1: behind it there is neither `,` nor `]`");
    no("{},{}", "event 2: it begins at byte 2 of the body and is no JSON object: it does not begin with `{`");
    no(
        "{}{\"a\":}",
        "event 2: it begins at byte 2 of the body and is no JSON object: expected value at line 1 column 6",
    );
    no(
        "[{\"a\":12345}]",
        "event 1 has 11 bytes, and the longest allowed has 10: make it smaller, or raise `max_line`",
    );
}

/// A parser that calls itself for each level would end the process.
#[test]
fn deep_nesting_is_only_long() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    check(Format::Json, &deep, &[&deep]);
}

#[test]
fn bytes_that_are_not_utf8_are_left_to_who_replaces_and_counts_them() {
    for format in [Format::Json, Format::Ndjson] {
        let events = Events::of(format, b"{\"a\":\"\xff\"}", Codec::Text, MAX_LINE).unwrap();
        assert_eq!(events.data, b"{\"a\":\"\xff\"}\n");
    }
}

#[test]
fn chunks_end_with_lines() {
    assert_eq!(chunk_end(b""), 0);
    assert_eq!(chunk_end(b"a\nb"), 3);
    let lines = [vec![b'x'; CHUNK_BYTES_MAX - 10], vec![b'\n'], vec![b'y'; 20], vec![b'\n', b'z']].concat();
    assert_eq!(chunk_end(&lines), CHUNK_BYTES_MAX - 9);
    assert_eq!(chunk_end(&lines[CHUNK_BYTES_MAX - 9..]), 22);
    let long = [vec![b'x'; CHUNK_BYTES_MAX + 10], vec![b'\n', b'z']].concat();
    assert_eq!(chunk_end(&long), CHUNK_BYTES_MAX + 11);
    assert_eq!(chunk_end(&long[..CHUNK_BYTES_MAX + 5]), CHUNK_BYTES_MAX + 5);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|flag| json!(flag)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// The objects of a body as serde_json reads it; nothing if it is no body of events.
fn model(body: &[u8]) -> Option<Vec<Value>> {
    let mut objects = Vec::new();
    for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        match value.ok()? {
            Value::Array(items) => objects.extend(items),
            other => objects.push(other),
        }
    }
    objects.iter().all(Value::is_object).then_some(objects)
}

proptest! {
    /// Whatever is sent, the events are those that serde_json finds, or the body is refused where it finds none.
    #[test]
    fn finds_what_serde_json_finds(
        values in prop::collection::vec(value(), 0..6),
        pretty in any::<bool>(),
        (cut, noise) in (any::<prop::sample::Index>(), prop::option::of(any::<(prop::sample::Index, u8)>())),
        whole in any::<bool>(),
    ) {
        let print = |value: &Value| if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
        let mut body: Vec<u8> = values.iter().flat_map(|value| [print(value).unwrap(), vec![b'\n']].concat()).collect();
        if let (Some((at, byte)), false) = (noise, body.is_empty()) {
            let at = at.index(body.len());
            body[at] = byte & 0x7f;
        }
        if !whole {
            body.truncate(cut.index(body.len() + 1));
        }
        let events = Events::of(Format::Json, &body, Codec::Text, MAX_LINE);
        let found = events.ok().map(|events| -> Vec<Value> {
            let lines = events.data.split_inclusive(|byte| *byte == b'\n');
            // Only who builds a value notices half a surrogate pair, or a number that is out of range.
            lines.map(|line| serde_json::from_slice(line).unwrap_or_default()).collect()
        });
        match model(&body) {
            Some(expected) => prop_assert_eq!(found, Some(expected)),
            None if noise.is_none() => prop_assert_eq!(found, None),
            None => {}
        }
    }
}
