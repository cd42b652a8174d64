//! Dead letters: how many for which reason, and the newest of them, without their bodies.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use millpond_queue::{Fs, Sequence};
use serde::{Deserialize, Serialize};

use crate::dead_letters::letters::{self, Found, Letter};

/// Codes that are told apart; the rest is counted together. Services have few.
const CODES_MAX: usize = 100;
/// What is counted together.
const OTHER: &str = "other";

/// What was refused for good: what `GET /api/v1/outputs/ID/dead-letters` answers. Fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Letters {
    /// The output.
    pub output: String,
    /// How many letters there are.
    pub letters: u64,
    /// Events in them.
    pub events: u64,
    /// What could not be read, besides.
    pub unreadable: u64,
    /// By code, the one with the most events first.
    pub by_code: Vec<Code>,
    /// The newest ones, the newest first.
    pub newest: Vec<NewestLetter>,
}

/// Letters of one code.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Code {
    /// The service's error code, or a word of ours.
    pub code: String,
    /// How many.
    pub letters: u64,
    /// Events in them.
    pub events: u64,
    /// When the last one was refused, in milliseconds since the Unix epoch.
    pub last_refused_ms: i64,
    /// What was said of that one.
    pub last_message: String,
}

/// One letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestLetter {
    /// Its number.
    pub sequence: u64,
    /// When it was refused, in milliseconds since the Unix epoch.
    pub refused_ms: i64,
    /// Events in it.
    pub events: u32,
    /// The service's error code, or a word of ours.
    pub code: String,
    /// Why, in words.
    pub message: String,
    /// The stream it was meant for.
    pub stream: String,
    /// Its partition key, if it had become a record.
    pub partition_key: Option<String>,
    /// What it is: `gzip`, `ndjson`, `event` or `frame`.
    pub format: String,
    /// Its size.
    pub body_bytes: u64,
}

/// Reads the letters; one of them at a time is in memory.
pub(super) fn read(output: String, storage: Option<Fs>, limit: usize) -> io::Result<Letters> {
    let found = match storage {
        Some(storage) => Some(letters::read(storage, Sequence(0))?),
        None => None,
    };
    gather(output, found.into_iter().flatten(), limit)
}

fn gather(
    output: String,
    found: impl Iterator<Item = io::Result<Found>>,
    limit: usize,
) -> io::Result<Letters> {
    let mut gathered = Letters { output, ..Letters::default() };
    let mut codes: BTreeMap<String, Code> = BTreeMap::new();
    let mut newest = VecDeque::new();
    for found in found {
        let letter = match found? {
            Found::Letter(letter) => letter,
            Found::Unreadable { .. } => {
                gathered.unreadable += 1;
                continue;
            }
        };
        gathered.letters += 1;
        gathered.events += u64::from(letter.events);
        count(&mut codes, &letter);
        newest.push_back(NewestLetter::new(letter));
        if newest.len() > limit {
            newest.pop_front();
        }
    }
    gathered.newest = newest.into_iter().rev().collect();
    gathered.by_code = codes.into_values().collect();
    gathered.by_code.sort_by_key(|code| std::cmp::Reverse(code.events));
    Ok(gathered)
}

fn count(codes: &mut BTreeMap<String, Code>, letter: &Letter) {
    let known = codes.len() < CODES_MAX || codes.contains_key(&letter.reason.code);
    let name = if known { letter.reason.code.as_str() } else { OTHER };
    let code = codes.entry(name.to_owned()).or_insert_with(|| Code {
        code: name.to_owned(),
        last_refused_ms: i64::MIN,
        ..Code::default()
    });
    code.letters += 1;
    code.events += u64::from(letter.events);
    // Clocks jump; what was stored last was refused last.
    code.last_refused_ms = letter.refused_ms;
    code.last_message.clone_from(&letter.reason.message);
}

impl NewestLetter {
    fn new(letter: Letter) -> Self {
        Self {
            sequence: letter.sequence.0,
            refused_ms: letter.refused_ms,
            events: letter.events,
            code: letter.reason.code,
            message: letter.reason.message,
            stream: letter.reason.stream,
            partition_key: letter.reason.partition_key,
            format: letter.reason.format,
            body_bytes: letter.body.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dead_letters::letters::WhyRefused;

    fn letter(sequence: u64, code: &str, events: u32) -> io::Result<Found> {
        let reason = WhyRefused {
            code: code.to_owned(),
            message: format!("message {sequence}"),
            stream: "logs".to_owned(),
            partition_key: None,
            format: "event".to_owned(),
        };
        let (sequence, refused_ms) = (Sequence(sequence), 1000 + sequence as i64);
        let body = Bytes::from_static(b"body");
        Ok(Found::Letter(Letter { sequence, refused_ms, events, reason, body }))
    }

    #[test]
    fn letters_are_counted_by_code_and_the_newest_are_listed() {
        let unreadable = Ok(Found::Unreadable { sequence: Sequence(4), reason: "torn".to_owned() });
        let found = [letter(1, "Few", 1), letter(2, "Many", 5), letter(3, "Few", 2), unreadable];
        let seen = gather("main".to_owned(), found.into_iter(), 2).unwrap();
        assert_eq!((seen.letters, seen.events, seen.unreadable), (3, 8, 1));
        let codes: Vec<_> =
            seen.by_code.iter().map(|code| (&*code.code, code.letters, code.events)).collect();
        assert_eq!(codes, [("Many", 1, 5), ("Few", 2, 3)]);
        assert_eq!((seen.by_code[1].last_refused_ms, &*seen.by_code[1].last_message), (1003, "message 3"));
        let newest: Vec<_> = seen.newest.iter().map(|letter| letter.sequence).collect();
        assert_eq!((newest, seen.newest[0].body_bytes), (vec![3, 2], 4));
    }

    #[test]
    fn many_codes_are_counted_together_and_a_disk_that_fails_is_an_error() {
        let found = (0..CODES_MAX as u64 + 5).map(|number| letter(number, &format!("code {number}"), 1));
        let seen = gather("main".to_owned(), found, 0).unwrap();
        assert_eq!((seen.by_code.len(), &*seen.by_code[0].code), (CODES_MAX + 1, OTHER));
        assert_eq!((seen.by_code[0].events, seen.newest.len()), (5, 0));
        let broken = [letter(1, "a", 1), Err(io::Error::other("the disk is gone"))];
        assert!(gather("main".to_owned(), broken.into_iter(), 5).is_err());
    }
}
