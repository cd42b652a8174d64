//! The commands of `millpond`, one module each: its arguments, and a `run` that ends in an exit code.

pub mod check;
pub mod completions;
pub mod dead_letters;
pub mod demo;
pub mod failure;
pub mod forwarder;
pub mod import_cribl;
pub mod local_kinesis;
pub mod man;
pub mod pipeline;
pub mod place;
pub mod queue;
pub mod replay;
pub mod run;
pub mod status;
pub mod test;
pub mod top;
