//! The way to standard output.

use std::io::{self, ErrorKind, IsTerminal as _, Write};

/// Whether standard output may be coloured: a terminal, and `NO_COLOR` is not set (<https://no-color.org>).
#[must_use]
pub fn is_coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused
}

/// Runs what writes to standard output, through a buffer. `Ok(false)`: the reader has closed the pipe, as `head` does when
/// it has seen enough, and the rest was not written.
///
/// # Errors
/// Any other error of writing.
pub fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<bool> {
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            // What is in the buffer has nowhere to go either.
            drop(out.into_parts());
            Ok(false)
        }
        written => written.map(|()| true),
    }
}
