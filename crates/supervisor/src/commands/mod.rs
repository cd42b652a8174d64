//! The commands of `millpond`, one module each: its arguments, and a `run` that ends in an exit code.

pub mod check;
pub mod demo;
pub mod import_cribl;
pub mod local_kinesis;
pub mod run;
