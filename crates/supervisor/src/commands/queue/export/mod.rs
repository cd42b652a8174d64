//! `millpond queue export`: its events or records into a file.

mod target;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use millpond_kinesis::{Batch, Format};
use millpond_queue::{BatchInfo, Sequence};
use serde::Serialize;

use super::batches::{self, BatchArgs, Met};
use super::events::{self, EventArgs};
use crate::commands::failure::{self, Failure};
use crate::commands::place::PlaceArgs;
use crate::put::format_name;
use crate::terminal::{human, print};
use target::Target;

const EXAMPLES: &str = "\
Examples:
    $ millpond queue export --force events.ndjson.gz
    $ millpond queue export --since 2h --grep error -
    $ millpond queue export --format records --all --force records.ndjson";

/// Arguments of `millpond queue export`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// What is written: events, or records as Kinesis would get them
    #[arg(long, value_enum, default_value_t = As::Ndjson)]
    format: As,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    batches: BatchArgs,
    #[command(flatten)]
    events: EventArgs,
    /// Where to; packed if the name ends in .gz; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum As {
    /// Events, one JSON object a line
    Ndjson,
    /// Records, one JSON object a line, with partition key and data
    Records,
}

/// Runs it.
#[must_use]
pub(super) fn run(args: &ExportArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &ExportArgs) -> Result<ExitCode, Failure> {
    if args.format == As::Records && !args.events.takes_all() {
        return Err(Failure::usage(
            "--grep and --where are about events; they do not go with --format records",
        ));
    }
    let place = args.place.find()?;
    let storage = place.look()?;
    let unread = |error| Failure::failed(format!("{}: {error}", place.directory.display()));
    let mut export = Export {
        batches: batches::walk(storage, &args.batches).map_err(unread)?,
        args,
        done: Done::default(),
        failure: None,
    };
    let place = if args.file.as_os_str() == "-" {
        print::to_stdout(|out| export.write(out)).map_err(|error| Failure::printing(&error))?;
        "standard output".to_owned()
    } else {
        let bytes = export.write_file()?;
        format!("{} ({})", args.file.display(), human::bytes(bytes))
    };
    if let Some(error) = export.failure {
        return Err(unread(error));
    }
    eprintln!("millpond: {} written to {place}", export.done.in_words(args.format));
    Ok(if export.done.troubles > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What was written.
#[derive(Debug, Default)]
struct Done {
    lines: u64,
    batches: u64,
    troubles: u64,
}

impl Done {
    fn in_words(&self, format: As) -> String {
        let what = if format == As::Ndjson { "event" } else { "record" };
        format!("{} of {}", human_count(self.lines, what), human_count(self.batches, "batch"))
    }
}

fn human_count(count: u64, what: &str) -> String {
    let plural = match count {
        1 => "",
        _ if what.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {what}{plural}", human::count(count))
}

struct Export<'a, B> {
    batches: B,
    args: &'a ExportArgs,
    done: Done,
    /// Of reading.
    failure: Option<io::Error>,
}

impl<B: Iterator<Item = io::Result<Met>>> Export<'_, B> {
    fn write_file(&mut self) -> Result<u64, Failure> {
        let path = self.args.file.display().to_string();
        let failed = |error: &io::Error| {
            let hint = match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    "; nothing of it was kept: export less of it, pack it (a name that ends in .gz), or write it elsewhere"
                }
                _ => "; nothing of it was kept",
            };
            Failure::failed(format!("{path}: {error}{hint}"))
        };
        let mut target = Target::create(&self.args.file, self.args.force).map_err(Failure::failed)?;
        self.write(&mut target).map_err(|error| failed(&error))?;
        if let Some(error) = self.failure.take() {
            return Err(Failure::failed(format!(
                "the queue cannot be read: {error}; {path} was not written"
            )));
        }
        target.finish().map_err(|error| failed(&error))
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let most = self.args.events.limit.unwrap_or(u64::MAX);
        while self.done.lines < most {
            match self.batches.next() {
                None => break,
                Some(Err(error)) => {
                    self.failure = Some(error);
                    break;
                }
                Some(Ok(Met::Trouble(trouble))) => self.say(&trouble),
                Some(Ok(Met::Batch { sequence, info, batch })) => {
                    let left = most - self.done.lines;
                    let lines = match self.args.format {
                        As::Ndjson => self.write_events(sequence, &batch, left, out)?,
                        As::Records => write_records(sequence, &info, &batch, left, out)?,
                    };
                    self.done.lines += lines;
                    self.done.batches += u64::from(lines > 0);
                }
            }
        }
        Ok(())
    }

    fn write_events(
        &mut self,
        sequence: Sequence,
        batch: &Batch,
        left: u64,
        out: &mut dyn Write,
    ) -> io::Result<u64> {
        let between = self.args.batches.between();
        let (written, troubles) = events::write_events(batch, &self.args.events, between, left, out)?;
        troubles.iter().for_each(|trouble| self.say(&format!("batch {sequence}, {trouble}")));
        Ok(written)
    }

    fn say(&mut self, trouble: &str) {
        self.done.troubles += 1;
        eprintln!("millpond: {trouble}");
    }
}

/// A record as it is exported.
#[derive(Debug, Serialize)]
struct Record<'a> {
    sequence: u64,
    /// Its place in the batch.
    record: usize,
    format: &'static str,
    /// Events in it, if that is known.
    events: Option<u32>,
    first_time_ms: i64,
    last_time_ms: i64,
    appended_ms: i64,
    partition_key: &'a str,
    /// A number of 128 bits, which JSON readers would not keep exact.
    explicit_hash_key: Option<String>,
    data: String,
}

fn write_records(
    sequence: Sequence,
    info: &BatchInfo,
    batch: &Batch,
    most: u64,
    out: &mut dyn Write,
) -> io::Result<u64> {
    let mut written = 0;
    for (index, record) in batch.records().enumerate() {
        if written == most {
            break;
        }
        let line = Record {
            sequence: sequence.0,
            record: index,
            format: format_name(batch.format),
            events: match (batch.format, batch.len()) {
                (Format::Event, _) => Some(1),
                (_, 1) => Some(batch.events),
                _ => None,
            },
            first_time_ms: info.first_time_ms,
            last_time_ms: info.last_time_ms,
            appended_ms: info.appended_ms,
            partition_key: record.partition_key,
            explicit_hash_key: record.explicit_hash_key.map(|key| key.to_string()),
            data: base64_simd::STANDARD.encode_to_string(&record.data),
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
        written += 1;
    }
    Ok(written)
}
