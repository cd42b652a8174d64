//! One output of the configuration, put together: assembler, driver, queue, client.

use std::path::Path;
use std::sync::Arc;

use millpond_kinesis::aws::AwsClient;
use millpond_kinesis::limits::{REQUEST_BYTES_TARGET, REQUEST_RECORDS_MAX};
use millpond_kinesis::{Batcher, BatcherOptions, Failure, Format, Output as KinesisOutput, OutputOptions};
use millpond_queue::{DropReason, Fs, OpenError, Options, Queue, Retain};
use tokio::sync::{mpsc, watch};

use crate::assembler::{Assembler, Encoding};
use crate::chunk::Chunk;
use crate::client_settings;
use crate::config::checked::{self, Backpressure, OnFull, Output, PartitionKey, QueueOptions};
use crate::counters::OutputCounters;
use crate::dead_letters::{DeadLetters, Place};
use crate::driver::{self, Backlog, Control, Driver, Keeper, Leftovers, Notice, Phase, Wires};
use crate::forwarder::{Forwarder, Policy};
use crate::orphans;
use crate::output_state::OutputView;
use crate::put::Sender;
use crate::queue_thread::{self, QueueThread};

/// Chunks that wait for an output. Each is at most a quarter MiB.
const CHUNKS_WAITING_MAX: usize = 2;
/// Sealed batches that wait for the driver, being compressed meanwhile.
const ENCODINGS_WAITING_MAX: usize = 2;
/// What people may have asked for and the driver has not heard yet; they wait for it.
const CONTROLS_WAITING_MAX: usize = 4;
/// With `put_records_batching`, puts in flight for each call that may be: more than a call holds only where records are
/// small and the round trip is long.
const PUTS_PER_CALL: u32 = 32;

/// The way into an output: where its inputs send, and what its assembler takes.
#[must_use]
pub fn way() -> (mpsc::Sender<Chunk>, mpsc::Receiver<Chunk>) {
    mpsc::channel(CHUNKS_WAITING_MAX)
}

/// An output whose settings make a client. Nothing of it was touched yet.
#[derive(Debug)]
pub struct Prepared {
    /// What the configuration says of it.
    pub settings: Arc<Output>,
    client: AwsClient,
}

impl Prepared {
    /// Makes the client of an output. Talks to nobody.
    ///
    /// # Errors
    /// [`OutputError::Client`].
    pub async fn new(settings: Arc<Output>) -> Result<Self, OutputError> {
        let client = AwsClient::connect(client_settings::of(&settings))
            .await
            .map_err(|failure| OutputError::Client { id: settings.id.clone(), failure: Box::new(failure) })?;
        Ok(Self { settings, client })
    }

    /// The way to its stream.
    fn way_to_stream(self) -> (Arc<Output>, KinesisOutput) {
        let Self { settings, client } = self;
        let options = output_options(&settings);
        let output = KinesisOutput::new(Arc::new(client), settings.stream_name.clone(), options);
        (settings, output)
    }

    /// The way to its stream alone, for commands.
    #[must_use]
    pub fn into_stream(self) -> KinesisOutput {
        self.way_to_stream().1
    }
}

/// What an output has from the process around it.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Where dead letters live.
    pub data_dir: &'a Path,
    /// Name of this machine.
    pub host: Arc<str>,
    /// What it counts; goes on counting where an output of this name has stopped.
    pub counters: Arc<OutputCounters>,
    /// What the one before it has not sent.
    pub inherited: Leftovers,
    /// Whether it stops.
    pub phase: watch::Receiver<Phase>,
}

/// An output that is ready to run.
pub struct Assembled {
    /// Turns chunks into batches.
    pub assembler: Assembler,
    /// Delivers batches.
    pub driver: Driver,
    /// Pauses and resumes it.
    pub control: mpsc::Sender<Control>,
    /// Looks at what it is doing.
    pub state: OutputView,
    /// What it counts.
    pub counters: Arc<OutputCounters>,
    /// What could never be delivered.
    pub dead_letters: DeadLetters,
}

