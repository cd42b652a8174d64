//! The program itself, from a log file to the embedded endpoint, through what can go wrong on the way.

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs fails")]

mod admin_client;
mod web;
#[expect(dead_code, reason = "the outage suite uses more of it")]
mod world;

mod admin;
mod arrival;
mod batching;
mod clock;
mod faults;
mod http;
mod http_trouble;
mod import;
mod journal;
mod metrics;
mod modes;
mod online;
mod operation;
mod outages;
mod pipelines;
mod policies;
mod reload;
mod reshard;
mod role;
mod secrets;
mod service;
mod streams;
mod tools;
