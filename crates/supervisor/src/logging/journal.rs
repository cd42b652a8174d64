//! Lines for the journal of systemd: it keeps the time itself, and takes the priority from `<N>` in front of a line.

use std::ffi::OsStr;
use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Does standard error lead to the journal, by what `JOURNAL_STREAM` says?
pub(super) fn is_standard_error() -> bool {
    let Ok(file) = rustix::fs::fstat(std::io::stderr()) else { return false };
    is_stream(std::env::var_os("JOURNAL_STREAM").as_deref(), file.st_dev, file.st_ino)
}

/// `JOURNAL_STREAM` is `device:inode` of the journal's stream. A process whose standard error was sent elsewhere has the
/// variable all the same. Pure.
fn is_stream(stream: Option<&OsStr>, device: u64, inode: u64) -> bool {
    let numbers = stream.and_then(OsStr::to_str).and_then(|stream| stream.split_once(':'));
    numbers.is_some_and(|(its_device, its_inode)| {
        its_device.parse() == Ok(device) && its_inode.parse() == Ok(inode)
    })
}

/// Puts the priority in front of each line.
pub(super) struct WithPriority<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for WithPriority<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(ctx, Writer::new(&mut text), event)?;
        write_lines(writer, *event.metadata().level(), &text)
    }
}

/// The journal makes an entry of each line.
pub(super) fn write_lines(mut writer: impl fmt::Write, level: Level, text: &str) -> fmt::Result {
    let priority = priority(level);
    text.lines().try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
}

/// As `syslog(3)` counts.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_itself_is_the_journal() {
        assert!(is_stream(Some(OsStr::new("8:1234")), 8, 1234));
        for other in ["8:1235", "9:1234", "8", "", "8:1234:", "a:b"] {
            assert!(!is_stream(Some(OsStr::new(other)), 8, 1234), "{other:?}");
        }
        assert!(!is_stream(None, 8, 1234));
    }

    #[test]
    fn every_line_has_its_priority() {
        let mut written = String::new();
        write_lines(&mut written, Level::ERROR, "one\ntwo\n").unwrap();
        write_lines(&mut written, Level::WARN, "three").unwrap();
        assert_eq!(written, "<3>one\n<3>two\n<4>three\n");
    }
}
