//! Starting and stopping an endpoint.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::api::{Call, dispatch};
use crate::clock::unix_ms;
use crate::endpoint::Endpoint;
use crate::events::Sink;
use crate::http::room_kib;
use crate::listener::{self, Port};
use crate::options::is_stream_name;
use crate::pacer::Pacer;
use crate::store::{Store, Stream};
use crate::strike::Strike;
use crate::tally::Tally;
use crate::{
    Counts, EventsError, FaultControl, Keep, KeptRecord, Operation, Options, ParseStreamError, StreamSpec,
};

/// Why an endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; free it, or use port 0 for any free one")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Two streams of the same name.
    #[error("stream `{0}` is given twice; leave one out")]
    DuplicateStream(String),
    /// A stream that the service would not have.
    #[error(transparent)]
    Stream(#[from] ParseStreamError),
    /// The file for events cannot be opened.
    #[error("cannot open {path} for events: {source}")]
    EventsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why an endpoint did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    /// Some accepted events are not in the file.
    #[error(transparent)]
    Events(#[from] EventsError),
}

/// What the service answers to an operation that it does not carry out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CallError {
    /// The service's error code, such as `ResourceNotFoundException`.
    pub code: &'static str,
    /// The service's words.
    pub message: String,
}

/// A running endpoint. Dropping it stops it at once; [`Server::shutdown`] lets requests finish first.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    control_addr: Option<SocketAddr>,
    endpoint: Arc<Endpoint>,
    stop: watch::Sender<bool>,
    serving: Vec<Task>,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts an endpoint on the current tokio runtime.
///
/// # Errors
/// When the address is taken, the streams are not right or the file for events cannot be opened.
pub async fn start(options: Options) -> Result<Server, StartError> {
    let streams = create_streams(&options.streams)?;
    let listen_error = |address| move |source| StartError::Listen { address, source };
    let port = Port::open(options.listen).map_err(listen_error(options.listen))?;
    let control = match options.control_listen {
        Some(address) => Some(TcpListener::bind(address).await.map_err(listen_error(address))?),
        None => None,
    };
    let (addr, control_addr) =
        (port.addr(), control.as_ref().and_then(|listener| listener.local_addr().ok()));
    let tally = Tally::default();
    let sink = match &options.write_events {
        Some(path) => {
            let opened = Sink::open(path, tally.malformed_records.clone());
            Some(opened.map_err(|source| StartError::EventsFile { path: path.clone(), source })?)
        }
        None => None,
    };
    let (stop, stopping) = watch::channel(false);
    let endpoint = Arc::new(Endpoint {
        store: Mutex::new(Store {
            region: options.region,
            account: options.account,
            keep: options.keep == Keep::All,
            enforce_throughput: options.enforce_throughput,
            streams,
        }),
        faults: FaultControl::new(options.faults),
        tally,
        sink,
        dice: Mutex::new(options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)),
        body_room: Semaphore::new(room_kib(&options.limits) as usize),
        limits: options.limits,
        role_lifetime: options.role_lifetime,
        incoming: Pacer::default(),
        outgoing: Pacer::default(),
        has_control_listener: control.is_some(),
        stopping,
    });
    let mut serving = vec![Task(tokio::spawn(listener::run(endpoint.clone(), port)))];
    if let Some(control) = control {
        serving.push(Task(tokio::spawn(listener::run_control(endpoint.clone(), control))));
    }
    tracing::info!(%addr, "local Kinesis is listening");
    Ok(Server { addr, control_addr, endpoint, stop, serving })
}

fn create_streams(specs: &[StreamSpec]) -> Result<BTreeMap<String, Stream>, StartError> {
    let mut streams = BTreeMap::new();
    for spec in specs {
        let (name, shards, kib) = (spec.name.clone(), spec.shards, spec.record_kib_max);
        if !is_stream_name(&name) {
            return Err(ParseStreamError::Name(name).into());
        }
        if !(1..=StreamSpec::SHARDS_MAX).contains(&shards) {
            return Err(ParseStreamError::Shards { name, text: shards.to_string() }.into());
        }
        if !(1024..=10_240).contains(&kib) {
            return Err(ParseStreamError::RecordKib { name, text: kib.to_string() }.into());
        }
        if streams.insert(name.clone(), Stream::new(spec, unix_ms())).is_some() {
            return Err(StartError::DuplicateStream(name));
        }
    }
    Ok(streams)
}

impl Server {
    /// Where it listens, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where `/_local/…` is served even while the endpoint is `down`, if asked for.
    #[must_use]
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control_addr
    }

    /// The URL for a client, such as `http://127.0.0.1:4567`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Switches faults.
    #[must_use]
    pub fn faults(&self) -> &FaultControl {
        &self.endpoint.faults
    }

    /// What has come in so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.endpoint.counts()
    }

    /// A snapshot of what is kept: stream by stream, shard by shard, in order of arrival. Data is shared, not copied.
    #[must_use]
    pub fn records(&self) -> Vec<KeptRecord> {
        self.endpoint.store().records()
    }

    /// Carries out an operation in process: uncounted, past all faults, and also while the endpoint is `down`. For what an
    /// operator does with streams, such as creating and resharding them. Gives the answer's JSON, which may be empty.
    ///
    /// # Errors
    /// When the service would refuse it.
    ///
    /// # Panics
    /// On a put: records come over HTTP.
    pub fn call(&self, op: Operation, body: &serde_json::Value) -> Result<Vec<u8>, CallError> {
        assert!(!op.is_put(), "records come over HTTP");
        let (body, strike) = (body.to_string(), Strike::default());
        let call =
            Call { endpoint: &self.endpoint, op, body: body.as_bytes(), strike: &strike, now_ms: unix_ms() };
        let reply =
            dispatch(&call, None).map_err(|error| CallError { code: error.code, message: error.message })?;
        Ok(reply.body)
    }

    /// Waits until every event accepted so far is in the file of `write_events`.
    ///
    /// # Errors
    /// When the file could not be written.
    pub async fn flush_events(&self) -> Result<(), EventsError> {
        match &self.endpoint.sink {
            Some(sink) => sink.flush().await,
            None => Ok(()),
        }
    }

    /// Stops listening, lets requests in progress finish (for at most five seconds), writes out events, gives the totals.
    ///
    /// # Errors
    /// When events could not be written.
    pub async fn shutdown(mut self) -> Result<Counts, ShutdownError> {
        self.stop.send_replace(true);
        for task in &mut self.serving {
            if let Err(error) = (&mut task.0).await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        if let Some(sink) = &self.endpoint.sink {
            sink.close().await?;
        }
        Ok(self.endpoint.counts())
    }
}
