//! The `millpond` command.

use std::process::ExitCode;

use clap::Parser;
use millpond::commands::{check, demo, import_cribl, local_kinesis, run};
use millpond::logging::LogArgs;

/// Forwards events to Amazon Kinesis Data Streams, and keeps them on disk while the link is down.
#[derive(Debug, Parser)]
#[command(name = "millpond", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Forward; SIGTERM stops cleanly.
    Run(run::RunArgs),
    /// An outage drill on the embedded endpoint, with proof at the end.
    Demo(demo::DemoArgs),
    /// Say all that is wrong with a configuration, and what it means.
    Check(check::CheckArgs),
    /// Serve a small Kinesis of your own on this machine, for trials and tests.
    LocalKinesis(local_kinesis::LocalKinesisArgs),
    /// Make a configuration of the Kinesis destinations in an outputs.yml of Cribl.
    ImportCribl(import_cribl::ImportArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Command::Run(args) => run::run(args, &cli.log),
        Command::Demo(args) => demo::run(args),
        Command::Check(args) => check::run(args),
        Command::LocalKinesis(args) => local_kinesis::run(args, &cli.log),
        Command::ImportCribl(args) => import_cribl::run(args),
    }
}
