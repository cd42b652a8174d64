//! One output of the configuration, put together: assembler, driver, queue, client.

use std::path::Path;
use std::sync::Arc;

use millpond_kinesis::aws::{self, AwsClient, Secret};
use millpond_kinesis::{Batcher, BatcherOptions, Failure, Format, Output as KinesisOutput, OutputOptions};
use millpond_queue::{Fs, OpenError, Options, Queue};
use tokio::sync::{mpsc, watch};

use crate::assembler::{Assembler, Encoding};
use crate::chunk::Chunk;
use crate::config::checked::{self, Auth, Backpressure, Config, Output, PartitionKey};
use crate::counters::OutputCounters;
use crate::dead_letters::DeadLetters;
use crate::driver::{Backlog, Driver, Notice, Phase};
use crate::forwarder::{Forwarder, Policy};
use crate::put::Sender;
use crate::queue_thread::QueueThread;

/// Chunks that wait for an output. Each is at most a quarter MiB.
const CHUNKS_WAITING_MAX: usize = 2;
/// Sealed batches that wait for the driver, being compressed meanwhile.
const ENCODINGS_WAITING_MAX: usize = 2;

/// An output that is ready to run.
pub struct Assembled {
    /// Its name in the configuration.
    pub id: Arc<str>,
    /// Where its inputs send.
    pub chunks: mpsc::Sender<Chunk>,
    /// Turns chunks into batches.
    pub assembler: Assembler,
    /// What the assembler takes.
    pub incoming: mpsc::Receiver<Chunk>,
    /// Delivers batches.
    pub driver: Driver,
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
pub async fn assemble(
    config: &Config,
    output: &Output,
    host: &Arc<str>,
    phase: watch::Receiver<Phase>,
) -> Result<Assembled, OutputError> {
    let id: Arc<str> = output.id.as_str().into();
    let counters = Arc::new(OutputCounters::default());
    let dead_letters = DeadLetters::new(
        output.id.clone(),
        config.data_dir.join("dead-letters").join(&output.id),
        output.queue.free_bytes_min,
    );
    let client = AwsClient::connect(client_settings(output))
        .await
        .map_err(|failure| OutputError::Client { id: output.id.clone(), failure: Box::new(failure) })?;
    let sender = Sender {
        id: Arc::clone(&id),
        output: KinesisOutput::new(Arc::new(client), output.stream_name.clone(), output_options(output)),
        dead_letters: dead_letters.clone(),
        counters: Arc::clone(&counters),
    };
    let (notify, notices) = mpsc::unbounded_channel();
    let (backlog, pending) = match output.backpressure {
        Backpressure::Queue => {
            let (backlog, pending) = open_queue(output, notify.clone())?;
            (Some(backlog), pending)
        }
        Backpressure::Block | Backpressure::Drop => (None, false),
    };
    let machine = Forwarder::new(policy(output), pending, fastrand::u64(..));
    let (sealed, encodings) = mpsc::channel::<Encoding>(ENCODINGS_WAITING_MAX);
    let (chunks, incoming) = mpsc::channel(CHUNKS_WAITING_MAX);
    let assembler = Assembler {
        host: Arc::clone(host),
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
    let driver = Driver::new(machine, sender, backlog, encodings, (notify, notices), phase);
    Ok(Assembled { id, chunks, assembler, incoming, driver, counters, dead_letters })
}

/// Opens the queue of an output; `true`: it holds batches to deliver.
fn open_queue(
    output: &Output,
    notify: mpsc::UnboundedSender<Notice>,
) -> Result<(Backlog, bool), OutputError> {
    let directory = output.queue.path.join(&output.id);
    let in_directory =
        |source| OutputError::Directory { id: output.id.clone(), directory: directory.clone(), source };
    let storage = Fs::create(&directory).map_err(in_directory)?;
    let options = Options {
        segment_bytes_max: output.queue.segment_bytes_max,
        size_bytes_max: output.queue.size_bytes_max,
        free_bytes_min: output.queue.free_bytes_min,
        ..Options::default()
    };
    let (queue, recovery) = Queue::open(storage, options).map_err(|source| OutputError::Queue {
        id: output.id.clone(),
        directory: directory.clone(),
        source: Box::new(source),
    })?;
    say_what_was_found(&output.id, &directory, &recovery, &queue.stats());
    let reader = queue.reader(queue.acked());
    let pending = queue.stats().batches > 0;
    let on_room = Box::new(move |room| drop(notify.send(Notice::QueueRoom(room))));
    let queue = QueueThread::spawn("queue", queue, on_room).map_err(in_directory)?;
    Ok((Backlog { queue, reader: Some(reader) }, pending))
}

fn say_what_was_found(
    output: &str,
    directory: &Path,
    recovery: &millpond_queue::Recovery,
    stats: &millpond_queue::Stats,
) {
    let (batches, events, bytes) = (stats.batches, stats.events, stats.disk_bytes);
    tracing::info!(output, directory = %directory.display(), batches, events, disk_bytes = bytes, "queue opened");
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
        concurrency: output.concurrency,
    }
}

fn client_settings(output: &Output) -> aws::Settings {
    let credentials = match &output.auth {
        Auth::Auto => aws::Credentials::Auto,
        Auth::Manual { access_key, secret_key, session_token } => aws::Credentials::Manual {
            access_key: access_key.clone(),
            secret_key: secret_key.clone().map(Secret::new),
            session_token: session_token.clone().map(Secret::new),
        },
    };
    aws::Settings {
        endpoint: output.endpoint.clone(),
        credentials,
        reuse_connections: output.reuse_connections,
        ..aws::Settings::new(output.region.clone())
    }
}

fn output_options(output: &Output) -> OutputOptions {
    OutputOptions {
        use_list_shards: output.use_list_shards,
        request_records_max: output.records_per_flush,
        ..OutputOptions::default()
    }
}

fn batcher_options(output: &Output) -> BatcherOptions {
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
