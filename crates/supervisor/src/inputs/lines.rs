//! Takes whole lines off the front of what was read. Pure.
//!
//! A line ends with `\n`. A `\r` before it does not count for the longest allowed length: it is part of the line end,
//! and who turns the line into an event removes it.

use memchr::{memchr, memchr_iter, memrchr};

/// What [`take_lines`] took.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Whole lines, each ended by `\n`; only the last may lack it, and only where the end was asked for.
    pub data: Vec<u8>,
    /// Lines in `data`.
    pub lines: u64,
    /// How many of these were cut.
    pub cut: u64,
    /// Bytes of cut lines that are not in `data`.
    pub cut_bytes: u64,
    /// Bytes of the input that are dealt with.
    pub consumed: usize,
    /// What was dealt with ends inside a line (or an event of several lines) that was cut.
    pub in_cut_line: bool,
    /// Where each message ends in `data`, where that is not at line ends: then `lines` and `cut` count messages.
    pub ends: Option<Vec<u32>>,
    /// A message of several lines has begun, and may be finished: only what follows tells.
    pub is_unfinished: bool,
}

/// Takes whole lines off the front of `input`.
///
/// `in_cut_line`: `input` begins inside a line that was cut; its rest is passed over. `is_end`: nothing follows
/// `input`; a last line without a line end is taken as it is. A line that is not whole yet stays, unless it is already
/// longer than `max_line`: then its beginning is taken and its rest passed over.
#[must_use]
pub fn take_lines(input: &[u8], in_cut_line: bool, max_line: usize, is_end: bool) -> Taken {
    let mut taken = Taken { in_cut_line, ..Taken::default() };
    if in_cut_line {
        let rest = memchr(b'\n', input).map_or(input.len(), |end| end + 1);
        taken.in_cut_line = rest == 0 || input.get(rest - 1) != Some(&b'\n');
        taken.consumed = rest;
        taken.cut_bytes = rest as u64;
        if taken.in_cut_line {
            return taken;
        }
    }
    let input = input.get(taken.consumed..).unwrap_or_default();
    let whole = memrchr(b'\n', input).map_or(0, |end| end + 1);
    let (lines, rest) = input.split_at(whole);
    take_whole(lines, max_line, &mut taken);
    if is_too_long(rest, max_line) {
        taken.push_cut(rest, max_line);
        taken.in_cut_line = !is_end;
    } else if is_end && !rest.is_empty() {
        taken.data.extend_from_slice(rest);
        taken.lines += 1;
        taken.consumed += rest.len();
    }
    taken
}

/// Takes lines that are all ended; copies them in runs between those that have to be cut.
fn take_whole(lines: &[u8], max_line: usize, taken: &mut Taken) {
    taken.data.reserve_exact(lines.len());
    if lines.len() <= max_line {
        // As nearly always: none of them can be too long.
        taken.data.extend_from_slice(lines);
        taken.lines += memchr_iter(b'\n', lines).count() as u64;
        taken.consumed += lines.len();
        return;
    }
    let mut copied = 0;
    let mut begin = 0;
    for end in memchr_iter(b'\n', lines) {
        taken.lines += 1;
        // Two bytes more than allowed cannot be a line end; one more may be the `\r` of one.
        if end - begin > max_line && is_too_long(&lines[begin..end], max_line) {
            taken.data.extend_from_slice(&lines[copied..begin]);
            taken.consumed += begin - copied;
            taken.lines -= 1;
            taken.push_cut(&lines[begin..=end], max_line);
            copied = end + 1;
        }
        begin = end + 1;
    }
    taken.data.extend_from_slice(&lines[copied..]);
    taken.consumed += lines.len() - copied;
}

/// Whether this line, of which the `\n` has not come or is left out, is too long whatever follows.
pub(super) fn is_too_long(line: &[u8], max_line: usize) -> bool {
    // One byte more than allowed may be the `\r` of the line end.
    !matches!(line.get(max_line..), None | Some([] | [b'\r']))
}

impl Taken {
    /// Takes the beginning of `line`, ends it, and passes over the rest.
    fn push_cut(&mut self, line: &[u8], max_line: usize) {
        let kept = cut_at_character(line, max_line);
        self.data.extend_from_slice(&line[..kept]);
        self.data.push(b'\n');
        self.lines += 1;
        self.cut += 1;
        self.cut_bytes += (line.len() - kept) as u64;
        self.consumed += line.len();
    }
}

