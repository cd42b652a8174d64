//! `millpond dead-letters ls`: what was refused, and why.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::summary::{self, Summary};
use super::which::{Letters, WhichArgs, WhoseArgs};
use crate::commands::failure::{self, Failure};
use crate::dead_letters::letters::{Found, Letter};
use crate::dead_letters::remedy;
use crate::terminal::table::{Side, Table, Tone};
use crate::terminal::{human, print};

/// Letters in the table, unless more are asked for.
const LISTED: usize = 20;

const EXAMPLES: &str = "\
Examples:
    $ millpond dead-letters ls
    $ millpond dead-letters ls --code ValidationException --since 24h
    $ millpond dead-letters ls --json --limit 100";

/// Arguments of `millpond dead-letters ls`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LsArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// List at most so many letters, the oldest first; 20 without --json
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object a letter
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &LsArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &LsArgs) -> Result<ExitCode, Failure> {
    let letters = args.whose.find()?;
    let unreadable = if args.json { list_json(args, &letters)? } else { list(args, &letters)? };
    Ok(if unreadable > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A letter as it is listed.
#[derive(Debug, Serialize)]
pub(super) struct Listed<'a> {
    pub(super) sequence: u64,
    pub(super) refused_at_ms: i64,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    pub(super) remedy: &'static str,
    pub(super) stream_name: &'a str,
    pub(super) partition_key: Option<&'a str>,
    pub(super) format: &'a str,
    pub(super) events: u32,
    pub(super) body_bytes: usize,
    /// Why no retry can send it.
    pub(super) obstacle: Option<&'static str>,
}

impl<'a> From<&'a Letter> for Listed<'a> {
    fn from(letter: &'a Letter) -> Self {
        let reason = &letter.reason;
        Self {
            sequence: letter.sequence.0,
            refused_at_ms: letter.refused_ms,
            code: &reason.code,
            message: &reason.message,
            remedy: remedy::of(&reason.code),
            stream_name: &reason.stream,
            partition_key: reason.partition_key.as_deref(),
            format: &reason.format,
            events: letter.events,
            body_bytes: letter.body.len(),
            obstacle: remedy::obstacle(letter),
        }
    }
}

/// Says what cannot be read, and gives how much that was.
fn say_unreadable(unreadable: u64, sequence: millpond_queue::Sequence, reason: &str) -> u64 {
    eprintln!("millpond: #{sequence}: {reason}");
    unreadable + 1
}

fn list_json(args: &LsArgs, letters: &Letters) -> Result<u64, Failure> {
    let (mut unreadable, mut listed, mut failure) = (0, 0, None);
    let found = letters.read()?;
    let printed = print::to_stdout(|out| {
        for found in found {
            match found {
                Ok(_) if args.limit.is_some_and(|limit| listed >= limit) => break,
                Ok(Found::Letter(letter)) if args.which.admits(&letter) => {
                    listed += 1;
                    serde_json::to_writer(&mut *out, &Listed::from(&letter))?;
                    out.write_all(b"\n")?;
                }
                Ok(Found::Letter(_)) => {}
                Ok(Found::Unreadable { sequence, reason }) => {
                    unreadable = say_unreadable(unreadable, sequence, &reason);
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        Ok(())
    });
    printed.map_err(|error| Failure::printing(&error))?;
    failure.map_or(Ok(unreadable), Err)
}

fn list(args: &LsArgs, letters: &Letters) -> Result<u64, Failure> {
    let (mut unreadable, mut summary, mut listed) = (0, Summary::default(), Vec::new());
    let limit = args.limit.unwrap_or(LISTED);
    for found in letters.read()? {
        match found? {
            Found::Letter(letter) if args.which.admits(&letter) => {
                summary.add(&letter);
                if listed.len() < limit {
                    listed.push(row(&letter));
                }
            }
            Found::Letter(_) => {}
            Found::Unreadable { sequence, reason } => {
                unreadable = say_unreadable(unreadable, sequence, &reason);
            }
        }
    }
    let printed = print::to_stdout(|out| print_list(letters, &summary, listed, out));
    printed.map_err(|error| Failure::printing(&error))?;
    Ok(unreadable)
}

fn row(letter: &Letter) -> [(String, Tone); 6] {
    let plain = |text: String| (text, Tone::Plain);
    [
        plain(letter.sequence.to_string()),
        plain(human::time(letter.refused_ms)),
        (letter.reason.code.clone(), Tone::Bad),
        plain(human::count(u64::from(letter.events))),
        plain(human::bytes(letter.body.len() as u64)),
        plain(letter.reason.format.clone()),
    ]
}

fn print_list(
    letters: &Letters,
    summary: &Summary,
    listed: Vec<[(String, Tone); 6]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    if summary.letters() == 0 {
        return writeln!(out, "{}: no dead letters", letters.in_words());
    }
    writeln!(out, "{}: {}", letters.in_words(), summary.total())?;
    write!(out, "{summary}")?;
    if listed.is_empty() {
        return Ok(());
    }
    let left = summary.letters() - listed.len() as u64;
    let mut table = Table::new(&[
        ("seq", Side::Right),
        ("refused", Side::Left),
        ("code", Side::Left),
        ("events", Side::Right),
        ("size", Side::Right),
        ("format", Side::Left),
    ]);
    listed.into_iter().for_each(|row| table.row(row));
    write!(out, "\n{table}")?;
    if left > 0 {
        writeln!(out, "and {} more (--limit)", summary::letters(left))?;
    }
    Ok(())
}
