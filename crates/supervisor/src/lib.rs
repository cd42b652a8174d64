//! The supervisor of millpond: policy and wiring around the queue and the Kinesis output.

pub mod ack_window;
pub mod admin;
pub mod assembler;
pub mod backlog;
pub mod chunk;
pub mod client_settings;
pub mod clock;
pub mod codec;
pub mod commands;
pub mod config;
pub mod counters;
pub mod dead_letters;
pub mod drill;
pub mod driver;
pub mod failure_log;
pub mod forwarder;
#[cfg(test)]
mod golden;
pub mod health;
pub mod histogram;
pub mod inputs;
pub mod logging;
pub mod metrics;
pub mod moment;
pub mod orphans;
pub mod output;
pub mod output_state;
pub mod put;
pub mod puts;
pub mod queue_thread;
pub mod rate;
pub mod registry;
pub mod service;
pub mod supervisor;
pub mod ways;
pub mod window;
