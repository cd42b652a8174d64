//! How long until a queue is empty, by what has changed since it was last looked at. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Looks closer together than this say more about chance than about the rate.
const APART_MIN: Duration = Duration::from_secs(1);
/// What was seen longer ago says nothing about now.
const APART_MAX: Duration = Duration::from_secs(600);

/// What was seen of each output.
#[derive(Debug, Default)]
pub(super) struct Rates {
    seen: HashMap<String, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    events: u64,
    /// What the last two looks said.
    per_second: Option<f64>,
}

impl Rates {
    /// By how many events a second the queue becomes shorter; nothing if it does not, or if that is not known yet.
    pub(super) fn drained(&mut self, output: &str, at: Instant, events: u64) -> Option<f64> {
        let seen = self.seen.get(output).copied();
        let apart = seen.map(|seen| at.saturating_duration_since(seen.at));
        let per_second = match (seen, apart) {
            (Some(seen), Some(apart)) if apart < APART_MIN => return seen.per_second,
            (Some(seen), Some(apart)) if apart <= APART_MAX => {
                let fewer = seen.events.saturating_sub(events);
                (fewer > 0).then(|| fewer as f64 / apart.as_secs_f64())
            }
            _ => None,
        };
        self.seen.insert(output.to_owned(), Seen { at, events, per_second });
        per_second
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.seen.retain(|output, _| is_there(output));
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
        assert_eq!(look(0.9, 10), None, "too close");
        assert_eq!(look(2.0, 800), Some(100.0));
        assert_eq!(look(2.5, 0), Some(100.0), "the last that is known");
        assert_eq!(look(4.0, 900), None, "it grows");
        assert_eq!(look(5.0, 900), None);
        assert_eq!(look(6.0, 890), Some(10.0));
        assert_eq!(look(1000.0, 0), None, "too long ago");
        rates.keep(|output| output != "main");
        assert_eq!(rates.drained("main", start + Duration::from_secs(1002), 0), None);
        assert_eq!(rates.seen.len(), 1);
    }
}
