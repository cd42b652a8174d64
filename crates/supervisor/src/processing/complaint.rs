//! What VRL's compiler says, shown at the place in the file where the program stands.

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
    /// All of it.
    pub text: &'a str,
    /// Where the lines of the program stand: the offset in the program, the offset in the text. In order.
    pub lines: Vec<(usize, usize)>,
}

impl<'a> Surroundings<'a> {
    /// A program that stands for itself.
    #[must_use]
    pub fn itself(name: &'a str, program: &'a str) -> Self {
        Self { name, text: program, lines: vec![(0, 0)] }
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
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[begin..].chars().count() + 1)
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
        let file = SimpleFile::new(around.name, around.text);
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
        let around = Surroundings {
            name: "m.yaml",
            text,
            lines: vec![(0, first), (source.find(".b").unwrap(), second)],
        };
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
}
