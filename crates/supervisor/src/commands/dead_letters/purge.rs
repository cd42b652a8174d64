//! `millpond dead-letters purge`: given up.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use millpond_queue::Sequence;
use serde::Serialize;

use super::summary::{self, Summary};
use super::which::{Letters, NumbersArgs, WhoseArgs};
use crate::commands::failure::{self, Failure};
use crate::dead_letters::letters::Found;
use crate::terminal::print;

const EXAMPLES: &str = "\
Examples:
    $ millpond dead-letters purge --dry-run
    $ millpond dead-letters purge --dry-run --code Oversize --until 30d";

/// Arguments of `millpond dead-letters purge`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    #[command(flatten)]
    numbers: NumbersArgs,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Only say what would be given up
    #[arg(long)]
    dry_run: bool,
    /// The outcome as one JSON document; needs --yes or --dry-run
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &PurgeArgs) -> ExitCode {
    failure::end(answer(args))
}

/// What was, or would be, given up.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    dry_run: bool,
    purged_letters: u64,
    purged_events: u64,
    /// Those that stay and have another number now.
    renumbered_letters: u64,
}

fn answer(args: &PurgeArgs) -> Result<ExitCode, Failure> {
    if args.json && !args.yes && !args.dry_run {
        return Err(Failure::usage("--json asks nobody; give --yes, or --dry-run"));
    }
    let letters = args.whose.find()?;
    let (summary, doomed) = choose(args, &letters)?;
    if doomed.is_empty() {
        return print_outcome(
            args,
            &Outcome::default(),
            &format!("{}: nothing to purge", letters.in_words()),
        );
    }
    let what = format!("{}: {}\n{summary}", letters.in_words(), total(&summary, &doomed));
    if args.dry_run {
        let outcome = outcome(true, &doomed, 0);
        return print_outcome(args, &outcome, &format!("would be given up: {what}"));
    }
    if !args.yes && !is_meant(&what)? {
        return Err(Failure::failed("nothing was purged"));
    }
    let renumbered = purge(&letters, &doomed)?;
    let outcome = outcome(false, &doomed, renumbered);
    print_outcome(args, &outcome, &format!("purged: {what}"))
}

/// A letter that is to go.
struct Doomed {
    sequence: Sequence,
    events: u32,
}

fn outcome(dry_run: bool, doomed: &[Doomed], renumbered_letters: u64) -> Outcome {
    Outcome {
        dry_run,
        purged_letters: doomed.len() as u64,
        purged_events: doomed.iter().map(|letter| u64::from(letter.events)).sum(),
        renumbered_letters,
    }
}

fn choose(args: &PurgeArgs, letters: &Letters) -> Result<(Summary, Vec<Doomed>), Failure> {
    let (mut summary, mut doomed) = (Summary::default(), Vec::new());
    for found in letters.read()? {
        match found? {
            Found::Letter(letter) if args.numbers.admits(&letter) => {
                summary.add(&letter);
                doomed.push(Doomed { sequence: letter.sequence, events: letter.events });
            }
            Found::Unreadable { sequence, .. } if args.numbers.names(sequence) => {
                doomed.push(Doomed { sequence, events: 0 });
            }
            Found::Unreadable { sequence, reason } => {
                eprintln!("millpond: #{sequence}: {reason}; it stays unless it is purged by its number");
            }
            Found::Letter(_) => {}
        }
    }
    args.numbers.missing(|number| doomed.iter().any(|letter| letter.sequence.0 == number))?;
    Ok((summary, doomed))
}

fn total(summary: &Summary, doomed: &[Doomed]) -> String {
    let unreadable = doomed.len() as u64 - summary.letters();
    let total = summary.total();
    if unreadable == 0 {
        total
    } else {
        format!("{total}, and {} that cannot be read", summary::letters(unreadable))
    }
}

/// Asks whoever sits there.
fn is_meant(what: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("this asks before it gives anything up, and nobody is there: give --yes"));
    }
    let mut answer = String::new();
    let asked = (|| {
        let mut out = io::stderr().lock();
        write!(out, "{what}\nThese events will be lost. Give them up? [y/N] ")?;
        out.flush()?;
        io::stdin().lock().read_line(&mut answer)
    })();
    asked.map_err(|error| Failure::failed(format!("nobody can be asked: {error}; nothing was purged")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Takes them out, as many at a time as is certain to be noted. Gives how many others have another number now.
fn purge(letters: &Letters, doomed: &[Doomed]) -> Result<u64, Failure> {
    let settler = letters.settler();
    let mut settled = settler.settle(&[])?;
    let (mut left, mut renumbered) = (doomed, 0);
    while !left.is_empty() {
        if settled.next_max == 0 {
            return Err(no_room(letters, (doomed.len() - left.len()) as u64));
        }
        let (now, later) = left.split_at(within(left, settled.next_max));
        settled = settler.settle(&now.iter().map(|letter| letter.sequence).collect::<Vec<_>>())?;
        renumbered += settled.moved;
        left = later;
    }
    Ok(renumbered)
}

/// How many letters can go together so that they are at most so many runs without a gap. Pure.
fn within(doomed: &[Doomed], runs_max: usize) -> usize {
    let mut runs = 0;
    let mut last = None;
    let fits = |letter: &&Doomed| {
        let goes_on = last == Some(letter.sequence);
        last = Some(letter.sequence.next());
        runs += usize::from(!goes_on);
        runs <= runs_max
    };
    doomed.iter().take_while(fits).count()
}

/// Letters that stay would have to be copied, and there is no room for that.
pub(super) fn no_room(letters: &Letters, done: u64) -> Failure {
    let done = summary::letters(done);
    Failure::failed(format!(
        "stopped after {done}: those that go lie scattered among those that stay, which have to be copied, and there is no \
         room for that in {}; make room on the disk, or begin with the oldest letters (--until)",
        letters.place.directory.display()
    ))
}

fn print_outcome(args: &PurgeArgs, outcome: &Outcome, words: &str) -> Result<ExitCode, Failure> {
    let printed = print::to_stdout(|out| match args.json {
        true => {
            serde_json::to_writer(&mut *out, outcome)?;
            out.write_all(b"\n")
        }
        false => writeln!(out, "{}", words.trim_end()),
    });
    printed.map_err(|error| Failure::printing(&error))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_go_together_as_can_be_noted() {
        let check = |sequences: &[u64], runs_max, expected| {
            let doomed: Vec<_> = sequences
                .iter()
                .map(|&sequence| Doomed { sequence: Sequence(sequence), events: 1 })
                .collect();
            assert_eq!(within(&doomed, runs_max), expected, "{sequences:?} {runs_max}");
        };
        check(&[], 1, 0);
        check(&[1, 2, 3], 1, 3);
        check(&[1, 2, 4, 5, 7], 1, 2);
        check(&[1, 2, 4, 5, 7], 2, 4);
        check(&[1, 2, 4, 5, 7], 9, 5);
    }
}
