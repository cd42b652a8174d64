//! `millpond test`: the tests of pipelines and routes that a configuration holds.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::place::ConfigArgs;
use crate::config::{self, Config, Environment, words_nearest};

mod play;

use play::{Verdict, play};

/// Arguments of `millpond test`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Tests stand under `tests` in the configuration; docs/pipelines.md says how they are written.
Nothing is read from inputs, and nothing is sent.

Examples:
    $ millpond test --config millpond.yaml
    $ millpond test errors_are_routed
    $ millpond test --json")]
pub struct TestArgs {
    /// Only the tests of these names
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Prints one JSON object a test instead of text
    #[arg(long)]
    json: bool,
}

/// How a test ended.
#[derive(Debug, Serialize)]
struct Report<'a> {
    name: &'a str,
    /// The line of the file that it begins on.
    line: usize,
    passed: bool,
    #[serde(flatten)]
    verdict: Verdict,
}

/// Runs the tests: exit code 0 when all have passed, 1 when one has not or there is none, 2 when the configuration is wrong
/// or has no test of a name that was given.
#[must_use]
pub fn run(args: &TestArgs) -> ExitCode {
    let environment = Environment::of_process(args.config.environment.as_deref());
    let file = &args.config.config;
    let config = match config::load(file, &environment) {
        Ok((config, _)) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    if let Some(strange) = args.names.iter().find(|name| config.tests.iter().all(|test| test.name != **name))
    {
        eprintln!("millpond: {}: there is no test {strange}{}", file.display(), hint(&config, strange));
        return ExitCode::from(2);
    }
    if config.tests.is_empty() {
        eprintln!(
            "millpond: {}: there is nothing under `tests`; docs/pipelines.md says how tests are written",
            file.display()
        );
        return ExitCode::FAILURE;
    }
    let mut out = io::stdout().lock();
    match tell(&config, args, &file.display().to_string(), &mut out)
        .and_then(|failed| out.flush().map(|()| failed))
    {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("millpond: the results cannot be printed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hint(config: &Config, name: &str) -> String {
    let near = words_nearest(name, config.tests.iter().map(|test| test.name.as_str()));
    near.map(|near| format!(": did you mean {near}?")).unwrap_or_default()
}

/// Plays the tests and prints how they end; how many have failed.
fn tell(config: &Config, args: &TestArgs, file: &str, out: &mut impl Write) -> io::Result<usize> {
    let chosen = config.tests.iter().filter(|test| args.names.is_empty() || args.names.contains(&test.name));
    let (mut passed, mut failed) = (0, 0);
    for test in chosen {
        let verdict = play(config, test);
        let is_good = verdict.problems.is_empty();
        *(if is_good { &mut passed } else { &mut failed }) += 1;
        if args.json {
            let report = Report { name: &test.name, line: test.line, passed: is_good, verdict };
            serde_json::to_writer(&mut *out, &report)?;
            writeln!(out)?;
        } else if is_good {
            writeln!(out, "ok      {}", test.name)?;
        } else {
            writeln!(out, "FAILED  {} ({file}:{})", test.name, test.line)?;
            write!(out, "{verdict}")?;
        }
    }
    if !args.json {
        writeln!(out, "\n{passed} passed, {failed} failed")?;
    }
    Ok(failed)
}
