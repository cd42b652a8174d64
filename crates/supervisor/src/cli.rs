//! The command line of `millpond`.

use std::process::ExitCode;

use clap::Parser;

use crate::commands::{
    check, completions, dead_letters, demo, import_cribl, local_kinesis, man, pipeline, queue, replay, run,
    status, test, top,
};
use crate::logging::LogArgs;

/// Forwards events to Amazon Kinesis Data Streams, and keeps them on disk while the link is down.
#[derive(Debug, Parser)]
#[command(name = "millpond", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Forward; SIGTERM stops cleanly, SIGHUP reads the configuration again
    Run(run::RunArgs),
    /// Say what a running forwarder is doing, and why
    Status(status::StatusArgs),
    /// The same, live
    Top(top::TopArgs),
    /// Look into a queue, mend it, empty it
    Queue(queue::QueueArgs),
    /// Send what is queued, kept or salvaged, anywhere
    Replay(Box<replay::ReplayArgs>),
    /// Look at events that were refused for good, send them once more, give them up
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Say all that is wrong with a configuration, and what it means
    Check(check::CheckArgs),
    /// Play the tests of pipelines and routes that a configuration holds
    Test(test::TestArgs),
    /// Try a pipeline by hand
    Pipeline(pipeline::PipelineArgs),
    /// An outage drill on the embedded endpoint, with proof at the end
    Demo(demo::DemoArgs),
    /// Serve a small Kinesis of your own on this machine, for trials and tests
    LocalKinesis(local_kinesis::LocalKinesisArgs),
    /// Make a configuration of the Kinesis destinations in an outputs.yml of Cribl
    ImportCribl(import_cribl::ImportArgs),
    /// Print what a shell needs to complete command lines
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(man::ManArgs),
}

impl Cli {
    /// Runs the command, and gives its exit code: 0 done, 1 it failed or found a problem, 2 the command line or the
    /// configuration is wrong.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        match &self.command {
            Command::Run(args) => run::run(args, &self.log),
            Command::Status(args) => status::run(args),
            Command::Top(args) => top::run(args),
            Command::Queue(args) => queue::run(args),
            Command::Replay(args) => replay::run(args),
            Command::DeadLetters(args) => dead_letters::run(args),
            Command::Check(args) => check::run(args),
            Command::Test(args) => test::run(args),
            Command::Pipeline(args) => pipeline::run(args),
            Command::Demo(args) => demo::run(args),
            Command::LocalKinesis(args) => local_kinesis::run(args, &self.log),
            Command::ImportCribl(args) => import_cribl::run(args),
            Command::Completions(args) => completions::run(args),
            Command::Man(args) => man::run(args),
        }
    }
}
