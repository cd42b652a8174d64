//! What is said of requests that got no 200, and of connections that got no request.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::refusal::Refusal;
use crate::failure_log::FailureLog;

/// What is said of requests that got no 200: each kind now and then, and a new one at once.
#[derive(Debug)]
pub(super) struct RefusalLog {
    since: Instant,
    said: Mutex<FailureLog>,
}

impl RefusalLog {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), said: Mutex::default() }
    }

    /// `Some(n)`: say it, and that `n` more like it were held back.
    fn may_say(&self, kind: &str) -> Option<u64> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).note(self.since.elapsed(), kind)
    }

    pub(super) fn note(&self, input: &str, peer: &str, refusal: &Refusal) {
        let outcome = refusal.outcome();
        if let Some(held_back) = self.may_say(outcome.name()) {
            let (status, reason) = (outcome.status(), refusal.to_string());
            tracing::warn!(input, peer, status, reason, held_back, "a request was refused");
        }
    }

    pub(super) fn note_cut(&self, input: &str, peer: &str, lines: u64) {
        if lines > 0
            && let Some(held_back) = self.may_say("cut")
        {
            tracing::warn!(
                input,
                peer,
                lines,
                held_back,
                "lines of a request are longer than max_line and were cut"
            );
        }
    }

    /// Says that a connection ended early or could not begin.
    pub(super) fn note_connection(
        &self,
        input: &str,
        peer: &str,
        what: &'static str,
        error: &dyn std::fmt::Display,
    ) {
        if let Some(held_back) = self.may_say(what) {
            tracing::warn!(input, peer, %error, held_back, "{what}");
        }
    }
}
