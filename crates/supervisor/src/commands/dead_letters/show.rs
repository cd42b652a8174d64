//! `millpond dead-letters show`: one of them.

use std::io::{self, Write};
use std::process::ExitCode;

use bytes::Bytes;
use millpond_kinesis::Format;
use millpond_kinesis::decode::{DecodeError, Decoded};
use serde::Serialize;

use super::ls::Listed;
use super::summary::wrapped;
use super::which::WhoseArgs;
use crate::commands::failure::{self, Failure};
use crate::commands::queue::events;
use crate::dead_letters::letters::{Found, Letter};
use crate::terminal::{human, print};

const EXAMPLES: &str = "\
Examples:
    $ millpond dead-letters show
    $ millpond dead-letters show --json";

/// Arguments of `millpond dead-letters show`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    /// One JSON document, with the refused bytes in base64
    #[arg(long)]
    json: bool,
    /// The number of the letter, as `ls` shows it; the oldest without one
    #[arg(value_name = "SEQ")]
    number: Option<u64>,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &ShowArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let letters = args.whose.find()?;
    let mut letter = None;
    for found in letters.read()? {
        match found? {
            Found::Letter(found) if args.number.is_none_or(|number| number == found.sequence.0) => {
                letter = Some(found);
                break;
            }
            Found::Unreadable { sequence, reason } if args.number == Some(sequence.0) => {
                return Err(Failure::failed(format!("#{sequence}: {reason}")));
            }
            _ => {}
        }
    }
    let printed = match (letter, args.number) {
        (Some(letter), _) => print::to_stdout(|out| show(&letter, args.json, out)),
        (None, Some(number)) => {
            let whose = letters.in_words();
            return Err(Failure::failed(format!(
                "{whose} has no dead letter #{number}; `millpond dead-letters ls` shows those that are there"
            )));
        }
        (None, None) if args.json => print::to_stdout(|out| out.write_all(b"null\n")),
        (None, None) => print::to_stdout(|out| writeln!(out, "{}: no dead letters", letters.in_words())),
    };
    printed.map_err(|error| Failure::printing(&error))?;
    Ok(ExitCode::SUCCESS)
}

/// The events in it, if there are any to be read.
fn decode(letter: &Letter) -> Option<Result<Decoded, DecodeError>> {
    let format = match letter.reason.format.as_str() {
        "gzip" => Format::Gzip,
        "ndjson" => Format::Ndjson,
        "event" => Format::Event,
        "opaque" => Format::Opaque,
        _ => return None,
    };
    Some(events::decode_record(format, &letter.body))
}

fn show(letter: &Letter, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        return show_json(letter, out);
    }
    let listed = Listed::from(letter);
    writeln!(out, "#{}: {}", listed.sequence, listed.code)?;
    let now_ms = crate::clock::unix_ms();
    let (time, age) = (human::time(letter.refused_ms), human::age(letter.refused_ms, now_ms));
    let mut lines = vec![
        ("refused", format!("{time} ({age} ago)")),
        ("because", listed.message.to_owned()),
        ("remedy", listed.remedy.to_owned()),
        ("stream", listed.stream_name.to_owned()),
    ];
    lines.extend(listed.partition_key.map(|key| ("key", key.to_owned())));
    lines.push((
        "holds",
        format!(
            "{} in {} bytes of {}",
            super::summary::events(u64::from(listed.events)),
            human::count(letter.body.len() as u64),
            listed.format
        ),
    ));
    lines.extend(listed.obstacle.map(|obstacle| ("no retry", obstacle.to_owned())));
    lines.iter().try_for_each(|(name, text)| out.write_all(wrapped(name, text).as_bytes()))?;
    match decode(letter) {
        Some(Ok(decoded)) => {
            writeln!(out)?;
            let foreign = letter.reason.format == "opaque";
            decoded.events().try_for_each(|event| events::write_event(event, foreign, out))
        }
        Some(Err(error)) => out.write_all(wrapped("events", &format!("cannot be read: {error}")).as_bytes()),
        None => out.write_all(wrapped("bytes", "are in --json").as_bytes()),
    }
}

/// A letter, whole.
#[derive(Debug, Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    /// `null` where there are none to be read; then `unread` may say why.
    decoded_events: Option<Vec<serde_json::Value>>,
    unread: Option<String>,
    body_base64: String,
}

fn show_json(letter: &Letter, out: &mut dyn Write) -> io::Result<()> {
    let (decoded_events, unread) = match decode(letter) {
        Some(Ok(decoded)) => {
            let event = |event: &[u8]| {
                let text = || serde_json::Value::String(String::from_utf8_lossy(event).into_owned());
                serde_json::from_slice(event).unwrap_or_else(|_| text())
            };
            (Some(decoded.events().map(event).collect()), None)
        }
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    let body_base64 = base64_simd::STANDARD.encode_to_string(&letter.body as &Bytes);
    let whole = Whole { listed: Listed::from(letter), decoded_events, unread, body_base64 };
    serde_json::to_writer(&mut *out, &whole)?;
    out.write_all(b"\n")
}
