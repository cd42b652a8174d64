//! Crashes: random histories of them, and every point where one can happen.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

mod histories;
mod points;
mod quarantine;
mod told;
mod world;
