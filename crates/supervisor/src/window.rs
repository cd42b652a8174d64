//! How many puts may be in flight while the service throttles: additive increase, multiplicative decrease. Pure.

use std::time::Duration;

/// After a decrease, further throttling of puts that were already in flight says nothing new for this long.
const DECREASE_EVERY: Duration = Duration::from_millis(100);

/// The number of puts that may be in flight.
#[derive(Debug, Clone)]
pub struct Window {
    limit: f64,
    max: f64,
    decreased_at: Option<Duration>,
}

impl Window {
    /// Starts fully open.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self { limit: f64::from(max), max: f64::from(max), decreased_at: None }
    }

    /// Puts that may be in flight, at least one.
    #[must_use]
    pub fn limit(&self) -> u32 {
        // In range: the limit lies between 1 and `max`, which came from a u32.
        self.limit as u32
    }

    /// Is the window narrower than it could be?
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.limit < self.max
    }

    /// What of it matters for all that can come.
    #[cfg(test)]
    pub(crate) fn shape(&self, now: Duration) -> (u64, bool) {
        let settled = self.decreased_at.is_none_or(|at| now.saturating_sub(at) >= DECREASE_EVERY);
        (self.limit.to_bits(), settled)
    }

    /// A put was accepted whole: a little wider, by about one per window's worth of puts.
    pub fn on_accepted(&mut self) {
        self.limit = (self.limit + 1.0 / self.limit).min(self.max);
    }

    /// A put was throttled, in part or whole: half as wide.
    pub fn on_throttled(&mut self, now: Duration) {
        let settled = self.decreased_at.is_none_or(|at| now.saturating_sub(at) >= DECREASE_EVERY);
        if settled {
            self.limit = (self.limit / 2.0).max(1.0);
            self.decreased_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::golden;

    /// Every event in every width: `fixtures/transitions/window.txt`.
    #[test]
    fn every_event_at_every_width() {
        let mut table =
            "The window of an output with 8 permits: puts that may be in flight after each event.\n\n\
                         width   accepted   throttled   throttled within 100 ms of the last time\n"
                .to_owned();
        let (last, soon, later) = (Duration::ZERO, DECREASE_EVERY / 2, DECREASE_EVERY);
        for width in 1..=8 {
            let at = Window { limit: f64::from(width), max: 8.0, decreased_at: Some(last) };
            let after = |happen: &dyn Fn(&mut Window)| {
                let mut window = at.clone();
                happen(&mut window);
                window.limit
            };
            let accepted = after(&Window::on_accepted);
            let throttled = after(&|window| window.on_throttled(later));
            let again = after(&|window| window.on_throttled(soon));
            writeln!(table, "{width:5} {accepted:10.2} {throttled:11.2} {again:11.2}").unwrap();
        }
        golden::check("transitions/window.txt", &table);
    }

    #[test]
    fn halves_once_per_round_and_recovers_fully() {
        let mut window = Window::new(8);
        for _ in 0..8 {
            window.on_throttled(Duration::from_secs(1));
        }
        assert_eq!(window.limit(), 4, "eight puts of one round count once");
        for second in 2..10 {
            window.on_throttled(Duration::from_secs(second));
        }
        assert_eq!(window.limit(), 1, "never nothing");
        let mut puts = 0;
        while window.is_narrow() {
            window.on_accepted();
            puts += 1;
        }
        assert_eq!(window.limit(), 8);
        assert!((20..100).contains(&puts), "{puts} accepted puts to recover");
    }
}
