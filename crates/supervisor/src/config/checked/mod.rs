//! What a configuration means once every value in it was found good.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millpond_kinesis::aws::Secret;

use super::secrets::SecretSource;
use crate::processing::Pipeline;
use crate::rate::DrainLimits;

mod admin;
mod inputs;
mod listen;
mod network;
mod processing;

pub use admin::Admin;
pub use inputs::{FileInput, Input, InputKind, JournaldInput, MultilineSettings, ReadFrom};
pub use listen::{HttpInput, TlsFiles};
pub use network::{
    DatagramFraming, StreamFraming, StreamSettings, SyslogInput, SyslogTransport, TcpInput, UdpInput,
    UnixInput, UnixSocket, Zone,
};
pub use processing::{Expected, Given, Route, Subject, Test};

/// A whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where queues, positions and dead letters live.
    pub data_dir: PathBuf,
    /// How long a stop may take before what is in flight is given up.
    pub shutdown_timeout: Duration,
    /// The admin address, if there shall be one.
    pub admin: Option<Admin>,
    /// Inputs in the order of the file.
    pub inputs: Vec<Input>,
    /// Outputs in the order of the file; the inactive ones included.
    pub outputs: Vec<Output>,
    /// Pipelines in the order of the file.
    pub pipelines: Vec<Arc<Pipeline>>,
    /// Tests in the order of the file.
    pub tests: Vec<Test>,
}

impl Config {
    /// The files that hold programs, with what was read from them.
    #[must_use]
    pub fn program_files(&self) -> Vec<(PathBuf, Arc<str>)> {
        let file = |pipeline: &Arc<Pipeline>| Some((pipeline.file.clone()?, pipeline.program.source()));
        self.pipelines.iter().filter_map(file).collect()
    }
}

/// One output of type `kinesis`.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Its name in the configuration; also the name of its queue.
    pub id: String,
    /// Free text.
    pub description: String,
    /// Free words that `status` and metrics can be filtered by.
    pub tags: Vec<String>,
    /// `false` when the output belongs to another environment than the one that runs.
    pub active: bool,
    /// Ids of the inputs whose events it gets; `None`: of all.
    pub inputs: Option<Vec<String>>,
    /// Which events of theirs, and what is done to them on the way.
    pub route: Route,
    /// Ids of outputs of earlier configurations whose queues it drains.
    pub adopt: Vec<String>,
    /// The stream to put to.
    pub stream_name: String,
    /// AWS region.
    pub region: String,
    /// Endpoint instead of the region's own.
    pub endpoint: Option<String>,
    /// Where credentials come from.
    pub auth: Auth,
    /// A role to take on with them.
    pub assume_role: Option<AssumeRole>,
    /// How the service is reached.
    pub network: Network,
    /// What happens to events while the output cannot take them.
    pub backpressure: Backpressure,
    /// The queue's settings; used when `backpressure` is `Queue`.
    pub queue: QueueOptions,
    /// Puts in flight, 1–32.
    pub concurrency: u32,
    /// Largest record before compression, header (or partition key) included, in bytes.
    pub max_record_size: usize,
    /// Oldest an event may get before its batch is sealed.
    pub flush_period: Duration,
    /// How events become records.
    pub format: Format,
    /// gzip level 1–9.
    pub compression_level: u8,
    /// Records in one PutRecords call, 1–500.
    pub records_per_flush: usize,
    /// Several gzip or NDJSON records go in one PutRecords call.
    pub put_records_batching: bool,
    /// List shards with ListShards; otherwise with DescribeStream.
    pub use_list_shards: bool,
    /// How partition keys are chosen.
    pub partition_key: PartitionKey,
    /// What happens to an event that fits in no record.
    pub oversize: Oversize,
    /// Real bytes that its dead letters may occupy.
    pub dead_letters_bytes_max: u64,
}

impl Output {
    /// Does it get the events of this input?
    #[must_use]
    pub fn takes(&self, input: &str) -> bool {
        self.inputs.as_ref().is_none_or(|inputs| inputs.iter().any(|id| id == input))
    }

    /// Where its queue is, if it has one.
    #[must_use]
    pub fn queue_directory(&self) -> PathBuf {
        self.queue.path.join(&self.id)
    }

    /// Would the other one run exactly like this one? They may differ in what does not concern them while they run: whose
    /// events they get, what is done to these before, how they are described, what else is adopted.
    #[must_use]
    pub fn runs_like(&self, other: &Self) -> bool {
        let labels = |output: &Self| Self {
            description: String::new(),
            tags: Vec::new(),
            inputs: None,
            route: Route::default(),
            adopt: Vec::new(),
            ..output.clone()
        };
        labels(self) == labels(other)
    }

    /// What drains the queue that an output named `id` left.
    #[must_use]
    pub fn adopting(&self, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            inputs: Some(Vec::new()),
            adopt: Vec::new(),
            backpressure: Backpressure::Queue,
            ..self.clone()
        }
    }
}

