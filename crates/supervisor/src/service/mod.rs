//! Being a service: signals, and what a service manager (systemd, or another that speaks its protocol) is told. Without
//! a manager, `NOTIFY_SOCKET` is not set and nothing is said to anybody.

mod notify;
mod signals;
mod watchdog;

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use self::notify::{Socket, State};
pub use self::signals::{Asked, Signals};

/// What a stop takes beyond `shutdown_timeout`: closing queues, writing positions, on a slow disk.
const CLOSING: Duration = Duration::from_secs(30);

/// The way to the service manager, if there is one.
#[derive(Debug, Clone)]
pub struct Service {
    manager: Option<Arc<Socket>>,
    watchdog: Option<Duration>,
}

impl Service {
    /// The manager of this process, by its environment. One that cannot be spoken to is said in the log.
    #[must_use]
    pub fn of_process() -> Self {
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let manager = name.and_then(|name| match Socket::new(&name) {
            Ok(socket) => Some(Arc::new(socket)),
            Err(error) => {
                tracing::warn!(%error, socket = ?name, "the service manager cannot be told anything: NOTIFY_SOCKET names no socket");
                None
            }
        });
        let (usec, pid) = (std::env::var_os("WATCHDOG_USEC"), std::env::var_os("WATCHDOG_PID"));
        let period = watchdog::period(usec.as_deref(), pid.as_deref(), std::process::id());
        let watchdog = period.filter(|_| manager.is_some());
        Self { manager, watchdog }
    }

    /// Shows signs of life from now on if the manager waits for them, for as long as tasks run on the runtime that is
    /// entered.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn show_signs_of_life(&self) {
        if let Some(period) = self.watchdog {
            let service = self.clone();
            tokio::spawn(watchdog::watch(period, move || service.tell(&[State::Watchdog])));
        }
    }

    /// The inputs accept events: at the start, and after a reload, whether it was taken over or refused. `status`: what
    /// runs, in one line.
    pub fn ready(&self, status: &str) {
        self.tell(&[State::Ready, State::Status(status)]);
    }

    /// The configuration is read again. [`ready`](Self::ready) must follow, whatever comes of it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1_000;
        self.tell(&[State::Reloading(usec), State::Status("reading the configuration again")]);
    }

    /// A stop begins that gives puts in flight so much `patience`.
    pub fn stopping(&self, patience: Duration) {
        let status = format!("stopping; puts in flight have {:.0} s", patience.as_secs_f64());
        self.tell(&[State::Stopping, State::ExtendTimeout(patience + CLOSING), State::Status(&status)]);
    }

    /// What the service does now, in one line.
    pub fn status(&self, line: &str) {
        self.tell(&[State::Status(line)]);
    }

    fn tell(&self, states: &[State<'_>]) {
        let Some(manager) = &self.manager else { return };
        if let Err(error) = manager.send(states) {
            let socket: &OsStr = manager.name();
            tracing::warn!(%error, ?socket, "the service manager could not be told something");
        }
    }
}
