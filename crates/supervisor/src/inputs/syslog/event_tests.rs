use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// 2026-11-24 12:00:00 UTC.
const NOW: u64 = 1_795_521_600;

fn event(message: &[u8]) -> (Value, Read) {
    let mut out = Vec::new();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let events = SyslogEvents::new(Zone::Fixed { minutes_east: 60 });
    let read = events.write(message, Some("192.0.2.7"), "udp:514", now, &mut out);
    assert!(!out.contains(&b'\n'));
    (serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {out:?}")), read)
}

/// What became of a message, without what every event has.
#[track_caller]
fn check(message: &str, time: f64, host: &str, expected: Value) {
    let (mut event, read) = event(message.as_bytes());
    let members = event.as_object_mut().unwrap();
    assert_eq!(members.remove("_raw").unwrap(), message.trim_end_matches(['\0', '\n', '\r']));
    assert_eq!(members.remove("_time").unwrap(), time, "{message:?}");
    assert_eq!(members.remove("host").unwrap(), host, "{message:?}");
    assert_eq!(members.remove("source").unwrap(), "udp:514");
    assert_eq!(event, expected, "{message:?}");
    assert!(read.is_syslog && read.is_utf8, "{message:?}");
}

//= https://www.rfc-editor.org/rfc/rfc5424#section-6.5 (read 2026-11)
#[test]
fn rfc_5424() {
    check(
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8",
        1_065_910_455.003,
        "mymachine.example.com",
        json!({"facility": "auth", "severity": "crit", "appname": "su", "msgid": "ID47",
               "message": "'su root' failed for lonvick on /dev/pts/8"}),
    );
    check(
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
        1_061_727_255.000_003,
        "192.0.2.1",
        json!({"facility": "local4", "severity": "notice", "appname": "myproc", "procid": "8710",
               "message": "%% It's time to make the do-nuts."}),
    );
    check(
        r#"<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [ex@32473 iut="3" s="a \"b\" \] \\ c"][origin ip="192.0.2.1" ip="192.0.2.129"] An app"#,
        1_065_910_455.003,
        "h",
        json!({"facility": "local4", "severity": "notice", "appname": "evntslog", "msgid": "ID47",
               "structured_data": {"ex@32473": {"iut": "3", "s": "a \"b\" ] \\ c"}, "origin": {"ip": ["192.0.2.1", "192.0.2.129"]}},
               "message": "An app"}),
    );
    check(
        "<13>1 - - - - - -",
        NOW as f64,
        "192.0.2.7",
        json!({"facility": "user", "severity": "notice", "message": ""}),
    );
}

#[test]
fn rfc_3164() {
    check(
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed\n",
        1_791_753_255.0,
        "mymachine",
        json!({"facility": "auth", "severity": "crit", "appname": "su", "message": "'su root' failed"}),
    );
    // December, as it is read in November: of last year.
    check(
        "<13>Dec  1 00:00:00 h app[77]: x\0",
        1_764_543_600.0,
        "h",
        json!({"facility": "user", "severity": "notice", "appname": "app", "procid": "77", "message": "x"}),
    );
    // With a year; and in the form of rsyslog, with a zone.
    check(
        "<13>Nov 24 2025 12:00:00 h app: x",
        1_763_982_000.0,
        "h",
        json!({"facility": "user", "severity": "notice", "appname": "app", "message": "x"}),
    );
    check(
        "<13>2026-11-24T12:00:00.25+02:00 h app: x",
        1_795_514_400.25,
        "h",
        json!({"facility": "user", "severity": "notice", "appname": "app", "message": "x"}),
    );
    // What `logger` sends over a socket has no host.
    check(
        "<13>Nov 24 11:59:59 root[5]: over several\nlines",
        (NOW - 3601) as f64,
        "192.0.2.7",
        json!({"facility": "user", "severity": "notice", "appname": "root", "procid": "5", "message": "over several\nlines"}),
    );
}

#[track_caller]
fn check_unparsed(message: &[u8], expected: Value) {
    let (mut event, read) = event(message);
    let members = event.as_object_mut().unwrap();
    assert_eq!(members.remove("_raw").unwrap(), String::from_utf8_lossy(message).as_ref());
    assert_eq!(members.remove("_time").unwrap(), NOW as f64);
    assert_eq!(members.remove("host").unwrap(), "192.0.2.7");
    members.remove("source").unwrap();
    assert_eq!(event, expected, "{message:?}");
    assert!(!read.is_syslog);
    assert_eq!(read.is_utf8, std::str::from_utf8(message).is_ok());
}

#[test]
fn what_is_no_syslog_is_wrapped_with_what_can_be_told() {
    check_unparsed(b"just text", json!({}));
    check_unparsed(b"<14>hello", json!({"facility": "user", "severity": "info", "message": "hello"}));
    check_unparsed(b"<999>hello", json!({}));
    check_unparsed(b"<192>hello", json!({}));
    check_unparsed(
        b"<13>Foo 99 25:61:61 h app: x",
        json!({"facility": "user", "severity": "notice", "message": "Foo 99 25:61:61 h app: x"}),
    );
    check_unparsed(b"\xff\xfe\0x", json!({}));
}

#[test]
fn a_moment_before_1970() {
    let (event, _) = event(b"<13>1 1969-12-31T23:59:58.500Z h a - - - x");
    assert_eq!(event["_time"], -1.5);
}

/// Much of everything that makes a parser work hard; what is not linear would take minutes.
#[test]
fn long_hostile_messages_are_read_in_time() {
    let many = |part: &str| part.repeat(300_000 / part.len());
    let head = "<13>1 2026-11-24T12:00:00Z h a - - ";
    let params: String = (0..20_000).map(|n| format!(" k{n}=\"v\"")).collect();
    let elements: String = (0..20_000).map(|n| format!("[e{n}]")).collect();
    for message in [
        format!("{head}[x{params}] m"),
        format!("{head}{elements} m"),
        format!("{head}{}", many("[x a=\"b\"")),
        format!("{head}{}", many("[")),
        format!("{head}[x a=\"{}", many("\\\"")),
        format!("{head}[x{}", many(" a=\"b\"")),
        format!("<13>{}", many(" ")),
        format!("<13>Nov 24 11:59:59 {}", many("x:")),
        format!("<{}", many("9")),
        many("<13>"),
    ] {
        let (event, _) = event(message.as_bytes());
        assert_eq!(event["_raw"], message.as_str());
    }
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "<[0-9]{0,4}>".prop_map(String::into_bytes),
        Just(b"1 ".to_vec()),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2}) "
            .prop_map(String::into_bytes),
        "(Jan|Feb|Dec|Foo) {1,2}[0-9]{1,2} ([0-9]{4} )?[0-9]{2}:[0-9]{2}:[0-9]{2} "
            .prop_map(String::into_bytes),
        "[a-zé\\[\\]:=\"\\\\ -]{0,12}".prop_map(String::into_bytes),
        r#"\[[a-z@]{0,4}( [a-z]{1,2}="[a-z\\"\]]{0,4}"){0,3}\]"#.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_message_panics_and_each_becomes_an_object(message in pieces()) {
        let (event, _) = event(&message);
        let text = String::from_utf8_lossy(&message);
        prop_assert_eq!(&event["_raw"], text.trim_end_matches(['\0', '\n', '\r']));
        prop_assert!(event["_time"].is_f64());
    }
}
