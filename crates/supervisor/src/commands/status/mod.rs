//! `millpond status`: a running forwarder at a glance.

use std::process::ExitCode;
use std::time::Duration;

use super::failure::{self, Failure};
use super::forwarder::{Answer, AskError, Forwarder, ForwarderArgs, Method};
use crate::admin::Status;
use crate::terminal::print::{is_coloured, to_stdout};

pub mod view;

/// What a rate needs between two looks; the forwarder tells none from looks that are closer together.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1_100);
/// Columns that are used.
const WIDTH: usize = 80;

/// Arguments of `millpond status`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
    $ millpond status
    $ millpond status --tag edge --json
    $ millpond status --url http://127.0.0.1:9650

Exit codes: 0 the forwarder has answered, whatever its state; 1 it has not; 2 the command line or the configuration is
wrong. Metrics and alert rules are for watching.")]
pub struct StatusArgs {
    #[command(flatten)]
    forwarder: ForwarderArgs,
    /// Only outputs with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Print the whole status as JSON, as the admin address gives it
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub fn run(args: &StatusArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let forwarder = args.forwarder.find()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("no event loop: {error}")))?;
    let asked = runtime.block_on(look(&forwarder, args.tag.as_deref()));
    let (answer, status) = asked.map_err(|error| Failure::failed(error.to_string()))?;
    let printed = to_stdout(|out| {
        if args.json {
            return out.write_all(&answer.body);
        }
        let coloured = is_coloured();
        view::screen(&status, WIDTH).iter().try_for_each(|line| line.write(out, coloured))
    });
    printed.map_err(|error| Failure::printing(&error))?;
    Ok(ExitCode::SUCCESS)
}

/// The status, and as it came. Asks a second time where only that can tell how fast a queue drains.
async fn look(forwarder: &Forwarder, tag: Option<&str>) -> Result<(Answer, Status), AskError> {
    let path = path(tag);
    let first = forwarder.ask(Method::Get, &path).await?;
    let status: Status = first.read(forwarder)?;
    if !status.outputs.iter().any(view::may_drain) {
        return Ok((first, status));
    }
    tokio::time::sleep(BETWEEN_LOOKS).await;
    let second = forwarder.ask(Method::Get, &path).await?;
    let status = second.read(forwarder)?;
    Ok((second, status))
}

/// Where the status is.
#[must_use]
pub fn path(tag: Option<&str>) -> String {
    match tag {
        None => "/api/v1/status".to_owned(),
        Some(tag) => {
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("tag", tag).finish();
            format!("/api/v1/status?{query}")
        }
    }
}