/// A role to take on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumeRole {
    /// The role.
    pub arn: String,
    /// What its owner asks for.
    pub external_id: Option<Secret>,
    /// How long its credentials last.
    pub duration: Duration,
    /// Where it is taken on.
    pub sts: Sts,
}

/// Where AWS STS is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sts {
    /// Its region.
    pub region: String,
    /// Its URL, where it is not that of the region.
    pub endpoint: Option<String>,
}

/// How the service is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Keep connections open between puts.
    pub reuse_connections: bool,
    /// The service's certificate must be good.
    pub reject_unauthorized: bool,
    /// Authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Which proxy is used.
    pub proxy: Proxy,
    /// Endpoints of AWS that are validated to FIPS 140.
    pub fips: bool,
    /// Endpoints of AWS with IPv6 addresses as well.
    pub dual_stack: bool,
    /// The endpoint of the account, where it is known.
    pub account_id_endpoints: bool,
}

/// Which proxy is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Proxy {
    /// What the environment says.
    #[default]
    Environment,
    /// None.
    None,
    /// This one; the URL may hold a password.
    Url(Secret),
}

/// Where credentials come from.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// The SDK's chain: environment, profile, web identity, container, instance metadata.
    #[default]
    Auto,
    /// Written in the configuration; a missing part comes from the environment, then from instance metadata.
    Manual {
        /// Access key id.
        access_key: Option<String>,
        /// Secret key; never shown.
        secret_key: Option<String>,
        /// Session token; never shown.
        session_token: Option<String>,
    },
    /// In a secret, which is read again when they are refused.
    Secret(SecretSource),
}

impl std::fmt::Debug for Auth {
    /// Never shows a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("Auto"),
            Self::Manual { .. } => f.debug_struct("Manual").finish_non_exhaustive(),
            Self::Secret(source) => f.debug_tuple("Secret").field(source).finish(),
        }
    }
}

/// How events become Kinesis records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// gzip of a header line and NDJSON, one record a put.
    Gzip,
    /// A header line and NDJSON, one record a put.
    Ndjson,
    /// One event a record, many records a put.
    Event,
}

/// How partition keys are chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PartitionKey {
    /// Spread evenly over the shards.
    #[default]
    Random,
    /// The same for every record.
    Fixed(String),
    /// The value of a field of the event (of the batch's first event where a record holds many).
    Field(String),
}

/// What happens to an event that fits in no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Oversize {
    /// It is kept in the dead letters.
    #[default]
    DeadLetter,
    /// Its `_raw` is cut and marked.
    Truncate,
    /// It is dropped and counted.
    Drop,
}

/// What happens to events while the output cannot take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backpressure {
    /// Inputs wait.
    #[default]
    Block,
    /// New events are dropped and counted.
    Drop,
    /// New events go to the queue on disk.
    Queue,
}

impl Backpressure {
    /// The word for it: `backpressure` in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Drop => "drop",
            Self::Queue => "queue",
        }
    }
}

/// When batches go through the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueMode {
    /// When the output is unhealthy.
    #[default]
    Error,
    /// Also when it has pushed back for this long.
    Backpressure {
        /// How long pushing back is borne.
        after: Duration,
    },
    /// Always: a batch is durable before it is sent.
    Always,
}

/// What happens to a new batch when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFull {
    /// Inputs wait.
    #[default]
    Block,
    /// The new batch is dropped and counted.
    Drop,
    /// The oldest batches are given up and counted, a segment at a time; where there is only one, inputs wait.
    DropOldest,
}

/// Settings of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOptions {
    /// When batches go through the queue.
    pub mode: QueueMode,
    /// Directory under which the queue `<path>/<output id>` lives.
    pub path: PathBuf,
    /// Size at which a segment is sealed, in bytes.
    pub segment_bytes_max: u64,
    /// Real bytes on disk of all files of the queue.
    pub size_bytes_max: u64,
    /// Free bytes of the file system that are never used.
    pub free_bytes_min: u64,
    /// What happens to a new batch when the queue is full.
    pub on_full: OnFull,
    /// What is queued goes before what is new.
    pub strict_ordering: bool,
    /// How fast what is queued may be sent.
    pub drain: DrainLimits,
    /// gzip level at which batches are packed on disk, if they are.
    pub pack: Option<u8>,
    /// Batches that have been queued for longer are given up.
    pub max_age: Option<Duration>,
    /// How long delivered batches are kept.
    pub retain: Option<Duration>,
    /// How much of them is kept, in bytes.
    pub retain_bytes_max: Option<u64>,
    /// A batch counts as acknowledged when it is written, and is durable this much later; `None`: it counts when it is
    /// durable.
    pub sync_every: Option<Duration>,
}
