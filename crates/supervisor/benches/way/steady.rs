//! From a file to the stream, while all is well.

use std::time::{Duration, Instant};

use millpond_local_kinesis::Keep;

use crate::corpus::Corpus;
use crate::floor::Floor;
use crate::forwarder::{Forwarder, Settings, endpoint, fresh};
use crate::table::{Goal, Row, Table};
use crate::{Bench, median, per_million};

/// How the events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// gzip, from memory.
    Block,
    /// gzip, durable in the queue before they are sent.
    Always,
    /// One event per record, from memory.
    Event,
    /// As `Block`, by another program.
    Other,
    /// As `Block`, through a pipeline that leaves events as they are.
    NoOp,
    /// As `Block`, with lines of syslog, through the pipeline that parses them.
    Syslog,
}

/// One round of a mode.
pub(crate) struct Steady {
    cpu: Duration,
    time: Duration,
    resident_bytes_max: u64,
    wire_bytes: u64,
    disk_bytes: u64,
}

impl Mode {
    pub(crate) const ALL: [Self; 6] =
        [Self::Block, Self::Other, Self::Always, Self::Event, Self::NoOp, Self::Syslog];

    pub(crate) fn part(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Always => "always",
            Self::Event => "event",
            Self::Other => "other",
            Self::NoOp => "no-op",
            Self::Syslog => "syslog",
        }
    }

    fn settings(self) -> &'static str {
        match self {
            // The last batch of a round is not full, and waits for more.
            Self::Block | Self::Other => "flush_period: 20ms\nbackpressure: block",
            Self::Always => {
                "flush_period: 20ms\nbackpressure: queue\nqueue: { mode: always, min_free: \"16 MiB\" }"
            }
            Self::Event => "flush_period: 20ms\nbackpressure: block\ncompression: none\nsend_batched: false",
            Self::NoOp | Self::Syslog => "flush_period: 20ms\nbackpressure: block\npipeline: p",
        }
    }

    /// The program that events go through.
    fn program(self) -> Option<&'static str> {
        match self {
            Self::Block | Self::Other | Self::Always | Self::Event => None,
            Self::NoOp => Some("."),
            // The recipe of docs/pipelines.md.
            Self::Syslog => Some(". = merge(., parse_syslog!(._raw))"),
        }
    }

    fn files(self, corpus: &Corpus) -> String {
        let path = if self == Self::Syslog { &corpus.syslog } else { &corpus.path };
        path.display().to_string()
    }

    fn title(self) -> &'static str {
        match self {
            Self::Block => "file → Kinesis, gzip, block",
            Self::Always => "file → Kinesis, gzip, queue always",
            Self::Event => "file → Kinesis, one event per record, block",
            Self::Other => "the same by MILLPOND_BENCH_OTHER",
            Self::NoOp => "file → Kinesis, gzip, block, no-op pipeline",
            Self::Syslog => "file → Kinesis, gzip, block, syslog parsed",
        }
    }
}

/// Sends the whole corpus with a new forwarder.
pub(crate) async fn round(bench: &Bench, mode: Mode) -> anyhow::Result<Steady> {
    let directory = fresh(&bench.directory, "steady")?;
    let server = endpoint(Keep::CountOnly).await?;
    let start = Instant::now();
    let more = mode.program().map(|program| format!("pipelines:\n  p: {{ source: '{program}' }}\n"));
    let more = more.unwrap_or_default();
    let mut settings = Settings { more: &more, ..mode.settings().into() };
    if let (Mode::Other, Some(other)) = (mode, &bench.other) {
        settings.millpond = other;
    }
    let files = mode.files(&bench.corpus);
    let mut forwarder = Forwarder::start(&directory, &files, &server.endpoint(), settings)?;
    forwarder.until_arrived(&server, bench.corpus.lines).await?;
    Ok(Steady {
        time: start.elapsed(),
        cpu: forwarder.cpu()?,
        resident_bytes_max: forwarder.resident()?.1,
        wire_bytes: server.counts().body_bytes,
        disk_bytes: forwarder.disk_bytes()?,
    })
}

pub(crate) fn report(table: &mut Table, mode: Mode, rounds: &[Steady], floors: &[Floor], corpus: &Corpus) {
    if rounds.is_empty() {
        return;
    }
    let of = |figure: fn(&Steady) -> f64| median(rounds.iter().map(figure));
    let cpu = median(rounds.iter().map(|round| per_million(round.cpu, corpus.lines)));
    let ratios =
        rounds.iter().zip(floors).map(|(round, floor)| round.cpu.as_secs_f64() / floor.cpu.as_secs_f64());
    let ratio = median(ratios);
    let resident = of(|round| round.resident_bytes_max as f64);
    // What a million of the events are of all.
    let millionth = 1e6 / corpus.lines as f64;
    let goal = match mode {
        Mode::Block => Some(Goal::at_most(ratio, 1.2)),
        Mode::Always => Some(Goal::at_most(ratio, 1.3)),
        Mode::Event => Some(Goal::at_most(cpu, 2.0).with_unit(" s")),
        Mode::Other | Mode::NoOp | Mode::Syslog => None,
    };
    table.row(Row {
        what: mode.title().to_owned(),
        cpu,
        // The floor is of other lines.
        ratio: (mode != Mode::Syslog).then_some((ratio, goal)),
        events_per_second: Some(of(|round| 1.0 / round.time.as_secs_f64()) * corpus.lines as f64),
        cores: Some(of(|round| round.cpu.as_secs_f64() / round.time.as_secs_f64())),
        resident: Some((resident, Goal::at_most(resident, 40e6))),
        wire_bytes: Some(of(|round| round.wire_bytes as f64) * millionth),
        disk_bytes: Some(of(|round| round.disk_bytes as f64) * millionth),
    });
}
