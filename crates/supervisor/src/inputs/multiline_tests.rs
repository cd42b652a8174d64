use proptest::prelude::*;

use super::*;

const BEGIN: Begin = Begin { at_line: true, in_cut_event: false };

fn multiline() -> Multiline {
    Multiline::new(r"^\d", Duration::from_secs(1)).unwrap()
}

fn events(taken: &Taken) -> Vec<String> {
    let mut begin = 0;
    let ends = taken.ends.iter().flatten().map(|end| *end as usize);
    ends.map(|end| {
        let event = &taken.data[std::mem::replace(&mut begin, end)..end];
        String::from_utf8_lossy(event).into_owned()
    })
    .collect()
}

/// What is taken, how much is dealt with, and how many events are cut with how many bytes.
#[track_caller]
fn check(input: &str, max: usize, end: End, expected: &[&str], consumed: usize, cut: (u64, u64)) {
    let taken = multiline().take(input.as_bytes(), BEGIN, max, end);
    assert_eq!(events(&taken), expected, "{input:?} {end:?}");
    assert_eq!(taken.consumed, consumed, "{input:?} {end:?}");
    assert_eq!((taken.cut, taken.cut_bytes), cut, "{input:?} {end:?}");
    assert_eq!(taken.lines, expected.len() as u64);
}

#[test]
fn an_event_is_finished_by_the_next_by_silence_or_by_the_end() {
    use End::{Open, Over, Quiet};
    check("1 a\n  b\r\n2 c\n", 99, Open, &["1 a\n  b"], 9, (0, 0));
    check("1 a\n  b\n2 c\n", 99, Quiet, &["1 a\n  b", "2 c"], 12, (0, 0));
    // A line without an end may still grow into anything.
    check("1 a\n  b\n2 c", 99, Open, &[], 0, (0, 0));
    check("1 a\n  b\n2 c", 99, Quiet, &["1 a\n  b"], 8, (0, 0));
    check("1 a\n  b\n2 c", 99, Over, &["1 a\n  b", "2 c"], 11, (0, 0));
    check("1 a\n  b", 99, Over, &["1 a\n  b"], 7, (0, 0));
    check("", 99, Over, &[], 0, (0, 0));
    // Lines before the first start; and empty ones.
    check("a\n\nb\n1\n", 99, Open, &["a\n\nb"], 5, (0, 0));
    check("1\n\n\n2\n", 99, Open, &["1\n\n"], 4, (0, 0));
}

#[test]
fn an_event_that_is_too_long_is_cut_and_its_rest_passed_over() {
    use End::{Open, Over};
    check("1 abc\nd\ne\n2 f\n3\n", 6, Open, &["1 abc\n", "2 f"], 14, (1, 4));
    check("1 abc\r\n2\n", 5, Open, &["1 abc"], 7, (0, 0));
    check("1 abcdefgh", 6, Open, &["1 abcd"], 10, (1, 4));
    check("1 abcé\n2\n", 6, Over, &["1 abc", "2"], 10, (1, 3));
    let go_on = |input: &str, at_line| {
        let begin = Begin { at_line, in_cut_event: true };
        let taken = multiline().take(input.as_bytes(), begin, 6, Open);
        (events(&taken), taken.consumed, taken.in_cut_line)
    };
    assert_eq!(go_on("9 z", false), (vec![], 3, true));
    // What looks like a start is the rest of a line.
    assert_eq!(go_on("9 z\nx\n", false), (vec![], 6, true));
    assert_eq!(go_on("9 z\nx\n", true), (vec![], 0, false));
    assert_eq!(go_on("x\n2 y\n3", true), (vec![], 2, false));
    assert_eq!(go_on("x\ny", true), (vec![], 2, true));
}

/// Reads as a file is read that grows piece by piece: what is not consumed is read again together with what is new.
fn read(content: &[u8], pieces: &[usize], max: usize) -> (Vec<String>, u64, u64) {
    let multiline = multiline();
    let (mut from, mut in_cut_event) = (0, false);
    let (mut all, mut cut, mut cut_bytes) = (Vec::new(), 0, 0);
    for (index, to) in pieces.iter().enumerate() {
        let at_line = from == 0 || content[from - 1] == b'\n';
        let end = if index + 1 == pieces.len() { End::Over } else { End::Open };
        let input = &content[from..*to];
        let taken = multiline.take(input, Begin { at_line, in_cut_event }, max, end);
        assert!(taken.consumed > 0 || input.len() < 2 * (max + 2), "it never goes on");
        all.extend(events(&taken));
        from += taken.consumed;
        in_cut_event = taken.in_cut_line;
        cut += taken.cut;
        cut_bytes += taken.cut_bytes;
    }
    assert_eq!(from, content.len());
    (all, cut, cut_bytes)
}

/// By definition: lines, gathered at each start.
fn model(content: &[u8], max: usize) -> Vec<String> {
    let mut gathered: Vec<Vec<u8>> = Vec::new();
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        match gathered.last_mut() {
            Some(event) if !line[0].is_ascii_digit() => event.extend_from_slice(line),
            _ => gathered.push(line.to_vec()),
        }
    }
    let cut = |event: &Vec<u8>| {
        let event = without_end(event);
        let kept = cut_at_character(event, max).min(event.len());
        String::from_utf8_lossy(&event[..kept]).into_owned()
    };
    gathered.iter().map(cut).collect()
}

proptest! {
    #[test]
    fn any_growth_gives_the_same_events(
        lines in prop::collection::vec("([0-9]|[a-zé ])[a-zé0-9\r]{0,12}\r?\n|\n", 0..12),
        last in "([0-9a-z][a-z0-9]{0,9})?",
        max in 1..40_usize,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let content = (lines.concat() + &last).into_bytes();
        let mut pieces: Vec<usize> = cuts.iter().map(|cut| cut.index(content.len() + 1)).collect();
        pieces.push(content.len());
        pieces.sort_unstable();
        let whole = read(&content, &[content.len()], max);
        prop_assert_eq!(&whole.0, &model(&content, max));
        prop_assert_eq!(&read(&content, &pieces, max), &whole);
        let each: Vec<usize> = (0..=content.len()).collect();
        prop_assert_eq!(&read(&content, &each, max), &whole);
    }
}
