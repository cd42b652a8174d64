//! Where a file's messages end: at each line, or at events of several lines. Pure.

use crate::ack_window::Position;
use crate::inputs::lines::{Taken, take_lines};
use crate::inputs::multiline::{Begin, End, Multiline};

/// How messages are told apart in the files of one input.
#[derive(Debug)]
pub(super) struct Framer {
    pub(super) max_line: usize,
    pub(super) multiline: Option<Multiline>,
}

impl Framer {
    /// Takes whole messages off the front of what was read at a position; `at_line` if a line begins there.
    pub(super) fn take(&self, read: &[u8], from: Position, at_line: bool, end: End) -> Taken {
        match &self.multiline {
            None => take_lines(read, from.in_cut_line, self.max_line, end == End::Over),
            Some(multiline) => {
                multiline.take(read, Begin { at_line, in_cut_event: from.in_cut_line }, self.max_line, end)
            }
        }
    }

    /// With so many bytes read there is always something to take, or to pass over.
    pub(super) fn window(&self) -> usize {
        // Two bytes more than allowed tell that a line is too long.
        let line = self.max_line + 2;
        match self.multiline {
            None => line,
            // An event, and a line behind it that may or may not begin the next one.
            Some(_) => 2 * line,
        }
    }
}
