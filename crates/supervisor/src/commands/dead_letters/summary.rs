//! Dead letters by why they were refused. Pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::dead_letters::letters::Letter;
use crate::dead_letters::remedy;
use crate::terminal::human;

/// As wide as a terminal is at least.
const WIDTH: usize = 80;

/// Letters by code.
#[derive(Debug, Default)]
pub(super) struct Summary {
    codes: BTreeMap<String, Of>,
}

/// Those of one code.
#[derive(Debug)]
struct Of {
    letters: u64,
    events: u64,
    bytes: u64,
    first_ms: i64,
    last_ms: i64,
    /// What was said of the newest one, and whether the same was said of all.
    message: String,
    differs: bool,
}

impl Summary {
    pub(super) fn add(&mut self, letter: &Letter) {
        let message = &letter.reason.message;
        let of = self.codes.entry(letter.reason.code.clone()).or_insert_with(|| Of {
            letters: 0,
            events: 0,
            bytes: 0,
            first_ms: letter.refused_ms,
            last_ms: letter.refused_ms,
            message: message.clone(),
            differs: false,
        });
        of.letters += 1;
        of.events += u64::from(letter.events);
        of.bytes += letter.body.len() as u64;
        of.first_ms = of.first_ms.min(letter.refused_ms);
        of.last_ms = of.last_ms.max(letter.refused_ms);
        if of.message != *message {
            of.differs = true;
            of.message.clone_from(message);
        }
    }

    pub(super) fn letters(&self) -> u64 {
        self.codes.values().map(|of| of.letters).sum()
    }

    /// All of them, in one line.
    pub(super) fn total(&self) -> String {
        let events = self.codes.values().map(|of| of.events).sum();
        let bytes = self.codes.values().map(|of| of.bytes).sum();
        format!("{}, {}, {}", letters(self.letters()), self::events(events), human::bytes(bytes))
    }
}

impl fmt::Display for Summary {
    /// A paragraph for each code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (code, of) in &self.codes {
            let (first, last) = (human::time(of.first_ms), human::time(of.last_ms));
            let when = if first == last { first } else { format!("{first} to {last}") };
            writeln!(
                f,
                "\n{code}: {}, {}, {}",
                letters(of.letters),
                events(of.events),
                human::bytes(of.bytes)
            )?;
            writeln!(f, "  refused  {when}")?;
            let says = if of.differs { "for one" } else { "because" };
            f.write_str(&wrapped(says, &of.message))?;
            f.write_str(&wrapped("remedy", remedy::of(code)))?;
        }
        Ok(())
    }
}

pub(super) fn letters(count: u64) -> String {
    format!("{} letter{}", human::count(count), if count == 1 { "" } else { "s" })
}

pub(super) fn events(count: u64) -> String {
    format!("{} event{}", human::count(count), if count == 1 { "" } else { "s" })
}

/// A text of several lines beside its name.
pub(super) fn wrapped(name: &str, text: &str) -> String {
    const INDENT: usize = 11;
    let mut out = format!("  {name:<9}");
    let mut at = INDENT;
    for (index, word) in text.split_whitespace().enumerate() {
        let width = word.chars().count();
        if index > 0 && at + 1 + width > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', INDENT));
            at = INDENT;
        } else if index > 0 {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += width;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millpond_queue::Sequence;

    use super::*;
    use crate::dead_letters::letters::WhyRefused;

    #[test]
    fn letters_are_told_by_code() {
        let letter = |code: &str, message: &str, refused_ms| Letter {
            sequence: Sequence(1),
            refused_ms,
            events: 2,
            reason: WhyRefused {
                code: code.to_owned(),
                message: message.to_owned(),
                stream: "logs".to_owned(),
                partition_key: None,
                format: "event".to_owned(),
            },
            body: Bytes::from_static(b"{}"),
        };
        let mut summary = Summary::default();
        summary.add(&letter(
            "Other",
            "a long story about what the service does not like in this record, told at length",
            1_000,
        ));
        summary.add(&letter("New", "no", 2_000));
        summary.add(&letter("New", "never", 5_000));
        assert_eq!(summary.total(), "3 letters, 6 events, 6 B");
        let expected = "
New: 2 letters, 4 events, 4 B
  refused  1970-01-01 00:00:02Z to 1970-01-01 00:00:05Z
  for one  never
  remedy   Kinesis has refused it; when what the message complains about is
           mended, retry

Other: 1 letter, 2 events, 2 B
  refused  1970-01-01 00:00:01Z
  because  a long story about what the service does not like in this record,
           told at length
  remedy   Kinesis has refused it; when what the message complains about is
           mended, retry
";
        assert_eq!(summary.to_string(), expected);
    }
}
