//! `millpond replay`: what is queued, retained or refused is sent, anywhere.

mod pick;
mod send;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use super::failure::{self, Failure};
use super::place::ConfigArgs;
use crate::config::units::Size;
use crate::terminal::human::{NotATime, TimeArg};

/// Examples, for the help.
const EXAMPLES: &str = "\
Examples:
    $ millpond replay --retained --dry-run
    $ millpond replay --retained --since 2h --dry-run --json
    $ millpond replay --retained --to main --from-seq 100000000 --rate 500";

/// Arguments of `millpond replay`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output whose queue is replayed; not needed where there is only one
    #[arg(long, value_name = "ID", conflicts_with = "path")]
    output: Option<String>,
    /// A queue's directory from anywhere, such as the disk of a dead machine
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    target: target::TargetArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// What is sent.
#[derive(Debug, Clone, clap::Args)]
struct WhatArgs {
    /// What was delivered already and is still on disk, instead of what is pending
    #[arg(long, conflicts_with = "all")]
    retained: bool,
    /// All that is on disk, delivered or not
    #[arg(long)]
    all: bool,
    /// The dead letters of the output (with --path: a directory of dead letters)
    #[arg(long)]
    dead_letters: bool,
    /// What can be had of what was set aside in the queue's quarantine
    #[arg(long, conflicts_with_all = ["dead_letters", "consume", "segment"])]
    quarantine: bool,
    /// Only batches with an event at this time or later
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only batches with an event before this time
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Only batches of this sequence or later
    #[arg(long, value_name = "SEQ")]
    from_seq: Option<u64>,
    /// Only batches up to this sequence
    #[arg(long, value_name = "SEQ")]
    to_seq: Option<u64>,
    /// Only batches of this segment, such as 00000000000000000412.seg
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from_seq", "to_seq"])]
    segment: Option<String>,
}

/// How it is sent.
#[derive(Debug, Clone, clap::Args)]
struct HowArgs {
    /// Events a second, at most; 0 for no limit
    #[arg(long, value_name = "EVENTS")]
    rate: Option<u64>,
    /// Bytes a second, at most, such as "500 KiB"; 0 for no limit
    #[arg(long, value_name = "SIZE")]
    bytes_per_sec: Option<SizeArg>,
    /// Batches in flight, which is also how many a crash may repeat
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32))]
    concurrency: Option<u32>,
    /// Count what would be sent; send nothing, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Mark what was accepted as delivered, in the queue itself; nobody else may use the queue meanwhile
    #[arg(long, conflicts_with_all = ["retained", "all", "name", "again"])]
    consume: bool,
    /// Name of the cursor that remembers how far this replay is; made of what is replayed if not given
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    /// Begin anew, whatever the cursor says
    #[arg(long)]
    again: bool,
    /// Where cursors are; otherwise in the data directory, or with --path and --stream in ~/.local/state/millpond
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// A time, and how it was written: the cursor of a replay goes by that.
#[derive(Debug, Clone, PartialEq, Eq)]
struct When {
    text: String,
    ms: i64,
}

impl FromStr for When {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        Ok(Self { text: text.to_owned(), ms: text.parse::<TimeArg>()?.0 })
    }
}

/// A size on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SizeArg(u64);

impl FromStr for SizeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(bytes) = text.parse() {
            return Ok(Self(bytes));
        }
        text.parse::<Size>().map(|size| Self(size.0)).map_err(|fault| fault.to_string())
    }
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_plain) && !text.starts_with('.');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 64 letters, digits, `-`, `_` and `.`".to_owned())
    }
}

/// Runs it.
#[must_use]
pub fn run(args: &ReplayArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let picked = pick::pick(args)?;
    let target = target::find(args, picked.owner.as_ref())?;
    send::run(args, picked, target)
}