/// Why an output cannot run.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Its settings make no client.
    #[error("output {id}: {}", failure.message)]
    Client {
        /// The output.
        id: String,
        /// Why.
        failure: Box<Failure>,
    },
    /// Its queue cannot be opened.
    #[error("output {id}: queue {}: {source}", directory.display())]
    Queue {
        /// The output.
        id: String,
        /// Where the queue is.
        directory: std::path::PathBuf,
        /// Why.
        source: Box<OpenError>,
    },
    /// Its queue's directory cannot be used, or there is no thread for it.
    #[error("output {id}: queue {}: {source}", directory.display())]
    Directory {
        /// The output.
        id: String,
        /// Where the queue is.
        directory: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Puts an output together. Opens its queue, talks to nobody.
///
/// # Errors
/// See [`OutputError`].
pub fn assemble(prepared: Prepared, around: Surroundings<'_>) -> Result<Assembled, OutputError> {
    let (settings, stream) = prepared.way_to_stream();
    let Surroundings { data_dir, host, counters, inherited, phase } = around;
    let output = &*settings;
    let id: Arc<str> = output.id.as_str().into();
    let dead_letters = DeadLetters::new(output.id.clone(), Place::of(output, data_dir));
    let sender =
        Sender { id, output: stream, dead_letters: dead_letters.clone(), counters: Arc::clone(&counters) };
    let (notify, notices) = mpsc::unbounded_channel();
    let (backlog, pending_end) = if has_queue(output)? {
        let (backlog, pending_end) = open_queue(output, notify.clone())?;
        (Some(backlog), pending_end)
    } else {
        (None, 0)
    };
    let machine = Forwarder::new(policy(output), pending_end, fastrand::u64(..));
    let (sealed, encodings) = mpsc::channel::<Encoding>(ENCODINGS_WAITING_MAX);
    let assembler = Assembler {
        host,
        stream: output.stream_name.clone(),
        batcher: Batcher::new(batcher_options(output)),
        compression_level: output.compression_level,
        oversize: output.oversize,
        max_record_size: output.max_record_size,
        dead_letters: dead_letters.clone(),
        counters: Arc::clone(&counters),
        receipts: Vec::new(),
        out: sealed,
    };
    let (control, asked) = mpsc::channel(CONTROLS_WAITING_MAX);
    let wires = Wires { encodings, inherited, notices: (notify, notices), phase, control: asked };
    let driver = Driver::new(machine, sender, backlog, wires, bytes_max(output));
    let state = driver.view();
    Ok(Assembled { assembler, driver, control, state, counters, dead_letters })
}

/// Does it queue, or is there something left from when it did?
fn has_queue(output: &Output) -> Result<bool, OutputError> {
    if output.backpressure == Backpressure::Queue {
        return Ok(true);
    }
    let directory = output.queue_directory();
    let batches = orphans::pending(&directory).map_err(|source| OutputError::Directory {
        id: output.id.clone(),
        directory: directory.clone(),
        source,
    })?;
    if batches > 0 {
        let (output, directory) = (&*output.id, directory.display());
        tracing::warn!(
            output,
            %directory,
            batches,
            "the output does not queue any more: what its queue still holds is sent before what is new"
        );
    }
    Ok(batches > 0)
}

/// Opens the queue of an output, and says below which sequence it holds batches to deliver; 0: it holds none.
fn open_queue(output: &Output, notify: mpsc::UnboundedSender<Notice>) -> Result<(Backlog, u64), OutputError> {
    let directory = output.queue_directory();
    let in_directory =
        |source| OutputError::Directory { id: output.id.clone(), directory: directory.clone(), source };
    let storage = Fs::create(&directory).map_err(in_directory)?;
    let (queue, recovery) = Queue::open(storage, queue_options(&output.queue)).map_err(|source| {
        OutputError::Queue { id: output.id.clone(), directory: directory.clone(), source: Box::new(source) }
    })?;
    say_what_was_found(&output.id, &directory, &recovery, &queue.stats());
    let reader = queue.reader(queue.acked());
    let stats = queue.stats();
    let pending_end = if stats.batches > 0 { stats.durable.0 } else { 0 };
    let on_report = Box::new(move |report| drop(notify.send(Notice::Queue(report))));
    let policy = queue_policy(&output.queue);
    let queue = QueueThread::spawn("queue", queue, policy, on_report).map_err(in_directory)?;
    Ok((Backlog { keeper: Keeper::Queue(queue), reader: Some(Box::new(reader)) }, pending_end))
}

/// The limits of a queue, as the configuration has them.
pub(crate) fn queue_options(queue: &QueueOptions) -> Options {
    let options = Options {
        segment_bytes_max: queue.segment_bytes_max,
        size_bytes_max: queue.size_bytes_max,
        free_bytes_min: queue.free_bytes_min,
        pack: queue.pack,
        retain: Retain {
            for_ms: queue.retain.map(|period| u64::try_from(period.as_millis()).unwrap_or(u64::MAX)),
            bytes_max: queue.retain_bytes_max,
        },
        ..Options::default()
    };
    match queue.sync_every {
        Some(_) => Options { staged_bytes_max: queue_thread::UNSYNCED_BYTES_MAX, ..options },
        None => options,
    }
}

fn queue_policy(queue: &QueueOptions) -> queue_thread::Policy {
    queue_thread::Policy {
        drop_oldest: queue.on_full == OnFull::DropOldest,
        max_age: queue.max_age,
        retain: queue.retain,
        sync_every: queue.sync_every,
        lease: None,
    }
}

fn say_what_was_found(
    output: &str,
    directory: &Path,
    recovery: &millpond_queue::Recovery,
    stats: &millpond_queue::Stats,
) {
    let (batches, events, bytes) = (stats.batches, stats.events, stats.disk_bytes);
    tracing::info!(output, directory = %directory.display(), batches, events, disk_bytes = bytes, "queue opened");
    for reason in DropReason::ALL {
        let lost = stats.losses.of(reason);
        if lost.batches > 0 {
            let (batches, events, reason) = (lost.batches, lost.events, driver::policy_name(reason));
            tracing::info!(output, reason, batches, events, "the queue has dropped by policy since it began");
        }
    }
    for finding in &recovery.findings {
        if finding.is_loss() {
            tracing::error!(output, "the queue: {finding}");
        } else {
            tracing::info!(output, "the queue: {finding}");
        }
    }
}

fn policy(output: &Output) -> Policy {
    Policy {
        backpressure: output.backpressure,
        queue_mode: output.queue.mode,
        strict_ordering: output.queue.strict_ordering,
        on_full: output.queue.on_full,
        drain: output.queue.drain,
        concurrency: output.concurrency * if output.put_records_batching { PUTS_PER_CALL } else { 1 },
    }
}

/// Bytes of batches in flight, and of batches that were read back. Where each batch has a call of its own, their number
/// is bound enough. Where they share calls, it is a call's worth for each call that may be.
fn bytes_max(output: &Output) -> u64 {
    let call = output.max_record_size.max(REQUEST_BYTES_TARGET) as u64;
    if output.put_records_batching { u64::from(output.concurrency) * call } else { u64::MAX }
}

/// How an output calls the service.
pub(crate) fn output_options(output: &Output) -> OutputOptions {
    OutputOptions {
        use_list_shards: output.use_list_shards,
        request_records_max: match output.format {
            checked::Format::Event => output.records_per_flush,
            checked::Format::Gzip | checked::Format::Ndjson => REQUEST_RECORDS_MAX,
        },
        shared_calls_max: output.put_records_batching.then_some(output.concurrency),
        ..OutputOptions::default()
    }
}

/// How the events of an output become records.
pub(crate) fn batcher_options(output: &Output) -> BatcherOptions {
    BatcherOptions {
        format: match output.format {
            checked::Format::Gzip => Format::Gzip,
            checked::Format::Ndjson => Format::Ndjson,
            checked::Format::Event => Format::Event,
        },
        record_bytes_max: output.max_record_size,
        records_max: output.records_per_flush,
        flush_period: output.flush_period,
        partition_key: match &output.partition_key {
            PartitionKey::Random => millpond_kinesis::PartitionKey::Random,
            PartitionKey::Fixed(key) => millpond_kinesis::PartitionKey::Fixed(key.clone()),
            PartitionKey::Field(name) => millpond_kinesis::PartitionKey::Field(name.clone()),
        },
        ..BatcherOptions::default()
    }
}
