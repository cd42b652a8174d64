//! What a person sees while a replay runs: a bar on a terminal, a line now and then elsewhere. All of it goes to standard
//! error; standard output is for the summary.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::pulse::Pulse;
use crate::output_state::Condition;
use crate::terminal::human;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is to be seen.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Events that are through, over all runs.
    pub events: u64,
    /// Time of the newest event in what was settled last.
    pub event_time_ms: Option<i64>,
    /// Where the way to the stream stands.
    pub condition: Condition,
    /// What went wrong last.
    pub reason: Option<Arc<str>>,
    /// How fast it goes.
    pub pulse: Pulse,
}

/// Where it is shown.
#[derive(Debug)]
pub struct Screen {
    /// Events that are to be sent, over all runs, as far as that can be told without reading all.
    events_total: u64,
    bar: Option<ProgressBar>,
    last_line: Instant,
    last_state: String,
}

impl Screen {
    /// A bar on a terminal, lines elsewhere.
    #[must_use]
    pub fn new(events_total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(events_total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:10} {percent:>3} % {wide_msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { events_total, bar, last_line: Instant::now(), last_state: String::new() }
    }

    /// Says something, once.
    pub fn say(&self, words: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| line(words)),
            None => line(words),
        }
    }

    /// The state has changed.
    pub fn changed(&mut self, picture: &Picture) {
        let state = state(picture);
        if state != self.last_state {
            self.say(&state);
            self.last_state = state;
        }
    }

    /// Time has passed.
    pub fn show(&mut self, picture: &Picture) {
        let total = self.events_total.max(picture.events);
        match &self.bar {
            Some(bar) => {
                if bar.length() != Some(total) {
                    bar.set_length(total);
                }
                // What matters most comes first: the end is cut off where the terminal is narrow.
                bar.set_message(format!("{}, {} events", pace(picture, total), human::count(picture.events)));
                bar.set_position(picture.events);
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let (events, of) = (human::count(picture.events), human::count(total));
                line(&format!("{events} of about {of} events, {}", pace(picture, total)));
            }
            None => {}
        }
    }

    /// Nothing more is shown.
    pub fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How fast, how long still, how far in the events' own time.
fn pace(picture: &Picture, events_total: u64) -> String {
    let mut words = format!("{}/s", human::count(picture.pulse.per_sec().round() as u64));
    if let Some(left) = picture.pulse.time_for(events_total - picture.events) {
        words += &format!(", {} left", human::span(Duration::from_secs(left.as_secs().max(1))));
    }
    if let Some(time_ms) = picture.event_time_ms {
        words += &format!(", at {}", human::time(time_ms));
    }
    words
}

/// The state in words.
fn state(picture: &Picture) -> String {
    let reason = picture.reason.as_deref();
    match picture.condition {
        Condition::Healthy => "sending at full speed".to_owned(),
        Condition::Throttled => "the service asks to slow down: sending slower".to_owned(),
        Condition::Recovering => "puts are accepted: sending more and more".to_owned(),
        Condition::Verifying => "verifying the shards, then one batch".to_owned(),
        Condition::Paused => "paused".to_owned(),
        Condition::Unhealthy => match reason {
            Some(reason) => format!("waiting, and trying again until it works: {reason}"),
            None => "looking at the stream".to_owned(),
        },
    }
}

/// Whoever has closed standard error does not want to see it.
fn line(words: &str) {
    writeln!(std::io::stderr(), "replay: {words}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_how_much_how_fast_and_how_long() {
        let mut pulse = Pulse::default();
        pulse.look(Duration::ZERO, 0);
        pulse.look(Duration::from_secs(2), 2_500);
        let picture = Picture {
            events: 2_500,
            event_time_ms: Some(1_764_126_900_000),
            condition: Condition::Unhealthy,
            reason: Some("PutRecord: connection refused".into()),
            pulse,
        };
        assert_eq!(pace(&picture, 152_500), "1,250/s, 2 min left, at 2025-11-26 03:15:00Z");
        assert_eq!(pace(&picture, 2_501), "1,250/s, 1 s left, at 2025-11-26 03:15:00Z");
        assert_eq!(
            state(&picture),
            "waiting, and trying again until it works: PutRecord: connection refused"
        );
    }
}
