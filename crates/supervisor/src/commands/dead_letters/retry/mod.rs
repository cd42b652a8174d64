//! `millpond dead-letters retry`: sent once more.
//!
//! Letters go in rounds: those of a round are sent, then those that were accepted are taken out, durably, before the next
//! round begins. Whatever ends the command between the two, nothing is lost, and the letters of one round may be sent twice.

mod outcome;
mod send;

use std::process::ExitCode;
use std::sync::Arc;

use millpond_kinesis::Output as Stream;
use millpond_queue::Sequence;

use super::purge::no_room;
use super::summary::Summary;
use super::which::{Letters, NumbersArgs, WhoseArgs};
use crate::commands::failure::{self, Failure};
use crate::commands::place;
use crate::config::checked::Output;
use crate::dead_letters::letters::{Found, Letter};
use crate::dead_letters::remedy;
use crate::output::Prepared;
use crate::terminal::print;
use outcome::Outcome;
use send::{Fate, Sending};

/// Letters in a round, and bytes of them.
const ROUND_LETTERS_MAX: usize = 32;
const ROUND_BYTES_MAX: usize = 8 << 20;

const EXAMPLES: &str = "\
Examples:
    $ millpond dead-letters retry --dry-run
    $ millpond dead-letters retry --dry-run --code ValidationException";

/// Arguments of `millpond dead-letters retry`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    #[command(flatten)]
    numbers: NumbersArgs,
    /// Send them to the stream of this output instead of their own's; needed with --path
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// Only say what would be sent
    #[arg(long)]
    dry_run: bool,
    /// The outcome as one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &RetryArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &RetryArgs) -> Result<ExitCode, Failure> {
    let letters = args.whose.find()?;
    let settings = destination(args, &letters)?;
    let mut outcome =
        Outcome { stream_name: settings.stream_name.clone(), dry_run: args.dry_run, ..Outcome::default() };
    let ended = if args.dry_run {
        count(args, &letters, &settings, &mut outcome)
    } else {
        send(args, &letters, &settings, &mut outcome)
    };
    // What was done is said even if it came to an end before its time.
    outcome.failure = ended.as_ref().err().map(ToString::to_string);
    outcome.print(args.json)?;
    ended?;
    let all = outcome.refused_letters == 0 && outcome.left_letters == 0;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where they go.
fn destination(args: &RetryArgs, letters: &Letters) -> Result<Arc<Output>, Failure> {
    let output = match (&args.to, &letters.owner) {
        (None, Some(owner)) => owner.output().clone(),
        (None, None) => return Err(Failure::usage("say with --to to which output's stream they shall go")),
        (Some(to), _) => place::owner(args.whose.config.load()?, Some(to))?.output().clone(),
    };
    if !output.active {
        return Err(Failure::usage(format!(
            "output {} belongs to another environment than this one (--environment)",
            output.id
        )));
    }
    Ok(Arc::new(output))
}

/// A letter that is meant, or something that stays because it is none that could be sent.
fn chosen(args: &RetryArgs, found: Found, outcome: &mut Outcome) -> Option<Letter> {
    let (sequence, found) = match found {
        Found::Letter(letter) if args.numbers.admits(&letter) => {
            let obstacle = remedy::obstacle(&letter).map(str::to_owned);
            (letter.sequence, obstacle.map_or(Ok(letter), Err))
        }
        Found::Unreadable { sequence, reason } if args.numbers.admits_unread(sequence) => {
            (sequence, Err(reason))
        }
        _ => return None,
    };
    if args.numbers.names(sequence) {
        outcome.seen.insert(sequence.0);
    }
    found.map_err(|obstacle| outcome.stays(sequence, &obstacle)).ok()
}

