//! `millpond test`: the tests of pipelines and routes that a configuration holds.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::failure::{self, Failure};
use super::place::ConfigArgs;
use crate::config::words_nearest;
use crate::terminal::print;

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
    failure::end(play_all(args))
}

fn play_all(args: &TestArgs) -> Result<ExitCode, Failure> {
    let file = args.config.config.display().to_string();
    let config = args.config.load()?;
    if let Some(strange) = args.names.iter().find(|name| config.tests.iter().all(|test| test.name != **name))
    {
        let near = words_nearest(strange, config.tests.iter().map(|test| test.name.as_str()));
        let hint = near.map(|near| format!(": did you mean {near}?")).unwrap_or_default();
        return Err(Failure::usage(format!("{file}: there is no test {strange}{hint}")));
    }
    if config.tests.is_empty() {
        let remedy = "docs/pipelines.md says how tests are written";
        return Err(Failure::failed(format!("{file}: there is nothing under `tests`; {remedy}")));
    }
    let chosen = config.tests.iter().filter(|test| args.names.is_empty() || args.names.contains(&test.name));
    let reports: Vec<Report<'_>> = chosen
        .map(|test| {
            let verdict = play(&config, test);
            let passed = verdict.problems.is_empty();
            Report { name: &test.name, line: test.line, passed, verdict }
        })
        .collect();
    print::to_stdout(|out| {
        if args.json { tell_programs(&reports, out) } else { tell_people(&reports, &file, out) }
    })
    .map_err(|error| Failure::printing(&error))?;
    let all_passed = reports.iter().all(|report| report.passed);
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell_programs(reports: &[Report<'_>], out: &mut dyn Write) -> io::Result<()> {
    for report in reports {
        serde_json::to_writer(&mut *out, report)?;
        writeln!(out)?;
    }
    Ok(())
}

fn tell_people(reports: &[Report<'_>], file: &str, out: &mut dyn Write) -> io::Result<()> {
    for Report { name, line, passed, verdict } in reports {
        if *passed {
            writeln!(out, "ok      {name}")?;
        } else {
            write!(out, "FAILED  {name} ({file}:{line})\n{verdict}")?;
        }
    }
    let passed = reports.iter().filter(|report| report.passed).count();
    writeln!(out, "\n{passed} passed, {} failed", reports.len() - passed)
}
