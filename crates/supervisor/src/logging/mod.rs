//! The log: standard error, text for people or JSON for programs; in the form that the journal of systemd takes where it
//! leads there.

mod journal;
mod limit;
mod repeated;

use std::io::IsTerminal as _;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use self::journal::WithPriority;
pub use self::repeated::HeldBack;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text per message; coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Text,
    /// One JSON object per message.
    Json,
}

/// How much is logged, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// Text for people, or one JSON object per line.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace; or per module, such as `info,millpond::inputs=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "MILLPOND_LOG", global = true)]
    pub log_level: String,
}

/// The filter is not one.
#[derive(Debug, thiserror::Error)]
#[error("--log-level {filter:?} is not valid: {reason}; use error, warn, info, debug or trace")]
pub struct LogFilterError {
    filter: String,
    reason: String,
}

/// Sends all messages of this process to standard error from now on; warnings and errors that repeat themselves are
/// counted instead, see [`HeldBack`], whose numbers the caller has told.
///
/// # Errors
/// [`LogFilterError`] when `log_level` cannot be understood.
pub fn init(args: &LogArgs) -> Result<HeldBack, LogFilterError> {
    // The SDK repeats what is said here in better words, and hyper says much; they are heard when asked for by name.
    let filter = format!("{},aws_config=error,aws_smithy_runtime=error,hyper=warn", args.log_level);
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| LogFilterError { filter: args.log_level.clone(), reason: error.to_string() })?;
    let held_back = HeldBack::new(repeated::PERIOD);
    let log = layer(args.log_format, journal::is_standard_error(), std::io::stderr, &held_back);
    tracing_subscriber::registry().with(log.with_filter(filter)).with(FilterFn::new(shows_no_secrets)).init();
    Ok(held_back)
}

/// What is written for an event that is to be seen.
fn layer<S, W>(
    format: LogFormat,
    journal: bool,
    writer: W,
    held_back: &HeldBack,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = fmt::layer().with_writer(writer);
    let json = fmt::format().json().flatten_event(true);
    let text = fmt::format().with_target(false);
    match (format, journal) {
        (LogFormat::Json, false) => {
            log.fmt_fields(JsonFields::new()).event_format(held_back.before(json)).boxed()
        }
        (LogFormat::Json, true) => {
            log.fmt_fields(JsonFields::new()).event_format(held_back.before(WithPriority(json))).boxed()
        }
        (LogFormat::Text, false) => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            log.with_ansi(colour).event_format(held_back.before(text)).boxed()
        }
        (LogFormat::Text, true) => {
            let text = text.without_time().with_level(false);
            log.with_ansi(false).event_format(held_back.before(WithPriority(text))).boxed()
        }
    }
}

/// Says on standard error why a command could not even begin, as it stands.
pub fn complain(text: &str) {
    if journal::is_standard_error() {
        let mut lines = String::new();
        journal::write_lines(&mut lines, Level::ERROR, text).expect("a String takes everything");
        eprint!("{lines}");
    } else {
        eprintln!("{text}");
    }
}

/// Below `info` the SDK writes down whole answers: the keys of a role are in those of STS. No filter asks for that.
fn shows_no_secrets(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("aws_") || *metadata.level() <= Level::INFO
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written to the log.
    #[derive(Debug, Clone, Default)]
    pub(super) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn written_as(format: LogFormat, journal: bool) -> String {
        let written = Written::default();
        let log = tracing_subscriber::registry().with(layer(
            format,
            journal,
            written.clone(),
            &HeldBack::new(repeated::PERIOD),
        ));
        tracing::subscriber::with_default(log, || {
            tracing::warn!(output = "main", "it is\ntwo lines");
            tracing::info!("well");
        });
        written.text()
    }

    #[test]
    fn the_journal_gets_priorities_and_neither_time_nor_colour() {
        let text = written_as(LogFormat::Text, true);
        assert_eq!(text, "<4>it is\n<4>two lines output=\"main\"\n<6>well\n");
        for line in written_as(LogFormat::Json, true).lines() {
            let (priority, json) = line.split_at(3);
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            let level = json["level"].as_str().unwrap();
            assert!(matches!((priority, level), ("<4>", "WARN") | ("<6>", "INFO")), "{line}");
            assert!(json["message"].is_string() && json["fields"].is_null(), "{line}");
        }
    }

    #[test]
    fn elsewhere_a_line_has_its_time_and_its_level() {
        let text = written_as(LogFormat::Text, false);
        assert!(text.contains("Z  WARN it is") && text.contains("Z  INFO well"), "{text}");
        assert!(!written_as(LogFormat::Json, false).contains('<'));
    }
}