fn count(
    args: &RetryArgs,
    letters: &Letters,
    settings: &Output,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let mut summary = Summary::default();
    for found in letters.read()? {
        let Some(letter) = chosen(args, found?, outcome) else { continue };
        match send::batch_of(&letter, settings) {
            Ok(_) => {
                outcome.accepted(&letter);
                summary.add(&letter);
            }
            Err(why) => outcome.stays(letter.sequence, &why),
        }
    }
    args.numbers.missing(|number| outcome.seen.contains(&number))?;
    if !args.json && summary.letters() > 0 {
        let printed = print::to_stdout(|out| writeln!(out, "{summary}"));
        printed.map_err(|error| Failure::printing(&error))?;
    }
    Ok(())
}

fn send(
    args: &RetryArgs,
    letters: &Letters,
    settings: &Arc<Output>,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let found = letters.read()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::failed(format!("the system gives no runtime: {error}")))?;
    let mut found = found.peekable();
    if found.peek().is_none() {
        return args.numbers.missing(|_| false);
    }
    runtime.block_on(async {
        // Before anything is sent it is certain that it can be taken out.
        let settler = letters.settler();
        let mut settled = settler.settle(&[])?;
        let prepared = Prepared::new(Arc::clone(settings)).await;
        let stream = prepared.map_err(|error| Failure::failed(error.to_string()))?.into_stream();
        verify(&stream).await?;
        let sending = Sending::new(stream, settings);
        loop {
            let round = next_round(args, &mut found, settled.next_max, outcome)?;
            if round.is_empty() {
                return match found.peek() {
                    None => args.numbers.missing(|number| outcome.seen.contains(&number)),
                    Some(_) => Err(no_room(letters, outcome.accepted_letters)),
                };
            }
            let (accepted, failure) = sort(sending.send_all(round).await, outcome);
            if !accepted.is_empty() {
                settled = settler.settle(&accepted)?;
                outcome.renumbered_letters += settled.moved;
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
    })
}

/// The letters that are sent next.
fn next_round(
    args: &RetryArgs,
    found: &mut std::iter::Peekable<impl Iterator<Item = Result<Found, Failure>>>,
    letters_max: usize,
    outcome: &mut Outcome,
) -> Result<Vec<Letter>, Failure> {
    let (mut round, mut bytes) = (Vec::new(), 0);
    while round.len() < letters_max.min(ROUND_LETTERS_MAX) && bytes < ROUND_BYTES_MAX {
        let Some(next) = found.next() else { break };
        if let Some(letter) = chosen(args, next?, outcome) {
            bytes += letter.body.len();
            round.push(letter);
        }
    }
    Ok(round)
}

/// Who was accepted, and why no further round makes sense, if so.
fn sort(mut fates: Vec<(Letter, Fate)>, outcome: &mut Outcome) -> (Vec<Sequence>, Option<Failure>) {
    fates.sort_by_key(|(letter, _)| letter.sequence);
    let (mut accepted, mut failure) = (Vec::new(), None);
    for (letter, fate) in fates {
        match fate {
            Fate::Accepted => {
                accepted.push(letter.sequence);
                outcome.accepted(&letter);
            }
            Fate::Refused { code, message } => outcome.refused(letter.sequence, &code, &message),
            Fate::Unfit(why) => outcome.stays(letter.sequence, &why),
            Fate::Failed(why) => failure = Some(Failure::failed(why)),
        }
    }
    (accepted, failure)
}

/// The shards first, as after an outage.
async fn verify(stream: &Stream) -> Result<(), Failure> {
    use millpond_kinesis::Verification::{Covered, Down, NotCovered, Unknown};
    match stream.verify().await {
        Covered { .. } => Ok(()),
        Unknown { reason } => {
            eprintln!("millpond: the shards may not be listed, the first letter decides: {}", reason.message);
            Ok(())
        }
        NotCovered { reason } => Err(Failure::failed(format!("nothing was sent: {reason}"))),
        Down(failure) => Err(Failure::failed(format!("nothing was sent: {}", failure.message))),
    }
}
