//! Failures in the log: rate-limited per kind, never suppressed altogether.

use std::collections::HashMap;
use std::time::Duration;

/// A kind of failure is said again after this long at the earliest.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Kinds that are told apart. The service could make up any number of codes.
const KINDS_MAX: usize = 64;

/// Remembers what was said. Pure: time is an argument.
#[derive(Debug, Default)]
pub struct FailureLog {
    kinds: HashMap<String, Said>,
}

#[derive(Debug)]
struct Said {
    at: Duration,
    held_back: u64,
}

impl FailureLog {
    /// A failure of this kind happened. `Some(n)`: say it, and that `n` like it were held back since it was last said.
    pub fn note(&mut self, now: Duration, kind: &str) -> Option<u64> {
        if let Some(said) = self.kinds.get_mut(kind) {
            if now.saturating_sub(said.at) < SAY_EVERY {
                said.held_back += 1;
                return None;
            }
            let held_back = std::mem::take(&mut said.held_back);
            said.at = now;
            return Some(held_back);
        }
        if self.kinds.len() >= KINDS_MAX {
            self.kinds.clear();
        }
        self.kinds.insert(kind.to_owned(), Said { at: now, held_back: 0 });
        Some(0)
    }

    /// All is well again: the next failure of any kind is news. Gives what was held back, by kind.
    pub fn clear(&mut self) -> Vec<(String, u64)> {
        let held_back = |(kind, said): (String, Said)| (said.held_back > 0).then_some((kind, said.held_back));
        self.kinds.drain().filter_map(held_back).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_first_of_each_kind_and_then_counts() {
        let mut log = FailureLog::default();
        let at = Duration::from_secs;
        assert_eq!(log.note(at(1), "dns"), Some(0));
        assert_eq!(log.note(at(2), "dns"), None);
        assert_eq!(log.note(at(2), "AccessDeniedException"), Some(0));
        assert_eq!(log.note(at(10), "dns"), None);
        assert_eq!(log.note(at(11), "dns"), Some(2));
        assert_eq!(log.note(at(12), "dns"), None);
        assert_eq!(log.clear(), [("dns".to_owned(), 1)]);
        assert_eq!(log.note(at(12), "dns"), Some(0));
    }

    #[test]
    fn made_up_kinds_do_not_grow_it_for_ever() {
        let mut log = FailureLog::default();
        for n in 0..10_000 {
            assert_eq!(log.note(Duration::ZERO, &n.to_string()), Some(0));
        }
        assert!(log.kinds.len() <= KINDS_MAX);
    }
}
