//! `millpond demo`: an outage drill on the embedded endpoint, with proof at the end.
//!
//! A forwarder runs as a process of its own, so that it can be killed for real; the endpoint, the writer of the log
//! lines and the count of what arrived are in this one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use millpond_local_kinesis::{Fault, FaultKind, Options, Server, StreamSpec, start};
use tokio::time::Instant;

use crate::drill::{ForwarderProcess, Proof, QueueGauge};

mod screen;
mod writer;

use screen::Screen;
use writer::Writer;

/// Arguments of `millpond demo`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
    $ millpond demo
    $ millpond demo --outage 30 --keep demo")]
pub struct DemoArgs {
    /// How long the link is down.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(4..=3600))]
    pub outage: u64,
    /// Log lines written per second.
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Keep log file, queue and configuration in this new directory, to look at them afterwards.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Healthy seconds before the outage.
const CALM: Duration = Duration::from_secs(4);
/// Lines go on being written for this long after the link is back.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// A drain that takes longer than the outage and this has failed.
const DRAIN_MAX: Duration = Duration::from_secs(120);
const STREAM: &str = "demo";
const SHARDS: u32 = 4;

/// Runs the drill: exit code 0 only if every line that was written arrived.
#[must_use]
pub fn run(args: &DemoArgs) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("millpond: no threads for the demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(drill(args)) {
        Ok(proof) if proof.holds() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("millpond: the demo could not run to its end: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn drill(args: &DemoArgs) -> anyhow::Result<Proof> {
    let (directory, _remove_at_the_end) = directory(args.keep.as_deref())?;
    let server = start(Options { streams: vec![StreamSpec::new(STREAM, SHARDS)], ..Options::default() })
        .await
        .context("starting the embedded endpoint")?;
    let config = directory.join("millpond.yaml");
    std::fs::write(&config, configuration(&server.endpoint()))
        .with_context(|| format!("writing {}", config.display()))?;

    let program = std::env::current_exe().context("finding this program's own file")?;
    let screen = Screen::new();
    screen.title(&format!(
        "an outage drill: {} lines/s, a forwarder, a stream of {SHARDS} shards, a link that breaks for {} s",
        args.rate, args.outage
    ));
    let mut drill = Drill {
        writer: Writer::start(&directory.join("app.log"), args.rate)?,
        forwarder: ForwarderProcess::start(&program, &config)?,
        program,
        config,
        gauge: QueueGauge::new(directory.join("data/queues/kinesis")),
        server,
        screen,
    };
    drill.story(args).await
}

/// Where the drill takes place, and what removes it at the end if nobody wants to keep it.
fn directory(keep: Option<&Path>) -> anyhow::Result<(PathBuf, Option<tempfile::TempDir>)> {
    if let Some(directory) = keep {
        std::fs::create_dir(directory)
            .with_context(|| format!("--keep {}: a new directory is wanted", directory.display()))?;
        return Ok((directory.canonicalize()?, None));
    }
    let directory = tempfile::Builder::new().prefix("millpond-demo-").tempdir()?;
    Ok((directory.path().to_owned(), Some(directory)))
}

fn configuration(endpoint: &str) -> String {
    format!(
        "\
data_dir: data
inputs:
  app: {{ type: file, include: [\"app.log\"] }}
outputs:
  kinesis:
    type: kinesis
    stream_name: {STREAM}
    region: us-east-1
    endpoint: \"{endpoint}\"
    auth: {{ method: manual, access_key: demo, secret_key: demo }}
    flush_period: 200ms
    max_record_size: \"128 KiB\"
    backpressure: queue
    queue: {{ mode: error, max_size: \"1 GiB\" }}
"
    )
}

/// Everything that takes part.
struct Drill {
    writer: Writer,
    program: PathBuf,
    config: PathBuf,
    forwarder: ForwarderProcess,
    gauge: QueueGauge,
    server: Server,
    screen: Screen,
}

impl Drill {
    async fn story(&mut self, args: &DemoArgs) -> anyhow::Result<Proof> {
        let outage = Duration::from_secs(args.outage);
        self.screen.chapter("link up", "lines go straight to the stream");
        self.watch(CALM).await?;

        self.screen.chapter("link down", "connections are refused; events go to the queue on disk");
        let down = self.server.faults().set(Fault::from(FaultKind::Down));
        self.watch(outage.mul_f64(0.5)).await?;

        let peak_memory = self.forwarder.kill_9().await?;
        self.screen.chapter("kill -9", "the forwarder dies in the middle of it; lines go on being written");
        self.watch(outage.mul_f64(0.1)).await?;
        self.forwarder = ForwarderProcess::start(&self.program, &self.config)?;
        self.screen.chapter("restart", "it opens the queue and reads on from its positions");
        self.watch(outage.mul_f64(0.4)).await?;

        self.screen.chapter("link up", "shards are verified, one batch is tried, then the queue drains");
        self.server.faults().clear(down);
        self.watch(AFTERWARDS).await?;
        self.writer.stop().await?;
        let proof = self.drain(DRAIN_MAX + outage).await?;

        self.screen.chapter("stop", "SIGTERM: the forwarder writes its positions and ends");
        let (memory, last_words) = self.forwarder.stop().await?;
        last_words.iter().for_each(|said| self.screen.said(said));
        let peak_memory = memory.max(peak_memory);
        let proof = Proof { peak_queue: self.gauge.peak(), peak_memory, ..proof };
        self.screen.verdict(&proof);
        Ok(proof)
    }

    /// Lets time pass, and shows what happens meanwhile.
    async fn watch(&mut self, duration: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + duration;
        while Instant::now() < until {
            self.look().await?;
        }
        Ok(())
    }

    /// Waits until all that was written has arrived.
    async fn drain(&mut self, patience: Duration) -> anyhow::Result<Proof> {
        let until = Instant::now() + patience;
        let written = self.writer.written();
        loop {
            self.look().await?;
            if self.server.counts().events >= written || Instant::now() >= until {
                let proof = Proof::take(written, &self.server.records());
                if proof.missing == 0 || Instant::now() >= until {
                    return Ok(proof);
                }
            }
        }
    }

    /// Takes in what the forwarder says for a moment, then shows how things stand.
    async fn look(&mut self) -> anyhow::Result<()> {
        const FRAME: Duration = Duration::from_millis(100);
        let until = Instant::now() + FRAME;
        while let Ok(line) = tokio::time::timeout_at(until, self.forwarder.next_line()).await {
            let Some(said) = line? else {
                tokio::time::sleep_until(until).await;
                break;
            };
            self.screen.said(&said);
        }
        ensure!(!self.writer.has_failed(), "writing the log file failed: is the disk full?");
        let queue = self.gauge.look();
        self.screen.show(self.writer.written(), self.server.counts().events, queue, self.forwarder.state());
        Ok(())
    }
}
