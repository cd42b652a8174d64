//! Starts inputs and outputs, waits for signals and for their end, changes them when the configuration does, and stops them
//! in the right order: inputs first, then what is open is sealed, then what flies lands or is kept, then positions are
//! written.

mod inputs;
mod outputs;
mod parts;
mod reload;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::admin::{AdminError, AdminServer};
use crate::clock::Steady;
use crate::config::{Config, Environment, checked};
use crate::inputs::InputError;
use crate::orphans;
use crate::output::OutputError;
use crate::registry::{Registry, Stage};
use crate::service::{Asked, Service, Signals};
use parts::Parts;
use watch::ConfigWatch;

/// How often what was forwarded is summed up in the log, if anything was.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// Why the forwarder did not run, or did not run to a clean end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An output cannot start.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// An input cannot start.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The admin address cannot be served.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Something ended that should not have; the log says what.
    #[error("stopped because a part of it failed; the log above says which and why")]
    Failed,
}

/// Where the configuration comes from, for reading it again.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// What it takes from the process.
    pub environment: Environment,
}

/// What a forwarder has to do with besides its configuration.
#[derive(Debug)]
pub struct World {
    /// Where the configuration comes from.
    pub source: Source,
    /// What people and programs ask of the process.
    pub signals: Signals,
    /// Who started it.
    pub service: Service,
    /// Where what runs is entered.
    pub registry: Registry,
}

/// Forwards until all inputs have ended and everything is delivered, or until SIGTERM or SIGINT; one that came before this
/// begins stops it as well, as soon as all has started. SIGHUP, and a change of the file, make it read its configuration
/// again.
///
/// # Errors
/// See [`RunError`].
pub async fn run(config: Config, world: World) -> Result<(), RunError> {
    let World { source, mut signals, service, registry } = world;
    start_the_clock(&config);
    let mut changes = ConfigWatch::start(&source.path, &config.program_files());
    let mut admin = Admin::start(&config, &registry)?;
    let mut parts = Parts::start(config, &registry, &service).await?;
    say_orphans(parts.config(), &[]);
    let mut summary = tokio::time::interval_at(Instant::now() + SUMMARY_EVERY, SUMMARY_EVERY);
    let mut summed_up = 0;
    loop {
        tokio::select! {
            happened = parts.next() => match happened {
                Some(happened) => parts.handle(happened),
                None => break,
            },
            asked = signals.next() => match asked {
                Asked::Stop => parts.on_signal(),
                Asked::Reload => {
                    reload(&mut parts, &source, &mut changes, "SIGHUP").await;
                    admin.follow(parts.config());
                }
            },
            () = changes.changed() => {
                reload(&mut parts, &source, &mut changes, "the file has changed").await;
                admin.follow(parts.config());
            }
            _ = summary.tick() => summed_up = parts.sum_up(summed_up),
        }
    }
    let is_clean = parts.finish();
    admin.stop();
    if is_clean { Ok(()) } else { Err(RunError::Failed) }
}

/// The admin address, if there is to be one.
struct Admin {
    registry: Registry,
    settings: Option<checked::Admin>,
    server: Option<AdminServer>,
}

impl Admin {
    fn start(config: &Config, registry: &Registry) -> Result<Self, AdminError> {
        let settings = config.admin.clone();
        let server =
            settings.as_ref().map(|admin| AdminServer::start(admin, registry.clone())).transpose()?;
        Ok(Self { registry: registry.clone(), settings, server })
    }

    /// The configuration that runs says where it is. An address that cannot be had is no reason to stop forwarding.
    fn follow(&mut self, config: &Config) {
        if self.settings == config.admin {
            return;
        }
        self.settings.clone_from(&config.admin);
        // The new one may have the old one's address.
        if let Some(server) = self.server.take() {
            server.stop();
        }
        match self.settings.as_ref().map(|admin| AdminServer::start(admin, self.registry.clone())) {
            None => {}
            Some(Ok(server)) => self.server = Some(server),
            Some(Err(error)) => {
                tracing::error!(%error, "there is no admin address until the configuration is read again");
                self.settings = None;
            }
        }
    }

    fn stop(self) {
        if let Some(server) = self.server {
            server.stop();
        }
    }
}

/// Reads the configuration again, and changes what runs if it is good.
async fn reload(parts: &mut Parts, source: &Source, changes: &mut ConfigWatch, why: &str) {
    if parts.registry().stage() == Stage::Stopping {
        return;
    }
    changes.seen();
    parts.service().reloading();
    tracing::info!(config = %source.path.display(), "reading the configuration again: {why}");
    let reloads = parts.registry().clone();
    match reload::load(parts.config(), source).await {
        Ok((config, prepared)) => {
            let former = orphans::former_places(parts.config(), &config);
            changes.follow(&config.program_files());
            parts.apply(config, prepared);
            reloads.reloads().succeed();
            say_orphans(parts.config(), &former);
        }
        Err(refused) => {
            tracing::error!("the new configuration is refused, and the old one goes on: {refused}");
            reloads.reloads().refuse();
        }
    }
    if parts.registry().stage() == Stage::Running {
        parts.say_ready();
    }
}

/// From now on the process has its own clock.
fn start_the_clock(config: &Config) {
    let matters = config.outputs.iter().any(|output| output.active && output.queue.max_age.is_some());
    if !Steady::of_process().is_set() && matters {
        tracing::warn!(
            "the system's clock is not set: until the next start no batch has an age, and none expires"
        );
    }
}

/// A queue that nobody drains is never left to rot in silence. `former`: where queues were before the configuration was
/// changed.
fn say_orphans(config: &Config, former: &[PathBuf]) {
    match orphans::find(config, former) {
        Ok(found) => {
            for orphan in found {
                let (directory, batches) = (orphan.directory.display(), orphan.batches);
                let name = orphan.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let remedy = if orphan.out_of_reach {
                    format!(
                        "the path of queues was changed: send what it holds with \
                         `millpond replay --path {directory} --to OUTPUT --consume`, or change the path back"
                    )
                } else {
                    format!(
                        "write `adopt: [{name}]` at the output that shall send what it holds, or move the directory away"
                    )
                };
                tracing::warn!(%directory, batches, "no output drains this queue: {remedy}");
            }
        }
        Err(error) => tracing::warn!(%error, "could not look for queues that no output drains"),
    }
}
