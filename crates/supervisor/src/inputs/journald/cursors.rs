//! Up to which entry of the journal everything is acknowledged. Pure.

use std::collections::VecDeque;

use crate::ack_window::{AckWindow, Position};

/// What of a stored cursor is ours.
const MAGIC: &[u8] = b"journald 1\n";

/// Where reading begins, and what is on its way.
#[derive(Debug)]
pub(super) struct Cursors {
    /// Everything up to this entry is acknowledged; empty: nothing yet.
    acked: String,
    window: AckWindow,
    /// The last entry of each chunk that is on its way, by the window's position behind it.
    sent: VecDeque<(u64, String)>,
}

impl Cursors {
    /// Everything up to the entry `acked` is acknowledged.
    pub(super) fn new(acked: String) -> Self {
        Self { acked, window: AckWindow::new(Position::at(0)), sent: VecDeque::new() }
    }

    /// A chunk is on its way whose last entry is this; its number.
    pub(super) fn sent(&mut self, last: String) -> u64 {
        let end = self.window.sent_to().offset + 1;
        self.sent.push_back((end, last));
        self.window.sent(Position::at(end))
    }

    /// A receipt has come back; whether what is acknowledged has changed.
    pub(super) fn receipt(&mut self, number: u64, ok: bool) -> bool {
        let has_changed = self.window.receipt(number, ok);
        let acked = self.window.acked().offset;
        while self.sent.front().is_some_and(|(end, _)| *end <= acked) {
            if let Some((_, cursor)) = self.sent.pop_front() {
                self.acked = cursor;
            }
        }
        has_changed
    }

    /// The entry up to which everything is acknowledged.
    pub(super) fn acked(&self) -> &str {
        &self.acked
    }

    /// The last entry that is on its way, or acknowledged.
    pub(super) fn last_sent(&self) -> &str {
        self.sent.back().map_or(&self.acked, |(_, cursor)| cursor)
    }

    /// Receipts that have not come back yet.
    pub(super) fn awaited(&self) -> usize {
        self.window.awaited()
    }

    /// Something has to be read again, and nothing is on its way any more.
    pub(super) fn must_rewind(&self) -> bool {
        self.window.has_lost() && self.window.awaited() == 0
    }

    /// Nothing may be sent until what was lost is read again.
    pub(super) fn has_lost(&self) -> bool {
        self.window.has_lost()
    }
}

/// The bytes that are stored of a cursor.
pub(super) fn encode(cursor: &str) -> Vec<u8> {
    [MAGIC, cursor.as_bytes()].concat()
}

/// The cursor that these bytes mean; `None` if they are not ours.
pub(super) fn decode(body: &[u8]) -> Option<String> {
    let cursor = body.strip_prefix(MAGIC)?;
    String::from_utf8(cursor.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_acknowledged_without_a_gap_counts() {
        let mut cursors = Cursors::new("a".to_owned());
        assert_eq!((cursors.acked(), cursors.last_sent()), ("a", "a"));
        let numbers = ["b", "c", "d"].map(|cursor| cursors.sent(cursor.to_owned()));
        assert_eq!((cursors.acked(), cursors.last_sent(), cursors.awaited()), ("a", "d", 3));
        assert!(!cursors.receipt(numbers[1], true));
        assert_eq!(cursors.acked(), "a");
        assert!(cursors.receipt(numbers[0], true));
        assert_eq!(cursors.acked(), "c");
        assert!(!cursors.receipt(numbers[2], false));
        assert_eq!((cursors.acked(), cursors.must_rewind()), ("c", true));
    }

    #[test]
    fn stored_cursors_are_known_by_how_they_begin() {
        assert_eq!(decode(&encode("s=1;i=2")), Some("s=1;i=2".to_owned()));
        assert_eq!(decode(&encode("")), Some(String::new()));
        // The positions of an input of files.
        assert_eq!(decode(&[1, 0, 0, 0, 0, 0]), None);
    }
}
