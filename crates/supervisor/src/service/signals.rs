//! The signals that ask something of a running forwarder.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT: stop cleanly; the second one: at once.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// Catches them from the moment it is made. One that comes before anybody waits for it is not lost.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches signals from now on, on the runtime that is entered. IMPORTANT: made before anything that takes time. As
    /// process 1 of a container, a program is sent only those signals that it catches.
    ///
    /// # Errors
    /// When the operating system takes no handler.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; a stop goes first. Nothing is lost if this is dropped and called again.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
