//! What the inputs have in common that other programs write to: `tcp`, `udp`, `syslog` and `unix`.
//!
//! None of them carries an acknowledgement. What was read is in memory until the outputs have taken it, and the outputs
//! limit how much that is: while they take nothing, nothing is read, the senders' windows close, and what comes in
//! datagrams is dropped by the kernel, which counts it.
//!
//! [`framing`] tells where a message ends and is pure; [`gather`] collects messages to chunks; [`handover`] gives chunks
//! to the outputs and waits for what became of them; [`connection`] and [`datagrams`] read; [`accept`] lets connections
//! in; [`bind`] gets the address or the socket, and [`opened`] runs what has one.

pub(super) mod accept;
pub(super) mod bind;
pub(super) mod connection;
pub(super) mod datagrams;
pub(super) mod framing;
pub(super) mod gather;
pub(super) mod handover;
mod kernel_drops;
pub(super) mod opened;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes of a chunk, unless a single message is longer.
pub(in crate::inputs) const CHUNK_BYTES_MAX: usize = 256 << 10;

/// How long whole messages wait for more.
pub(in crate::inputs) const FLUSH_PERIOD: Duration = Duration::from_millis(100);

/// Waits until the input shall stop.
pub(in crate::inputs) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can stop it any more, which is the end, too.
    drop(stop.wait_for(|stop| *stop).await);
}

pub(in crate::inputs) fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

pub(in crate::inputs) async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod datagram_tests;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod stream_tests;
