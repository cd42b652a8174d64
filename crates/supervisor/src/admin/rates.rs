//! How long until a queue is empty, by what has changed since it was last looked at. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Looks closer together than this say more about chance than about the rate.
const APART_MIN: Duration = Duration::from_secs(1);
/// What was seen longer ago says nothing about now.
const APART_MAX: Duration = Duration::from_secs(600);
/// Looks are kept only so far apart: there are a dozen of them at most, however often somebody asks.
const KEPT_APART: Duration = Duration::from_millis(100);

/// What was seen of each output.
#[derive(Debug, Default)]
pub(super) struct Rates {
    seen: HashMap<String, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When how many events were queued; the oldest first, and only the first one may be older than [`APART_MIN`].
    looks: VecDeque<(Instant, u64)>,
    /// What the last two looks said that were far enough apart.
    per_second: Option<f64>,
}

impl Rates {
    /// By how many events a second the queue becomes shorter; nothing if it does not, or if that is not known yet.
    pub(super) fn drained(&mut self, output: &str, at: Instant, events: u64) -> Option<f64> {
        self.seen.entry(output.to_owned()).or_default().look(at, events)
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.seen.retain(|output, _| is_there(output));
    }
}

impl Seen {
    fn look(&mut self, at: Instant, events: u64) -> Option<f64> {
        let apart = |look: &(Instant, u64)| at.saturating_duration_since(look.0);
        while self.looks.get(1).is_some_and(|second| apart(second) >= APART_MIN) {
            self.looks.pop_front();
        }
        match self.looks.front() {
            Some(look) if apart(look) < APART_MIN => {}
            Some(look) if apart(look) <= APART_MAX => {
                let fewer = look.1.saturating_sub(events);
                self.per_second = (fewer > 0).then(|| fewer as f64 / apart(look).as_secs_f64());
            }
            _ => self.per_second = None,
        }
        if self.looks.back().is_none_or(|last| apart(last) >= KEPT_APART) {
            self.looks.push_back((at, events));
        }
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_known_from_the_second_look_on() {
        let mut rates = Rates::default();
        let start = Instant::now();
        let mut look =
            |after: f64, events| rates.drained("main", start + Duration::from_secs_f64(after), events);
        assert_eq!(look(0.0, 1000), None);
        assert_eq!(look(0.5, 950), None, "too close");
        assert_eq!(look(2.0, 800), Some(100.0));
        assert_eq!(look(2.5, 700), Some(125.0), "since the last one that is a second ago");
        assert_eq!(look(4.0, 900), None, "it grows");
        assert_eq!(look(5.0, 900), None);
        assert_eq!(look(6.0, 890), Some(10.0));
        assert_eq!(look(1000.0, 0), None, "too long ago");
        rates.keep(|output| output != "main");
        assert_eq!(rates.drained("main", start + Duration::from_secs(1002), 0), None);
        assert_eq!(rates.seen.len(), 1);
    }

    /// Whoever asks twice knows, whatever was seen before that.
    #[test]
    fn two_looks_a_second_apart_are_enough() {
        let mut seen = Seen::default();
        let start = Instant::now();
        let mut look = |after_ms: u64, events| seen.look(start + Duration::from_millis(after_ms), events);
        assert_eq!(look(0, 0), None);
        assert_eq!(look(300, 3000), None, "it has grown");
        assert_eq!(look(900, 2900), None, "too close");
        assert_eq!(look(1900, 1900), Some(1000.0));
        // However often it is looked at, few looks are kept.
        for after_ms in 1901..9000 {
            look(after_ms, 1000);
        }
        assert!(seen.looks.len() <= 12, "{}", seen.looks.len());
    }
}
