//! Takes events of several lines off the front of what was read. Pure.
//!
//! A line that matches the start pattern begins an event; those that do not belong to the event before. Lines before the
//! first start are an event of their own. An event that is not finished stays where it is, so that a position never lies
//! inside of one: whoever begins again reads all of it.

use std::time::Duration;

use memchr::memchr;
use regex::bytes::Regex;

use super::lines::{Taken, cut_at_character, is_too_long};

/// How events of several lines are told apart.
#[derive(Debug)]
pub(super) struct Multiline {
    start: Regex,
    /// An event is finished when nothing has come for so long.
    pub(super) timeout: Duration,
}

/// What follows what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Anything: the last event may go on.
    Open,
    /// Nothing came for a while: the last event is finished; a line without a line end is not.
    Quiet,
    /// Nothing at all.
    Over,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// At the beginning of a line.
    pub(super) at_line: bool,
    /// Inside an event that was cut; its rest is passed over.
    pub(super) in_cut_event: bool,
}

impl Multiline {
    /// Events that begin where `start` matches a line.
    ///
    /// # Errors
    /// Why `start` is no pattern.
    pub(super) fn new(start: &str, timeout: Duration) -> Result<Self, regex::Error> {
        Ok(Self { start: Regex::new(start)?, timeout })
    }

    /// Takes whole events off the front of `input`. One that is longer than `max_event` is cut as soon as that is known.
    pub(super) fn take(&self, input: &[u8], begin: Begin, max_event: usize, end: End) -> Taken {
        let taken = Taken { ends: Some(Vec::new()), ..Taken::default() };
        let mut walk = Walk { input, max_event, taken, at: 0, open: None, is_cut: begin.in_cut_event };
        if begin.at_line || walk.pass_over_line() {
            while let Some(len) = walk.next_line(end) {
                walk.line(len, &self.start);
            }
        }
        walk.finish(end)
    }
}

struct Walk<'a> {
    input: &'a [u8],
    max_event: usize,
    taken: Taken,
    /// Where the next line begins.
    at: usize,
    /// Where the event begins that is not finished.
    open: Option<usize>,
    /// The event before `at` was cut.
    is_cut: bool,
}

impl Walk<'_> {
    fn rest(&self) -> &[u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// Passes over the rest of a line; false if its end has not come.
    fn pass_over_line(&mut self) -> bool {
        let end = memchr(b'\n', self.rest());
        let len = end.map_or(self.input.len(), |end| end + 1);
        self.taken.cut_bytes += len as u64;
        self.at = len;
        end.is_some()
    }

    /// The length of the next line, if it can be told whether it begins an event.
    fn next_line(&self, end: End) -> Option<usize> {
        let rest = self.rest();
        match memchr(b'\n', rest) {
            Some(end) => Some(end + 1),
            None if rest.is_empty() => None,
            None => (end == End::Over || is_too_long(rest, self.max_event)).then_some(rest.len()),
        }
    }

    fn line(&mut self, len: usize, start: &Regex) {
        let line = self.rest().get(..len).unwrap_or_default();
        // So much of it is looked at, and no more, however much of it has come.
        let seen = without_end(line);
        if start.is_match(seen.get(..self.max_event).unwrap_or(seen)) {
            if let Some(begin) = self.open.take() {
                self.push(begin);
            }
            self.is_cut = false;
        }
        let begin = self.at;
        self.at += len;
        if self.is_cut {
            self.taken.cut_bytes += len as u64;
            return;
        }
        let begin = *self.open.get_or_insert(begin);
        let event = self.input.get(begin..self.at).unwrap_or_default();
        if is_too_long(event.strip_suffix(b"\n").unwrap_or(event), self.max_event) {
            self.push(begin);
            self.open = None;
            self.is_cut = true;
        }
    }

    /// Takes the event that ends at `at`.
    fn push(&mut self, begin: usize) {
        let raw = self.input.get(begin..self.at).unwrap_or_default();
        let mut event = without_end(raw);
        if event.len() > self.max_event {
            event = event.get(..cut_at_character(event, self.max_event)).unwrap_or(event);
            self.taken.cut += 1;
            self.taken.cut_bytes += (raw.len() - event.len()) as u64;
        }
        self.taken.data.extend_from_slice(event);
        self.taken.lines += 1;
        let end = u32::try_from(self.taken.data.len()).expect("less than 4 GiB are read at once");
        self.taken.ends.get_or_insert_default().push(end);
    }

    fn finish(mut self, end: End) -> Taken {
        if end != End::Open
            && let Some(begin) = self.open.take()
        {
            self.push(begin);
        }
        self.taken.consumed = self.open.unwrap_or(self.at);
        self.taken.is_unfinished = self.open.is_some();
        self.taken.in_cut_line = self.is_cut && end != End::Over;
        self.taken
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
#[path = "multiline_tests.rs"]
mod tests;
