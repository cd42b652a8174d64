//! Warnings and errors that repeat themselves, from wherever they come, and all that programs on the way of events say: a
//! flood of events that cannot be sent, or of requests that are refused, must not become a flood of lines. Some of each kind
//! are said; of the rest, the number.
//!
//! A kind is the place in the program, with the output or input that it speaks of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::limit::Limit;
use crate::counters::Counter;

/// After this long it is told how many of a kind were held back.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
/// What is told of lines that were held back is never held back itself.
const OWN_TARGET: &str = "millpond::held_back";
/// Where `log()` in a program comes from.
const PROGRAM_TARGET: &str = "vrl";

/// What was held back and is not told yet; to be told by [`say_in_time`](Self::say_in_time).
#[derive(Debug, Clone)]
pub struct HeldBack {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    lately: Mutex<Limit<Kind>>,
    is_first: Notify,
    /// All lines that were held back.
    lines: Arc<Counter>,
}

/// The first that is held back bears the message; equality is of the place and the name.
#[derive(Debug, Clone)]
struct Kind {
    place: Identifier,
    level: Level,
    of: String,
    message: String,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        (&self.place, &self.of) == (&other.place, &other.of)
    }
}

impl Eq for Kind {}

impl std::hash::Hash for Kind {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.place, &self.of).hash(state);
    }
}

/// Writes what is to be said, and nothing for what is held back.
///
/// This is no filter of a layer: those remember the event that they turned away, and turn away the next one, too.
#[derive(Debug)]
pub(super) struct NotTooOften<F> {
    held_back: HeldBack,
    format: F,
}

impl<S, N, F> FormatEvent<S, N> for NotTooOften<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        if self.held_back.is_to_be_said(event) {
            self.format.format_event(ctx, writer, event)
        } else {
            Ok(())
        }
    }
}

impl Visit for Kind {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "output" | "input" => value.clone_into(&mut self.of),
            "message" => value.clone_into(&mut self.message),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if matches!(field.name(), "output" | "input" | "message") {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

impl HeldBack {
    /// After each `period` it is told how many of a kind were held back.
    pub(super) fn new(period: Duration) -> Self {
        let lately = Mutex::new(Limit::new(period));
        let (is_first, lines) = (Notify::new(), Arc::default());
        Self { shared: Arc::new(Shared { start: Instant::now(), lately, is_first, lines }) }
    }

    /// Counts the lines that were held back.
    #[must_use]
    pub fn lines(&self) -> Arc<Counter> {
        Arc::clone(&self.shared.lines)
    }

    /// Puts the limit before a format.
    pub(super) fn before<F>(&self, format: F) -> NotTooOften<F> {
        NotTooOften { held_back: self.clone(), format }
    }

    fn is_to_be_said(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let of_program = metadata.target().starts_with(PROGRAM_TARGET);
        if (*metadata.level() > Level::WARN && !of_program) || metadata.target() == OWN_TARGET {
            return true;
        }
        let mut kind = Kind {
            place: metadata.callsite(),
            level: *metadata.level(),
            of: String::new(),
            message: String::new(),
        };
        event.record(&mut kind);
        let verdict = lock(&self.shared.lately).note(self.shared.start.elapsed(), &kind);
        if verdict == Err(1) {
            self.shared.is_first.notify_one();
        }
        self.shared.lines.add(u64::from(verdict.is_err()));
        verdict.is_ok()
    }

    /// Tells of what was held back at the end of each period, for as long as it is polled. Idle while nothing is.
    pub async fn say_in_time(self) {
        loop {
            let due = lock(&self.shared.lately).next_due();
            match due {
                Some(due) => {
                    tokio::time::sleep_until((self.shared.start + due).into()).await;
                    self.say(self.shared.start.elapsed());
                }
                None => self.shared.is_first.notified().await,
            }
        }
    }

    /// Tells of everything that was held back: the process ends.
    pub fn say_all(&self) {
        self.say(Duration::MAX);
    }

    fn say(&self, now: Duration) {
        let due = lock(&self.shared.lately).due(now);
        for (Kind { level, of, message, .. }, held_back) in due {
            let of = (!of.is_empty()).then_some(of);
            match level {
                Level::ERROR => {
                    tracing::error!(target: OWN_TARGET, of, held_back, "{held_back} more like this were held back: {message}");
                }
                Level::WARN => {
                    tracing::warn!(target: OWN_TARGET, of, held_back, "{held_back} more like this were held back: {message}");
                }
                _ => {
                    tracing::info!(target: OWN_TARGET, of, held_back, "{held_back} more like this were held back: {message}")
                }
            }
        }
    }
}

/// Whole after each call, so a panic elsewhere does not spoil it.
fn lock(limit: &Mutex<Limit<Kind>>) -> MutexGuard<'_, Limit<Kind>> {
    limit.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::DefaultGuard;
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    use super::super::tests::Written;
    use super::super::{LogFormat, layer};
    use super::*;

    /// A log of this thread, from `level` on.
    fn log(period: Duration, level: LevelFilter) -> (Written, HeldBack, DefaultGuard) {
        let (written, held_back) = (Written::default(), HeldBack::new(period));
        let layer = layer(LogFormat::Text, false, written.clone(), &held_back).with_filter(level);
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        (written, held_back, guard)
    }

    #[test]
    fn every_event_of_a_flood_is_said_or_counted() {
        let (written, held_back, _log) = log(PERIOD, LevelFilter::INFO);
        for bytes in 0..1_000 {
            for output in ["main", "spare"] {
                tracing::warn!(output, bytes, "an event is too large");
            }
            tracing::info!(bytes, "that is no warning");
            tracing::info!(target: "vrl::stdlib::log", bytes, "a program says");
        }
        held_back.say_all();
        let text = written.text();
        let count = |words: &str| text.lines().filter(|line| line.contains(words)).count();
        assert_eq!(count("that is no warning"), 1_000);
        assert_eq!(count("a program says bytes"), 10);
        assert_eq!(count("INFO 990 more like this were held back: a program says"), 1);
        for of in ["main", "spare"] {
            let said = count(&format!("WARN an event is too large output=\"{of}\""));
            assert!((1..100).contains(&said), "{text}");
            let told =
                format!("{} more like this were held back: an event is too large of=\"{of}\"", 1_000 - said);
            assert_eq!(count(&told), 1, "{told} is not in {text}");
        }
    }

    /// What the level hides is not counted.
    #[test]
    fn what_nobody_would_see_is_not_held_back() {
        let (written, held_back, _log) = log(PERIOD, LevelFilter::ERROR);
        (0..1_000).for_each(|_| tracing::warn!("hidden"));
        held_back.say_all();
        assert_eq!(written.text(), "");
    }

    #[tokio::test]
    async fn it_is_told_when_the_period_is_over_although_no_more_follow() {
        let (written, held_back, _log) = log(Duration::from_millis(30), LevelFilter::INFO);
        let teller = held_back.say_in_time();
        let flood = async {
            tokio::task::yield_now().await;
            (0..1_000).for_each(|_| tracing::error!(input = %"web", "no"));
            while !written.text().contains("ERROR 990 more like this were held back: no of=\"web\"") {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = teller => {}
            () = flood => {}
        }
    }
}
