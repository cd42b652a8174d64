//! Lines of words that mean something: broken where they are too long, coloured where that is wanted.

use std::io::{self, Write};

use super::table::Tone;

/// A line: pieces of text and what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line(pub Vec<(String, Tone)>);

impl Line {
    /// A line of one piece.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![(text.into(), tone)])
    }

    /// Adds a piece.
    #[must_use]
    pub fn with(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.0.push((text.into(), tone));
        self
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().map(|(text, _)| text.as_str()).collect()
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, out: &mut dyn Write, coloured: bool) -> io::Result<()> {
        for (text, tone) in &self.0 {
            match tone.ansi().filter(|_| coloured) {
                Some(code) => write!(out, "\x1b[{code}m{text}\x1b[0m")?,
                None => out.write_all(text.as_bytes())?,
            }
        }
        writeln!(out)
    }
}

impl Tone {
    fn ansi(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
            Self::Faint => Some("90"),
        }
    }
}

/// Breaks `text` between words so that each line has at most `width` characters; a longer word is broken too. Characters
/// that would move the cursor are shown as spaces: the text may be from anywhere.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in clean.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(String::new());
            used = 0;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            push(&mut lines, &mut used, &word);
            lines.push(String::new());
            used = 0;
            word = rest;
        }
        push(&mut lines, &mut used, &word);
    }
    lines
}

fn push(lines: &mut [String], used: &mut usize, word: &[char]) {
    let Some(line) = lines.last_mut() else { return };
    if *used > 0 {
        line.push(' ');
        *used += 1;
    }
    line.extend(word);
    *used += word.len();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        let check = |text, width, expected: &[&str]| assert_eq!(wrap(text, width), expected, "{text:?}");
        check("one two three", 7, &["one two", "three"]);
        check("one two three", 8, &["one two", "three"]);
        check("abcdefghij kl", 4, &["abcd", "efgh", "ij", "kl"]);
        check("a abcdefghij", 4, &["a", "abcd", "efgh", "ij"]);
        check("grün ist \u{1b}[31m schön\n", 9, &["grün ist", "[31m", "schön"]);
        check("", 9, &[""]);
        check("ab", 0, &["a", "b"]);
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let line = Line::new("main ", Tone::Plain).with("healthy", Tone::Good);
        let write = |coloured| {
            let mut out = Vec::new();
            line.write(&mut out, coloured).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(false), "main healthy\n");
        assert_eq!(write(true), "main \u{1b}[32mhealthy\u{1b}[0m\n");
    }
}
