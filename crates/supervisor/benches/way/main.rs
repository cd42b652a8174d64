//! The way of an event against its limits, in one run: `make bench`, or `cargo bench -p millpond --bench way`.
//!
//! The floor is what no forwarder can leave out: split lines, escape them into JSON, gzip, checksum, on one thread. All
//! else is given in ratios to it, round by round, so that a noisy machine disturbs both sides. What is measured of the
//! forwarder is a process of its own, by the kernel's accounts; the endpoint runs in this one.
//!
//! Names behind `--` choose parts, as `-- floor drain`. Environment: `MILLPOND_BENCH_LINES` (3000000) lines a round,
//! `MILLPOND_BENCH_ROUNDS` (5), `MILLPOND_BENCH_GB` (20) in the large queue, `MILLPOND_BENCH_DIR` (`target/tmp`), `MILLPOND_BENCH_OTHER`
//! another build of the program, which sends the same lines in turn with this one.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

mod backlog;
mod corpus;
mod drain;
mod floor;
mod forwarder;
mod idle;
mod latency;
mod opening;
mod steady;
mod table;

use corpus::Corpus;
use floor::Floor;
use table::{Goal, Table};

/// What a run of the bench is given.
struct Bench {
    directory: PathBuf,
    corpus: Corpus,
    rounds: usize,
    large_bytes: u64,
    wanted: Vec<String>,
    /// Another build of the program.
    other: Option<PathBuf>,
}

impl Bench {
    fn from_environment() -> anyhow::Result<Self> {
        let number = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) => text.parse().with_context(|| format!("{name}={text}: a number is wanted")),
            Err(_) => Ok(default),
        };
        let root = std::env::var_os("MILLPOND_BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let directory = root.join("way-bench");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("MILLPOND_BENCH_DIR: {}", directory.display()))?;
        Ok(Self {
            corpus: Corpus::write(&directory, number("MILLPOND_BENCH_LINES", 3_000_000)?.max(1))?,
            rounds: usize::try_from(number("MILLPOND_BENCH_ROUNDS", 5)?.max(1))?,
            large_bytes: number("MILLPOND_BENCH_GB", 20)? * 1_000_000_000,
            wanted: std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect(),
            other: std::env::var_os("MILLPOND_BENCH_OTHER").map(PathBuf::from),
            directory,
        })
    }

    fn wants(&self, part: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == part)
    }
}

/// The median of some figures.
fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Processor seconds for a million events.
fn per_million(cpu: Duration, events: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / events as f64
}

fn main() -> anyhow::Result<()> {
    let bench = Bench::from_environment()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(measure(&bench))?;
    std::fs::remove_dir_all(&bench.directory)?;
    Ok(())
}

async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let corpus = &bench.corpus;
    println!(
        "The way of an event: {} lines ({} MB) of {}, gzip level {}, medians of {} rounds",
        corpus.lines,
        corpus.bytes / 1_000_000,
        corpus.origin,
        millpond_kinesis::COMPRESSION_LEVEL_DEFAULT,
        bench.rounds
    );
    let backlog = if bench.wants("drain") { Some(backlog::Saved::fill(bench)?) } else { None };
    let (mut floors, mut drains) = (Vec::new(), Vec::new());
    let mut steadies = steady::Mode::ALL.map(|mode| (mode, Vec::new()));
    for _ in 0..bench.rounds {
        floors.push(Floor::measure(corpus));
        let wants = |mode: steady::Mode| {
            bench.wants(mode.part()) && (mode != steady::Mode::Other || bench.other.is_some())
        };
        for (mode, rounds) in steadies.iter_mut().filter(|(mode, _)| wants(*mode)) {
            rounds.push(steady::round(bench, *mode).await?);
        }
        if let Some(backlog) = &backlog {
            drains.push(drain::round(bench, backlog).await?);
        }
    }
    let mut table = Table::new();
    floor::report(&mut table, &floors, corpus);
    steadies.iter().for_each(|(mode, rounds)| steady::report(&mut table, *mode, rounds, &floors, corpus));
    drain::report(&mut table, &drains, &floors, corpus);
    print!("{table}");
    if bench.wants("idle") {
        idle::measure(bench).await?;
    }
    if bench.wants("latency") {
        latency::measure(bench).await?;
    }
    if bench.wants("opening") {
        opening::measure(bench).await?;
    }
    Ok(())
}

/// A figure of its own line, with what it should be.
fn line(what: &str, figure: &str, goal: Option<Goal>) {
    println!("{what:<46}{figure:>30}  {}", goal.map(|goal| goal.to_string()).unwrap_or_default());
}
