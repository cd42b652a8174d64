//! `millpond check`: what is wrong with a configuration, and what it means where nothing is.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::config::{self, Environment, Finding, Problems};

mod iam;
mod machine;
mod online;
mod summary;

use online::{OutputReport, Verdict};
use summary::Summary;

/// Arguments of `millpond check`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
    $ millpond check --config millpond.yaml
    $ millpond check --online
    $ millpond check --json | python3 -m json.tool
    $ millpond check --iam-policy")]
pub struct CheckArgs {
    /// The configuration to check.
    #[arg(long, short, value_name = "FILE", default_value = "millpond.yaml")]
    pub config: PathBuf,
    /// Name of the environment that runs here; outputs of another environment are inactive.
    #[arg(long, value_name = "NAME", env = "MILLPOND_ENVIRONMENT")]
    pub environment: Option<String>,
    /// Prints one JSON document instead of text.
    #[arg(long)]
    pub json: bool,
    /// Also asks the service: credentials, connection, stream, shards, permission to put, clock. Stores nothing there.
    #[arg(long, conflicts_with_all = ["schema", "iam_policy"])]
    pub online: bool,
    /// Prints the JSON Schema of the configuration and does nothing else.
    #[arg(long)]
    pub schema: bool,
    /// Prints the IAM policy that the outputs need, as JSON, and does nothing else.
    #[arg(long, conflicts_with = "schema")]
    pub iam_policy: bool,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Nothing is wrong.
    Good,
    /// The configuration is good, but something on this machine is not.
    MachineProblem,
    /// The configuration is good, but the service says that it cannot work.
    OnlineProblem,
    /// The configuration is wrong.
    ConfigurationProblem,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::SUCCESS,
            Outcome::MachineProblem | Outcome::OnlineProblem => Self::FAILURE,
            Outcome::ConfigurationProblem => Self::from(2),
        }
    }
}

/// All that a check found.
#[derive(Debug, Serialize)]
struct Report {
    outcome: Outcome,
    /// The file, as it was named.
    file: String,
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
    /// What the configuration means; nothing if it is wrong.
    configuration: Option<Summary>,
    /// What the service says of each active output; nothing if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<Vec<OutputReport>>,
}

/// Checks a configuration and prints what was found: exit code 0 when it is good, 1 when something outside the
/// file is wrong (a directory that cannot be written, a stream that is not there), 2 when the configuration is. Nothing is written but the report.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let (printed, code) = if args.schema {
        (print_json(&mut out, &config::schema()), ExitCode::SUCCESS)
    } else if args.iam_policy {
        print_policy(&mut out, args)
    } else {
        let report = match check(args) {
            Ok(report) => report,
            Err(error) => {
                eprintln!("millpond: the service cannot be asked: {error}");
                return ExitCode::FAILURE;
            }
        };
        let printed = if args.json { print_json(&mut out, &report) } else { write!(out, "{report}") };
        (printed, report.outcome.into())
    };
    match printed.and_then(|()| out.flush()) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => code,
        Err(error) => {
            eprintln!("millpond: the report cannot be printed: {error}");
            ExitCode::FAILURE
        }
        Ok(()) => code,
    }
}

/// The policy on standard output, so that it can go to a file; what it does not know on standard error.
fn print_policy(out: &mut impl Write, args: &CheckArgs) -> (std::io::Result<()>, ExitCode) {
    let environment = Environment::of_process(args.environment.as_deref());
    match config::load(&args.config, &environment) {
        Ok((config, _)) => {
            eprintln!(
                "millpond: a stream that is encrypted with a KMS key of your own also needs kms:GenerateDataKey on that key; \
                 `check --online` also asks for kinesis:DescribeStreamSummary"
            );
            (print_json(out, &iam::document(&iam::identities(&config))), ExitCode::SUCCESS)
        }
        Err(problems) => {
            eprintln!("{problems}");
            (Ok(()), ExitCode::from(2))
        }
    }
}

fn print_json(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// `Err`: this machine cannot even ask.
fn check(args: &CheckArgs) -> std::io::Result<Report> {
    let file = args.config.display().to_string();
    let environment = Environment::of_process(args.environment.as_deref());
    let (config, mut warnings) = match config::load(&args.config, &environment) {
        Ok(loaded) => loaded,
        Err(Problems { problems, warnings }) => {
            let outcome = Outcome::ConfigurationProblem;
            return Ok(Report { outcome, file, problems, warnings, configuration: None, online: None });
        }
    };
    let machine = machine::look(&config, &file);
    warnings.extend(machine.warnings);
    let online = if args.online { Some(online::look(&config)?) } else { None };
    let outcome = if !machine.problems.is_empty() {
        Outcome::MachineProblem
    } else if online.iter().flatten().any(|report| report.count(Verdict::Problem) > 0) {
        Outcome::OnlineProblem
    } else {
        Outcome::Good
    };
    let configuration = Some(Summary::new(&config, &machine.rooms));
    Ok(Report { outcome, file, problems: machine.problems, warnings, configuration, online })
}

impl std::fmt::Display for Report {
    /// The problems, the warnings, what the configuration means, and the verdict.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for finding in self.problems.iter().chain(&self.warnings) {
            writeln!(f, "{finding}")?;
        }
        if let Some(configuration) = &self.configuration {
            write!(f, "{configuration}")?;
        }
        for report in self.online.iter().flatten() {
            write!(f, "{report}")?;
        }
        let online =
            |verdict| self.online.iter().flatten().map(|report| report.count(verdict)).sum::<usize>();
        let count = |count: usize, what: &str| match count {
            0 => format!("no {what}s"),
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        let verdict = match self.outcome {
            Outcome::Good => "the configuration is good",
            Outcome::MachineProblem => "the configuration is good, but it cannot work here",
            Outcome::OnlineProblem => "the configuration is good, but the service does not play along",
            Outcome::ConfigurationProblem => "the configuration cannot be used",
        };
        let problems = count(self.problems.len() + online(Verdict::Problem), "problem");
        let warnings = count(self.warnings.len() + online(Verdict::Warning), "warning");
        writeln!(f, "{}: {verdict}: {problems}, {warnings}", self.file)
    }
}

#[cfg(test)]
mod tests;
