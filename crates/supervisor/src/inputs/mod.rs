//! Where events come from: files that grow, and standard input.
//!
//! Each input runs on a thread of its own, so that a slow disk or a dead network mount holds up that input and no
//! other. It hands [chunks](crate::chunk::Chunk) of whole lines to the outputs and remembers a position only once every
//! line before it is delivered or durable.
//!
//! A stop goes like this: the `stop` signal becomes `true`; the input reads no more and gives its way to the outputs
//! away, so that they can see the end; it waits until each of its receipts has come back, writes its positions and
//! ends. An input therefore ends only after the outputs have settled or dropped what it gave them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use self::net::opened::NetInput;
use crate::chunk::Codec;
use crate::config::checked::{FileInput, Input, InputKind, JournaldInput};
use crate::ways::Fanout;

mod counters;
mod error;
mod file;
mod http;
mod journald;
mod kept;
pub mod lines;
mod listen;
mod multiline;
mod net;
mod stdin;
mod syslog;
mod tcp;
pub mod tls;
mod udp;
mod unix;

pub use counters::{Count, InputCounters};
pub use error::InputError;
pub use file::run_file;
pub use http::{HttpListener, Outcome, RequestCounters, run_http};
pub use journald::run_journald;
pub(crate) use listen::remedy as remedy_of_listen;
pub use stdin::run_stdin;

/// What every input needs beside its own settings.
#[derive(Debug, Clone)]
pub struct InputContext {
    /// Id of the input in the configuration.
    pub input: Arc<str>,
    /// How its lines become events.
    pub codec: Codec,
    /// Longest line in bytes, without its line end; a longer one is cut and counted.
    pub max_line: usize,
    /// The way to the outputs.
    pub out: Fanout,
    /// Becomes `true`, or is dropped, when the input shall stop.
    pub stop: watch::Receiver<bool>,
    /// What the input counts.
    pub counters: Arc<InputCounters>,
    /// Where it says that it takes events.
    pub started: Started,
    /// Directory of the inputs' positions, `<data_dir>/inputs`; each input has a directory of its own in it.
    pub positions_dir: PathBuf,
}

/// Where an input says that it takes events: its files are known, its address is bound.
#[derive(Debug, Clone)]
pub struct Started(watch::Sender<bool>);

impl Started {
    /// The input's end, and the one that hears of it.
    #[must_use]
    pub fn new() -> (Self, watch::Receiver<bool>) {
        let (tell, hear) = watch::channel(false);
        (Self(tell), hear)
    }

    /// It does from now on.
    pub fn tell(&self) {
        self.0.send_replace(true);
    }
}

/// A running input.
#[derive(Debug)]
pub struct InputHandle {
    /// Id of the input in the configuration.
    pub id: Arc<str>,
    /// What it counts.
    pub counters: Arc<InputCounters>,
    done: oneshot::Receiver<Result<(), InputError>>,
}

impl InputHandle {
    /// Waits until the input has ended: stopped, at the end of standard input, or failed. May be dropped and called
    /// again until it has returned once.
    ///
    /// # Errors
    /// Why the input ended although nobody asked it to.
    pub async fn finished(&mut self) -> Result<(), InputError> {
        (&mut self.done).await.unwrap_or_else(|_| Err(InputError::Panicked { input: Arc::clone(&self.id) }))
    }
}

/// Starts an input on a thread of its own. Dropping the handle does not stop it; `stop` does.
///
/// # Errors
/// [`InputError::Thread`] when the operating system gives no thread or no event loop; [`InputError::Listen`],
/// [`InputError::Socket`] and [`InputError::Tls`] when an input that listens cannot.
pub fn spawn(
    input: &Input,
    data_dir: &Path,
    out: Fanout,
    stop: watch::Receiver<bool>,
    counters: Arc<InputCounters>,
    started: Started,
) -> Result<InputHandle, InputError> {
    let id: Arc<str> = input.id.as_str().into();
    let ctx = InputContext {
        input: Arc::clone(&id),
        codec: input.codec,
        max_line: input.max_line,
        out,
        stop,
        counters: Arc::clone(&counters),
        started,
        positions_dir: data_dir.join("inputs"),
    };
    let opened = Opened::open(&id, input.kind.clone())?;
    let thread_error = |source| InputError::Thread { input: Arc::clone(&id), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(thread_error)?;
    let (tell, done) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("input {id}"))
        .spawn(move || {
            let ended = runtime.block_on(async move {
                match opened {
                    Opened::File(config) => run_file(config, ctx).await,
                    Opened::Http(listener) => run_http(listener, ctx).await,
                    Opened::Journald(config) => run_journald(config, ctx).await,
                    Opened::Net(input) => input.run(ctx).await,
                    Opened::Stdin => run_stdin(ctx).await,
                }
            });
            if let Err(Err(error)) = tell.send(ended) {
                tracing::error!(error = %error, "an input failed and nobody was left to hear it");
            }
        })
        .map_err(thread_error)?;
    Ok(InputHandle { id, counters, done })
}

/// An input that has what it needs of the machine to begin.
enum Opened {
    File(FileInput),
    Http(HttpListener),
    Journald(JournaldInput),
    Net(NetInput),
    Stdin,
}

impl Opened {
    /// Takes the address of an input that listens: whether it can be had is known before the input starts.
    fn open(id: &Arc<str>, kind: InputKind) -> Result<Self, InputError> {
        Ok(match kind {
            InputKind::File(config) => Self::File(config),
            InputKind::Http(config) => Self::Http(HttpListener::open(id, config)?),
            InputKind::Tcp(config) => Self::Net(tcp::open(id, config)?),
            InputKind::Udp(config) => Self::Net(udp::open(id, &config)?),
            InputKind::Syslog(config) => Self::Net(syslog::open(id, config)?),
            InputKind::Unix(config) => Self::Net(unix::open(id, config)?),
            InputKind::Journald(config) => Self::Journald(config),
            InputKind::Stdin => Self::Stdin,
        })
    }
}
