//! The supervisor of millpond: policy and wiring around the queue and the Kinesis output.

pub mod chunk;
pub mod config;
pub mod forwarder;
pub mod health;
pub mod inputs;
pub mod window;
