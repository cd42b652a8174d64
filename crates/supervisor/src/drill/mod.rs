//! What an outage drill needs, for `millpond demo` and for the end-to-end tests: a forwarder that can be killed, a look
//! at its queue from outside, and the proof that what was written arrived.

mod forwarder;
mod gauge;
mod proof;

pub use forwarder::{ForwarderProcess, Said};
pub use gauge::{Depth, QueueGauge};
pub use proof::Proof;