/// At most `max` bytes, and not in the middle of a UTF-8 character.
pub(super) fn cut_at_character(line: &[u8], max: usize) -> usize {
    let is_inside = |at: usize| line.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    // A character has four bytes at most; what has more continuation bytes is not UTF-8 and may be cut anywhere.
    (max.saturating_sub(3)..=max).rev().find(|at| !is_inside(*at)).unwrap_or(max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(
        input: &str,
        max_line: usize,
        is_end: bool,
        data: &str,
        consumed: usize,
        cut: u64,
        in_cut_line: bool,
    ) {
        let taken = take_lines(input.as_bytes(), false, max_line, is_end);
        assert_eq!(String::from_utf8_lossy(&taken.data), data, "{input:?}");
        assert_eq!((taken.consumed, taken.cut, taken.in_cut_line), (consumed, cut, in_cut_line), "{input:?}");
        let lines = data.lines().count() as u64;
        assert_eq!(taken.lines, lines, "{input:?}");
    }

    #[test]
    fn cases() {
        check("", 5, false, "", 0, 0, false);
        check("", 5, true, "", 0, 0, false);
        check("ab\ncd\n", 5, false, "ab\ncd\n", 6, 0, false);
        check("ab\ncd", 5, false, "ab\n", 3, 0, false);
        check("ab\ncd", 5, true, "ab\ncd", 5, 0, false);
        check("cd", 5, false, "", 0, 0, false);
        check("\n\r\n\n", 5, false, "\n\r\n\n", 4, 0, false);
        check("12345\n", 5, false, "12345\n", 6, 0, false);
        check("12345\r\n", 5, false, "12345\r\n", 7, 0, false);
        check("12345\r", 5, false, "", 0, 0, false);
        check("12345\r", 5, true, "12345\r", 6, 0, false);
        check("12345\rx", 5, false, "12345\n", 7, 1, true);
        check("123456", 5, false, "12345\n", 6, 1, true);
        check("123456", 5, true, "12345\n", 6, 1, false);
        check("a\n123456\nb\n", 5, false, "a\n12345\nb\n", 11, 1, false);
        check("a\n123456789\n123456\r\nb\n12345678", 5, false, "a\n12345\n12345\nb\n12345\n", 30, 3, true);
        check("1234ä6\nx\n", 5, false, "1234\nx\n", 10, 1, false);
    }

    #[test]
    fn the_rest_of_a_cut_line_is_passed_over() {
        let taken = take_lines(b"rest\nab\nc", true, 5, false);
        assert_eq!((taken.data.as_slice(), taken.consumed, taken.cut_bytes), (&b"ab\n"[..], 8, 5));
        assert_eq!((taken.lines, taken.cut, taken.in_cut_line), (1, 0, false));
        let taken = take_lines(b"rest", true, 5, true);
        assert_eq!((taken.data.len(), taken.consumed, taken.in_cut_line), (0, 4, true));
        let taken = take_lines(b"", true, 5, false);
        assert_eq!((taken.consumed, taken.in_cut_line), (0, true));
    }

    /// The same by definition: line by line, over everything at once.
    fn model(input: &[u8], max_line: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            let body = line.strip_suffix(b"\n").unwrap_or(line);
            let body = body.strip_suffix(b"\r").unwrap_or(body);
            if body.len() > max_line {
                out.extend_from_slice(&body[..cut_at_character(body, max_line)]);
                out.push(b'\n');
            } else {
                out.extend_from_slice(line);
            }
        }
        out
    }

    proptest! {
        /// However the input is cut into reads, the lines that come out are the same.
        #[test]
        fn reads_of_any_size_give_the_same_lines(
            input in prop::collection::vec(prop::sample::select(b"abc\r\n\n".to_vec()), 0..200),
            reads in prop::collection::vec(1..12_usize, 1..50),
            max_line in 1..8_usize,
        ) {
            let mut out = Vec::new();
            let (mut at, mut until, mut in_cut_line, mut reads) = (0, 0, false, reads.iter().cycle());
            loop {
                until = input.len().min(until + reads.next().unwrap());
                let taken = take_lines(&input[at..until], in_cut_line, max_line, until == input.len());
                out.extend_from_slice(&taken.data);
                at += taken.consumed;
                in_cut_line = taken.in_cut_line;
                if until == input.len() { break; }
            }
            prop_assert_eq!(at, input.len());
            prop_assert_eq!(out, model(&input, max_line));
        }
    }
}
