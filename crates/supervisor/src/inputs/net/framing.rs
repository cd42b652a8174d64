//! Where a message ends in a stream of bytes. Pure.

use memchr::memchr;

use crate::config::checked::StreamFraming;
use crate::inputs::lines::cut_at_character;

/// Longest length that is believed, in digits: up to 999,999,999 bytes.
const LENGTH_DIGITS_MAX: usize = 9;

/// What stands where the length of a message should be is none; whatever follows it cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no length of a message, but {0:?}")]
pub(in crate::inputs) struct BadLength(String);

/// Messages that are not what was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::inputs) struct Flaws {
    /// Messages that were cut to the longest allowed length.
    pub(in crate::inputs) cut: u64,
    /// Bytes left out of them.
    pub(in crate::inputs) cut_bytes: u64,
    /// Messages whose stream ended before their length was reached.
    pub(in crate::inputs) incomplete: u64,
}

/// Takes messages out of a stream of bytes that comes in pieces of any size. Holds less than a message of the longest
/// allowed length.
#[derive(Debug)]
pub(in crate::inputs) struct Decoder {
    framing: StreamFraming,
    max_message: usize,
    state: State,
    /// What has come of the message whose end has not; of a length, its digits.
    partial: Vec<u8>,
    flaws: Flaws,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Where a message begins.
    Begin,
    /// In one that ends with a line feed.
    Line,
    /// In the rest of one that was cut.
    CutLine,
    /// In the digits of a length.
    Length,
    /// Behind the space that ends a length: only what comes next tells whether it was one.
    Doubt,
    /// In a message of which so many bytes are to come.
    Counted(usize),
    /// In the rest of one that was cut, of which so many bytes are to come.
    CutCounted(usize),
    /// Behind something that cannot be understood.
    Lost,
}

type Each<'a> = dyn FnMut(&[u8]) + 'a;

impl Decoder {
    /// For a stream in which nothing has come yet. Messages are cut to `max_message` bytes, which must not be 0.
    pub(in crate::inputs) fn new(framing: StreamFraming, max_message: usize) -> Self {
        assert!(max_message > 0, "a message may have at least a byte");
        Self { framing, max_message, state: State::Begin, partial: Vec::new(), flaws: Flaws::default() }
    }

