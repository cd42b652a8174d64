//! The log: standard error, text for people or JSON for programs.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

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

/// Sends all messages of this process to standard error from now on.
///
/// # Errors
/// [`LogFilterError`] when `log_level` cannot be understood.
pub fn init(args: &LogArgs) -> Result<(), LogFilterError> {
    // The SDK repeats what is said here in better words, and hyper says much; they are heard when asked for by name.
    let filter = format!("{},aws_config=error,aws_smithy_runtime=error,hyper=warn", args.log_level);
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| LogFilterError { filter: args.log_level.clone(), reason: error.to_string() })?;
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match args.log_format {
        LogFormat::Json => log.json().flatten_event(true).boxed(),
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            log.with_ansi(colour).with_target(false).boxed()
        }
    };
    tracing_subscriber::registry().with(log.with_filter(filter)).with(FilterFn::new(shows_no_secrets)).init();
    Ok(())
}

/// Below `info` the SDK writes down whole answers: the keys of a role are in those of STS. No filter asks for that.
fn shows_no_secrets(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("aws_") || *metadata.level() <= Level::INFO
}
