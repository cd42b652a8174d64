//! `millpond run`: forward.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Environment};
use crate::logging::{self, LogArgs};
use crate::registry::Registry;
use crate::supervisor::{self, Source};

/// Threads that run tasks; inputs and queues have threads of their own.
const WORKERS: usize = 2;
/// Threads that compress, and read queues back.
const BLOCKING_THREADS_MAX: usize = 4;

/// Arguments of `millpond run`.
#[derive(Debug, Clone, clap::Args)]
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
    if let Err(error) = logging::init(log) {
        eprintln!("millpond: {error}");
        return ExitCode::from(2);
    }
    let environment = Environment::of_process(args.environment.as_deref());
    let config = match config::load(&args.config, &environment) {
        Ok((config, warnings)) => {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            config
        }
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    raise_open_files_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let registry = Registry::new(&environment.name);
            let source = Source { path: args.config.clone(), environment };
            runtime.block_on(supervisor::run(config, &source, &registry))
        }
        Err(error) => Err(error.into()),
    };
    match ended {
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
