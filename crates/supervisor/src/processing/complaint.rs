//! What VRL's compiler says, shown at the place in the file where the program stands.

use std::borrow::Cow;
use std::ops::Range;

use codespan_reporting::diagnostic::{Diagnostic, Label};
use codespan_reporting::files::SimpleFile;
use codespan_reporting::term::termcolor::Buffer;
use codespan_reporting::term::{self, Config};

use super::program::Complaint;

/// The text in which a program stands, and where in it.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// What the text is called.
    pub name: &'a str,
    /// All of it that may be shown.
    text: Cow<'a, str>,
    /// Where the lines of the program stand: the offset in the program, the offset in the text. In order.
    lines: Vec<(usize, usize)>,
}

impl<'a> Surroundings<'a> {
    /// A program that stands for itself.
    #[must_use]
    pub fn itself(name: &'a str, program: &'a str) -> Self {
        Self { name, text: Cow::Borrowed(program), lines: vec![(0, 0)] }
    }

    /// A program that is a value in a file. `lines` says where: the offset in the program and in the file, for each line.
    /// All else in the file is blank when it is shown, since it may hold secrets, but for the key before the program.
    #[must_use]
    pub fn within(name: &'a str, file: &str, program: &str, lines: Vec<(usize, usize)>) -> Self {
        let mut text = String::with_capacity(file.len());
        let of_program = program.split_inclusive('\n').map(|line| line.trim_end_matches('\n').len());
        for (&(_, at), len) in lines.iter().zip(of_program) {
            let (before, line) = (&file[text.len()..at], &file[at..at + len]);
            let begin = before.rfind('\n').map_or(0, |end| end + 1);
            let shown = if is_key(&before[begin..]) { begin } else { before.len() };
            text.extend(before[..shown].chars().map(blank));
            text.push_str(&before[shown..]);
            text.push_str(line);
        }
        text.extend(file[text.len()..].chars().map(blank));
        Self { name, text: Cow::Owned(text), lines }
    }

    /// Where a part of the program stands in the text.
    #[must_use]
    pub fn range(&self, of_program: &Range<usize>) -> Range<usize> {
        let place = |offset: usize| {
            let line = self.lines.iter().rev().find(|(in_program, _)| *in_program <= offset);
            let at = line.map_or(0, |(in_program, in_text)| in_text + offset - in_program);
            (at.min(self.text.len())..=self.text.len())
                .find(|at| self.text.is_char_boundary(*at))
                .unwrap_or_default()
        };
        let start = place(of_program.start);
        // The end belongs to the line that it ends, not to the next one.
        let end = if of_program.end > of_program.start { place(of_program.end - 1) + 1 } else { start };
        let end = (end.max(start)..self.text.len()).find(|at| self.text.is_char_boundary(*at));
        start..end.unwrap_or(self.text.len())
    }

    /// Line and column of an offset in the text, counted from 1, the column in characters.
    #[must_use]
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[begin..].chars().count() + 1)
    }
}

/// Is this a key, with the notation of what follows it, and nothing else?
fn is_key(text: &str) -> bool {
    let text = text.trim_start().trim_end_matches(['\'', '"']).trim_end();
    let key = text.strip_suffix(':').unwrap_or(text);
    key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What stands in the place of a character that is not shown, as long as it is.
fn blank(c: char) -> char {
    match c.len_utf8() {
        _ if c == '\n' => '\n',
        1 => ' ',
        2 => '\u{a0}',
        3 => '\u{2003}',
        _ => '\u{e0020}',
    }
}

impl Complaint {
    /// The complaint as VRL shows it: the lines, what is meant in them, and what to read. Without its first line, which
    /// says no more than [`message`](Self::message).
    #[must_use]
    pub fn excerpt(&self, around: &Surroundings<'_>) -> String {
        let mut diagnostic: Diagnostic<()> = self.0.clone().into();
        for label in &mut diagnostic.labels {
            *label = Label { range: around.range(&label.range), ..label.clone() };
        }
        // Here there is `millpond pipeline try`.
        diagnostic.notes.retain(|note| !note.contains("VRL REPL"));
        let file = SimpleFile::new(around.name, &around.text);
        let mut buffer = Buffer::no_color();
        if term::emit(&mut buffer, &Config::default(), &file, &diagnostic).is_err() {
            return String::new();
        }
        let shown = String::from_utf8_lossy(buffer.as_slice());
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let lines = shown.lines().skip(1).map(|line| line.trim_end().chars().map(plain).collect::<String>());
        lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Program, Role};
    use super::*;

    #[test]
    fn a_complaint_is_shown_where_the_program_stands() {
        let text = "pipelines:\n  p:\n    source: |\n      .x = s'ä'\n      .b = parse_json(.c)\n";
        let source = ".x = s'ä'\n.b = parse_json(.c)\n";
        let first = text.find(".x").unwrap();
        let second = text.find(".b").unwrap();
        let lines = vec![(0, first), (source.find(".b").unwrap(), second)];
        let around = Surroundings::within("m.yaml", text, source, lines);
        let complaint = Program::compile(source, Role::Pipeline).unwrap_err().remove(0);
        let range = around.range(&complaint.span());
        assert_eq!(&text[range.clone()], "parse_json(.c)");
        assert_eq!(around.line_and_column(range.start), (5, 12));
        let shown = complaint.excerpt(&around);
        assert!(shown.starts_with("  ┌─ m.yaml:5:12\n  │\n5 │       .b = parse_json(.c)\n"), "{shown}");
        assert_eq!(complaint.message(), "unhandled fallible assignment");
    }

    #[test]
    fn a_program_of_its_own_file_is_shown_as_it_is() {
        let around = Surroundings::itself("p.vrl", "x\n");
        let complaint = Program::compile("x\n", Role::Pipeline).unwrap_err().remove(0);
        assert!(complaint.excerpt(&around).contains("p.vrl:1:1"));
    }

    #[test]
    fn no_place_is_out_of_the_text() {
        let around = Surroundings::itself("p", "ä");
        for range in [0..0, 1..1, 0..9, 7..9] {
            let found = around.range(&range);
            assert!(around.text.get(found.clone()).is_some(), "{range:?} {found:?}");
        }
    }

    #[test]
    fn what_is_around_a_program_is_blank_and_as_long() {
        let file = "a: { token: HÜNTER€2\u{1F512}, where: x == 1, more: HUNTER3 }\n  where: 'x'\n";
        let first = file.find("x ==").unwrap();
        let shown = |program: &str, at: usize| {
            let around = Surroundings::within("f", file, program, vec![(0, at)]);
            assert_eq!(around.text.chars().count(), file.chars().count());
            assert_eq!(around.range(&(0..program.len())), at..at + program.len());
            around.text.into_owned()
        };
        let text = shown("x == 1", first);
        assert!(!text.contains("HUNTER") && !text.contains("where"), "{text}");
        assert_eq!(shown("x", file.len() - 3).lines().nth(1), Some("  where: 'x "));
    }
}
