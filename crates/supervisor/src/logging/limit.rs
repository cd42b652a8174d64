//! How often a warning may be repeated. Pure: time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Of a kind, so many are said in each period.
const SAID_MAX: u32 = 10;
/// What was said of each kind lately. Kinds are few: the places in the program that say something, and the names in the
/// configuration.
#[derive(Debug)]
pub(super) struct Limit<K> {
    /// It begins with the first one that is said. At its end stands how many were held back.
    period: Duration,
    kinds: HashMap<K, Lately>,
}

#[derive(Debug)]
struct Lately {
    until: Duration,
    said: u32,
    held_back: u64,
}

impl<K: Eq + Hash + Clone> Limit<K> {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, kinds: HashMap::new() }
    }

    /// Is one of this kind to be said now? If not, how many of it are held back with this one.
    pub(super) fn note(&mut self, now: Duration, kind: &K) -> Result<(), u64> {
        let lately = match self.kinds.get_mut(kind) {
            Some(lately) => lately,
            None => {
                let new = Lately { until: now + self.period, said: 0, held_back: 0 };
                self.kinds.entry(kind.clone()).or_insert(new)
            }
        };
        // What is held back stays so until `due` tells of it, however late that is.
        if lately.held_back == 0 && now >= lately.until {
            *lately = Lately { until: now + self.period, said: 0, held_back: 0 };
        }
        if lately.held_back == 0 && lately.said < SAID_MAX {
            lately.said += 1;
            return Ok(());
        }
        lately.held_back += 1;
        Err(lately.held_back)
    }

    /// When something has to be told that was held back.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.kinds.values().filter(|lately| lately.held_back > 0).map(|lately| lately.until).min()
    }

    /// What was held back in periods that are over at `now`, and how many of each kind. They count as told.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(K, u64)> {
        let mut due = Vec::new();
        self.kinds.retain(|kind, lately| {
            let is_over = now >= lately.until;
            if is_over && lately.held_back > 0 {
                due.push((kind.clone(), lately.held_back));
            }
            !is_over
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Duration = Duration::from_secs;

    fn fill(limit: &mut Limit<&'static str>, at: Duration) {
        for _ in 0..SAID_MAX {
            assert_eq!(limit.note(at, &"oversize"), Ok(()));
        }
    }

    #[test]
    fn what_is_held_back_is_counted_and_told_at_the_end_of_the_period() {
        let mut limit = Limit::new(AT(10));
        fill(&mut limit, AT(1));
        assert_eq!(limit.next_due(), None, "nothing is held back, so nobody has to wake up");
        assert_eq!(limit.note(AT(2), &"oversize"), Err(1));
        assert_eq!(limit.note(AT(2), &"oversize"), Err(2));
        assert_eq!(limit.note(AT(2), &"another"), Ok(()), "each kind has its own limit");
        assert_eq!(limit.next_due(), Some(AT(11)));
        assert_eq!(limit.due(AT(10)), []);
        assert_eq!(limit.due(AT(11)), [("oversize", 2)]);
        assert_eq!(limit.next_due(), None);
        fill(&mut limit, AT(11));
        assert_eq!(limit.note(AT(11), &"oversize"), Err(1));
    }

    #[test]
    fn nothing_is_forgotten_when_it_is_told_late() {
        let mut limit = Limit::new(AT(10));
        fill(&mut limit, AT(0));
        assert_eq!(limit.note(AT(1), &"oversize"), Err(1));
        assert_eq!(limit.note(AT(100), &"oversize"), Err(2));
        assert_eq!(limit.due(AT(101)), [("oversize", 2)]);
    }

    #[test]
    fn what_is_rare_is_never_held_back() {
        let mut limit = Limit::new(AT(10));
        for hour in 0..1000 {
            assert_eq!(limit.note(AT(3600 * hour), &"rare"), Ok(()));
        }
    }

    #[test]
    fn kinds_of_the_past_are_forgotten() {
        let mut limit = Limit::new(AT(10));
        for number in 0..100 {
            assert_eq!(limit.note(AT(number), &number), Ok(()));
        }
        limit.due(AT(1000));
        assert!(limit.kinds.is_empty());
    }
}