    /// Takes what has come next; calls `each` with every message that ends in it, without its line end.
    ///
    /// # Errors
    /// When what comes is not framed as it should be. Whatever comes after that is passed over.
    pub(in crate::inputs) fn feed(&mut self, mut input: &[u8], each: &mut Each<'_>) -> Result<(), BadLength> {
        while !input.is_empty() {
            let used = match self.state {
                State::Begin => self.begin(input),
                State::Line => self.line(input, each),
                State::CutLine => self.pass_over_line(input),
                State::Length => self.length(input)?,
                State::Doubt => self.doubt(input),
                State::Counted(left) => self.counted(input, left, each),
                State::CutCounted(left) => self.pass_over_counted(input, left),
                State::Lost => return Ok(()),
            };
            input = input.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// Nothing follows: what has come of a last message is taken as it is.
    pub(in crate::inputs) fn finish(&mut self, each: &mut Each<'_>) {
        match self.state {
            State::Begin | State::CutLine | State::Lost => {}
            State::Line | State::Length | State::Doubt => self.end_line(&[], each),
            State::Counted(_) => {
                self.flaws.incomplete += 1;
                each(&self.partial);
            }
            State::CutCounted(_) => self.flaws.incomplete += 1,
        }
        self.partial = Vec::new();
        self.state = State::Begin;
    }

    /// What was wrong with messages since this was asked last.
    pub(in crate::inputs) fn take_flaws(&mut self) -> Flaws {
        std::mem::take(&mut self.flaws)
    }

    fn begin(&mut self, input: &[u8]) -> usize {
        self.state = match (self.framing, input.first()) {
            (StreamFraming::Lines, _) => State::Line,
            // Some end what they have counted with a line end all the same.
            (_, Some(b'\n' | b'\r' | b'\0')) => return 1,
            (StreamFraming::OctetCounted, _) => State::Length,
            (StreamFraming::Auto, Some(b'1'..=b'9')) => State::Length,
            (StreamFraming::Auto, _) => State::Line,
        };
        0
    }

    fn line(&mut self, input: &[u8], each: &mut Each<'_>) -> usize {
        if let Some(end) = memchr(b'\n', input) {
            self.end_line(input.get(..end).unwrap_or_default(), each);
            self.state = State::Begin;
            return end + 1;
        }
        self.partial.extend_from_slice(input);
        // One byte more than allowed may be the `\r` of the line end.
        if !matches!(self.partial.get(self.max_message..), None | Some([] | [b'\r'])) {
            self.end_line(&[], each);
            self.state = State::CutLine;
        }
        input.len()
    }

    /// Gives the line that was held, with `rest` behind it.
    fn end_line(&mut self, rest: &[u8], each: &mut Each<'_>) {
        let mut held = std::mem::take(&mut self.partial);
        let line = if held.is_empty() {
            rest
        } else {
            held.extend_from_slice(rest);
            &held
        };
        match line.strip_suffix(b"\r").unwrap_or(line) {
            whole if whole.len() <= self.max_message => each(whole),
            _ => self.cut(line, each),
        }
    }

    /// Gives the beginning of a message that is too long.
    fn cut(&mut self, message: &[u8], each: &mut Each<'_>) {
        let kept = cut_at_character(message, self.max_message);
        self.flaws.cut += 1;
        self.flaws.cut_bytes += (message.len() - kept) as u64;
        each(message.get(..kept).unwrap_or(message));
    }

    fn pass_over_line(&mut self, input: &[u8]) -> usize {
        let (passed, used) = match memchr(b'\n', input) {
            Some(end) => {
                self.state = State::Begin;
                (end, end + 1)
            }
            None => (input.len(), input.len()),
        };
        self.flaws.cut_bytes += passed as u64;
        used
    }

    fn length(&mut self, input: &[u8]) -> Result<usize, BadLength> {
        let Some(&byte) = input.first() else { return Ok(0) };
        let is_first = self.partial.is_empty();
        match byte {
            b'0' if is_first => self.no_length(byte),
            b'0'..=b'9' if self.partial.len() < LENGTH_DIGITS_MAX => {
                self.partial.push(byte);
                Ok(1)
            }
            b' ' if !is_first && self.framing == StreamFraming::Auto => {
                self.state = State::Doubt;
                self.partial.push(byte);
                Ok(1)
            }
            b' ' if !is_first => {
                self.begin_counted();
                Ok(1)
            }
            _ => self.no_length(byte),
        }
    }

    /// In a stream of either kind, what is no length is the beginning of a line.
    fn no_length(&mut self, byte: u8) -> Result<usize, BadLength> {
        if self.framing == StreamFraming::Auto {
            self.state = State::Line;
            return Ok(0);
        }
        self.partial.push(byte);
        let found = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial = Vec::new();
        self.state = State::Lost;
        Err(BadLength(found))
    }

    /// In a stream of either kind, a length is one only before what begins as a syslog message does.
    fn doubt(&mut self, input: &[u8]) -> usize {
        if input.first() == Some(&b'<') {
            self.begin_counted();
        } else {
            self.state = State::Line;
        }
        0
    }

    fn begin_counted(&mut self) {
        let digits = self.partial.iter().take_while(|byte| byte.is_ascii_digit());
        let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
        self.partial.clear();
        self.state = State::Counted(length);
    }

    fn counted(&mut self, input: &[u8], left: usize, each: &mut Each<'_>) -> usize {
        // One byte more than allowed tells that it is too long, and whether it is cut inside of a character.
        let room = self.max_message + 1 - self.partial.len();
        let used = left.min(room).min(input.len());
        let part = input.get(..used).unwrap_or_default();
        let is_whole = used == left;
        if is_whole && self.partial.is_empty() && used <= self.max_message {
            each(part);
            self.state = State::Begin;
            return used;
        }
        self.partial.extend_from_slice(part);
        if self.partial.len() > self.max_message {
            let held = std::mem::take(&mut self.partial);
            self.cut(&held, each);
            self.state = if is_whole { State::Begin } else { State::CutCounted(left - used) };
        } else if is_whole {
            each(&std::mem::take(&mut self.partial));
            self.state = State::Begin;
        } else {
            self.state = State::Counted(left - used);
        }
        used
    }

    fn pass_over_counted(&mut self, input: &[u8], left: usize) -> usize {
        let used = left.min(input.len());
        self.flaws.cut_bytes += used as u64;
        self.state = if used == left { State::Begin } else { State::CutCounted(left - used) };
        used
    }
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
