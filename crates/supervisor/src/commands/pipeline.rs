//! `millpond pipeline`: pipelines, tried by hand.

use std::io::{self, BufRead as _, ErrorKind, Read as _, Write};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;

use super::failure::{self, Failure};
use super::place::ConfigArgs;
use crate::chunk::{Chunk, Codec, Form, Framing, Receipt};
use crate::clock;
use crate::config::{Config, words_nearest};
use crate::processing::stage::{Outcome, Stage};
use crate::processing::{Made, Plan, Route, Shaping};

/// Longest event that is taken: the longest line that an input may be told to take.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Arguments of `millpond pipeline`.
#[derive(Debug, Clone, clap::Args)]
pub struct PipelineArgs {
    #[command(subcommand)]
    command: PipelineCommand,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum PipelineCommand {
    /// Print what a pipeline makes of the events on standard input
    Try(TryArgs),
}

/// Arguments of `millpond pipeline try`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Reads one event a line. A line that is no JSON object is wrapped as text, as an input does it.
What the pipeline fails on is said on standard error, with its line; what on_error lets pass is printed as it came.

Examples:
    $ millpond pipeline try tidy < events.ndjson
    $ echo '{\"level\":\"info\"}' | millpond pipeline try tidy")]
pub struct TryArgs {
    /// The pipeline, by its name under `pipelines`
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command: exit code 0 when the pipeline has failed on no event, 1 when it has or when a stream cannot be read
/// or written, 2 when the configuration is wrong or has no such pipeline.
#[must_use]
pub fn run(args: &PipelineArgs) -> ExitCode {
    let PipelineCommand::Try(args) = &args.command;
    failure::end(try_by_hand(args))
}

fn try_by_hand(args: &TryArgs) -> Result<ExitCode, Failure> {
    let config = args.config.load()?;
    let trial =
        Trial::new(&config, &args.name).ok_or_else(|| Failure::usage(no_such(&config, &args.name)))?;
    match trial.run(io::stdin().lock(), &mut io::stdout().lock(), &mut io::stderr().lock()) {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::failed(error.to_string())),
    }
}

/// What to say where a pipeline is not.
fn no_such(config: &Config, name: &str) -> String {
    let names = || config.pipelines.iter().map(|pipeline| &*pipeline.name);
    let remedy = match words_nearest(name, names()) {
        Some(near) => format!("did you mean {near}?"),
        None if config.pipelines.is_empty() => "it has none".to_owned(),
        None => format!("its pipelines are {}", names().collect::<Vec<_>>().join(", ")),
    };
    format!("the configuration has no pipeline {name}: {remedy}")
}

/// One pipeline, alone.
struct Trial {
    plan: Plan,
    host: String,
}

impl Trial {
    fn new(config: &Config, name: &str) -> Option<Self> {
        let pipeline = config.pipelines.iter().find(|pipeline| *pipeline.name == *name)?;
        let shaping = Shaping::new(pipeline);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Some(Self { plan: Plan { shaping: Some(shaping), routes: vec![Arc::new(Route::plain(""))] }, host })
    }

    /// Events from `lines` to `out`, one by one, and what is to be said to `say`; how many it failed on.
    fn run(
        &self,
        mut lines: impl io::BufRead,
        out: &mut impl Write,
        say: &mut impl Write,
    ) -> io::Result<u64> {
        let mut line = Vec::new();
        let mut number = 0_u64;
        while lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
            number += 1;
            if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
                let what = format!("line {number} has more than 64 MiB: is this one event a line?");
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
            let outcome = self.shape(Bytes::from(std::mem::take(&mut line)));
            for failure in &outcome.failures {
                writeln!(say, "line {number}: {}: {}", failure.then, failure.why)?;
            }
            for made in outcome.made {
                if let Made::Events { data, .. } = made {
                    out.write_all(&data)?;
                }
            }
            // Whoever types at a terminal, or follows a file, sees each event at once.
            out.flush()?;
        }
        self.sum_up(number, say)
    }

    fn sum_up(&self, lines: u64, say: &mut impl Write) -> io::Result<u64> {
        let counters = &self.plan.shaping.as_ref().expect("it is made with one").counters;
        let [made, filtered, failed] =
            [&counters.made, &counters.filtered, &counters.failed].map(|counter| counter.get());
        writeln!(say, "{lines} events in, {made} out, {filtered} filtered, {failed} failed")?;
        Ok(failed)
    }

    fn shape(&self, data: Bytes) -> Outcome {
        let chunk = Chunk {
            input: "stdin".into(),
            source: "stdin".into(),
            host: None,
            codec: Codec::Json,
            read_at_ms: clock::unix_ms(),
            data,
            framing: Framing::Lines,
            form: Form::default(),
            receipt: Receipt::new(|_| {}),
        };
        Stage::whole(&self.plan, &chunk, &self.host)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Environment};

    const CONFIG: &str = "
inputs: { app: { type: stdin } }
outputs: { main: { type: kinesis, stream_name: s, region: eu-west-1, pipeline: tidy } }
pipelines:
  tidy:
    source: |
      if .level == \"debug\" { abort }
      .n = parse_int!(.n)
";

    #[test]
    fn events_go_through_and_failures_are_said_with_their_line() {
        let (config, _) = config::parse(CONFIG, "m.yaml", Path::new("/"), &Environment::default()).unwrap();
        assert_eq!(no_such(&config, "tidi"), "the configuration has no pipeline tidi: did you mean tidy?");
        let (mut out, mut said) = (Vec::new(), Vec::new());
        let lines = b"{\"n\":\"1\"}\n{\"level\":\"debug\"}\n{\"n\":\"x\"}\n{\"n\":\"2\"}";
        let failed = Trial::new(&config, "tidy").unwrap().run(&lines[..], &mut out, &mut said).unwrap();
        assert_eq!(failed, 1);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"n\":1}\n{\"n\":\"x\"}\n{\"n\":2}\n");
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("line 3: they go on as they came: function call error"), "{said}");
        assert!(said.ends_with("4 events in, 3 out, 1 filtered, 1 failed\n"), "{said}");
    }
}
