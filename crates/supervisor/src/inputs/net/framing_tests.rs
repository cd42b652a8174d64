use proptest::prelude::*;

use super::*;

use StreamFraming::{Auto, Lines, OctetCounted};

/// Feeds the pieces; what came out, and what was wrong with it.
fn decode(framing: StreamFraming, max: usize, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Flaws, bool) {
    let mut decoder = Decoder::new(framing, max);
    let mut messages = Vec::new();
    let mut is_bad = false;
    for piece in pieces {
        is_bad |= decoder.feed(piece, &mut |message| messages.push(message.to_vec())).is_err();
        assert!(decoder.partial.len() <= max + 32, "more is held than a message");
    }
    decoder.finish(&mut |message| messages.push(message.to_vec()));
    assert_eq!(decoder.partial.capacity(), 0);
    (messages, decoder.take_flaws(), is_bad)
}

#[track_caller]
fn check(framing: StreamFraming, max: usize, input: &str, expected: &[&str], flaws: (u64, u64, u64)) {
    let (messages, found, is_bad) = decode(framing, max, &[input.as_bytes()]);
    let messages: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(message)).collect();
    assert_eq!(messages, expected, "{input:?}");
    assert_eq!((found.cut, found.cut_bytes, found.incomplete), flaws, "{input:?}");
    assert!(!is_bad, "{input:?}");
}

#[test]
fn lines() {
    check(Lines, 9, "", &[], (0, 0, 0));
    check(Lines, 9, "one\ntwo\r\n\nend", &["one", "two", "", "end"], (0, 0, 0));
    check(Lines, 4, "four\r\nfive5\r\nsix\n", &["four", "five", "six"], (1, 2, 0));
    check(Lines, 4, "much too long", &["much"], (1, 9, 0));
    // A character is not cut in two.
    check(Lines, 4, "abcé\nx\n", &["abc", "x"], (1, 2, 0));
    check(Lines, 9, "a\0b\r\r\n", &["a\0b\r"], (0, 0, 0));
}

#[test]
fn counted_octets() {
    check(OctetCounted, 9, "3 one5 t\nwo!", &["one", "t\nwo!"], (0, 0, 0));
    check(OctetCounted, 9, "3 one\n3 two\r\n\0", &["one", "two"], (0, 0, 0));
    check(OctetCounted, 3, "5 three3 two", &["thr", "two"], (1, 2, 0));
    check(OctetCounted, 9, "9 one", &["one"], (0, 0, 1));
    check(OctetCounted, 3, "9 onetwo", &["one"], (1, 3, 1));
    // The length is cut off, too.
    check(OctetCounted, 9, "12", &["12"], (0, 0, 0));
}

#[test]
fn either_kind() {
    check(Auto, 99, "<1>one\n7 <2>t\nwo<3>three\n", &["<1>one", "<2>t\nwo", "<3>three"], (0, 0, 0));
    check(Auto, 99, "2026-11-24 text\n", &["2026-11-24 text"], (0, 0, 0));
    check(Auto, 99, "99999999999 x\n12 monkeys\n", &["99999999999 x", "12 monkeys"], (0, 0, 0));
    check(Auto, 99, "1\n\n0 <1>x\n", &["1", "0 <1>x"], (0, 0, 0));
}

#[test]
fn what_is_no_length_is_told_and_nothing_after_it_is_taken() {
    for bad in ["99999999999 x", "x", "0 x", " 3 one", "1x one", "-1 x", "\u{fffd}"] {
        let mut decoder = Decoder::new(OctetCounted, 99);
        let mut messages = Vec::new();
        let input = format!("3 one{bad}3 two");
        let error = decoder.feed(input.as_bytes(), &mut |message| messages.push(message.to_vec()));
        assert!(error.is_err(), "{bad:?}");
        decoder.feed(b"5 three", &mut |message| messages.push(message.to_vec())).unwrap();
        decoder.finish(&mut |message| messages.push(message.to_vec()));
        assert_eq!(messages, [b"one"], "{bad:?}");
    }
    let error = Decoder::new(OctetCounted, 99).feed(b"99999999999 x", &mut |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "there is no length of a message, but \"9999999999\"");
}

fn framing() -> impl Strategy<Value = StreamFraming> {
    prop_oneof![Just(Lines), Just(OctetCounted), Just(Auto)]
}

/// Bytes as senders, also hostile ones, may send them.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just("é".as_bytes().to_vec()),
        "[0-9]{1,11} <?".prop_map(String::into_bytes),
        "[a-z<> 0-9]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(|bytes| [
            format!("{} ", bytes.len()).into_bytes(),
            bytes
        ]
        .concat()),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same(framing in framing(), max in 1..24_usize, bytes in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let whole = decode(framing, max, &[&bytes]);
        prop_assert_eq!(&decode(framing, max, &pieces), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&decode(framing, max, &single), &whole);
        prop_assert!(whole.0.iter().all(|message| message.len() <= max));
    }

    #[test]
    fn what_is_sent_comes_out(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..20)) {
        let framed: Vec<u8> = messages.iter().flat_map(|message| [format!("{} ", message.len()).into_bytes(), message.clone()].concat()).collect();
        let expected = (messages.clone(), Flaws::default(), false);
        prop_assert_eq!(decode(OctetCounted, 40, &[&framed]), expected);
        // As lines, those that hold no line end.
        let lines: Vec<_> = messages.into_iter().filter(|message| !message.iter().any(|byte| b"\r\n".contains(byte))).collect();
        let framed: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
        prop_assert_eq!(decode(Lines, 40, &[&framed]), (lines, Flaws::default(), false));
    }
}
