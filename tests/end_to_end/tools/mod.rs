//! The tools of operators, on queues that a forwarder has filled.

mod cat;
mod dead_letters;
mod help;
mod queue;
mod replay;
mod runbook;
mod status;
