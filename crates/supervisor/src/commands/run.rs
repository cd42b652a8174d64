//! `millpond run`: forward.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Environment};
use crate::cores;
use crate::logging::{self, HeldBack, LogArgs};
use crate::registry::Registry;
use crate::service::{Service, Signals};
use crate::supervisor::{self, Source, World};

/// Threads that read queues back and store dead letters, beside those that compress.
const OTHER_BLOCKING_THREADS: usize = 2;

/// Arguments of `millpond run`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
    $ millpond run --config /etc/millpond/millpond.yaml
    $ journalctl -f | millpond run --config stdin.yaml")]
pub struct RunArgs {
    /// The configuration.
    #[arg(long, short, value_name = "FILE", default_value = "millpond.yaml")]
    pub config: PathBuf,
    /// Name of the environment that runs here; outputs of another environment are inactive.
    #[arg(long, value_name = "NAME", env = "MILLPOND_ENVIRONMENT")]
    pub environment: Option<String>,
}

/// Forwards until told to stop: exit code 0 after a clean stop, 1 when something failed, 2 when the configuration is
/// wrong.
#[must_use]
pub fn run(args: &RunArgs, log: &LogArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers(cores::count()))
        .max_blocking_threads(cores::count() + OTHER_BLOCKING_THREADS)
        .enable_all()
        .build();
    let prepared = runtime.and_then(|runtime| {
        let entered = runtime.enter();
        let signals = Signals::catch()?;
        drop(entered);
        Ok((runtime, signals))
    });
    let (runtime, signals) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            logging::complain(&format!("millpond: the system gives no threads or no signals: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let held_back = match logging::init(log) {
        Ok(held_back) => held_back,
        Err(error) => {
            logging::complain(&format!("millpond: {error}"));
            return ExitCode::from(2);
        }
    };
    let ended = runtime.block_on(forward(args, signals, &held_back));
    held_back.say_all();
    ended
}

/// Threads that run tasks. Compression, files and queues have threads of their own, and a task that wakes another on
/// another thread costs more than most tasks do: half as many as there are processors.
fn workers(cores: usize) -> usize {
    (cores / 2).max(1)
}

async fn forward(args: &RunArgs, signals: Signals, held_back: &HeldBack) -> ExitCode {
    tokio::spawn(held_back.clone().say_in_time());
    let environment = Environment::of_process(args.environment.as_deref());
    let config = match config::load(&args.config, &environment) {
        Ok((config, warnings)) => {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            config
        }
        Err(problems) => {
            logging::complain(&problems.to_string());
            return ExitCode::from(2);
        }
    };
    raise_open_files_limit();
    let service = Service::of_process();
    service.show_signs_of_life();
    let registry = Registry::new(&environment.name);
    registry.enter_log(held_back.lines());
    let source = Source { path: args.config.clone(), environment };
    match supervisor::run(config, World { source, signals, service, registry }).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Inputs hold files open; the soft limit of 1,024 is for programs that use `select`, which this one does not.
fn raise_open_files_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        tracing::warn!(%error, ?before, "the limit of open files could not be raised (ulimit -n)");
    }
}
