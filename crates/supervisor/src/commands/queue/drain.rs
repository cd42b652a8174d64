//! Whether a queue is draining, and when it will be through. Pure.

use millpond_queue::Tally;

/// A cursor that was written longer ago than this belongs to a queue that does not move: a forwarder that drains writes
/// it every second.
const RECENT_MS: i64 = 10_000;
/// The times of files are exact to some milliseconds: two saves that are nearer say nothing.
const APART_MS_MIN: i64 = 100;
/// Two saves further apart than this have something else between them than the drain of now.
const APART_MS_MAX: i64 = 30_000;

/// Where the queue's own consumer was when its cursor was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    /// When that was, by the file: milliseconds since the Unix epoch.
    pub(super) at_ms: i64,
    /// Rises by one with each save.
    pub(super) generation: u64,
    /// Batches that were settled, and events in them.
    pub(super) settled: Tally,
    /// Batches that were durable.
    pub(super) durable: u64,
}

/// What is known of a drain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Drain {
    /// There is nothing to drain.
    Empty,
    /// What is on disk does not say.
    Unknown,
    /// Nothing goes out.
    Still {
        /// Since when, in milliseconds since the Unix epoch; `None`: since the queue began.
        since_ms: Option<i64>,
    },
    /// It goes out.
    Moving(Pace),
}

/// How fast it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// Batches settled a second.
    pub(super) out_batches: f64,
    /// Events settled a second.
    pub(super) out_events: f64,
    /// Batches appended a second.
    pub(super) in_batches: f64,
    /// How long it takes at this pace, in seconds; `None`: it does not become shorter.
    pub(super) left_secs: Option<f64>,
}

/// Judges by the last two saves.
pub(super) fn by_last_saves(
    earlier: Option<Sight>,
    later: Option<Sight>,
    pending_batches: u64,
    now_ms: i64,
) -> Drain {
    match (earlier, later) {
        _ if pending_batches == 0 => Drain::Empty,
        (_, Some(later)) if now_ms.saturating_sub(later.at_ms) > RECENT_MS => {
            Drain::Still { since_ms: Some(later.at_ms) }
        }
        (Some(earlier), Some(later))
            if (APART_MS_MIN..=APART_MS_MAX).contains(&(later.at_ms - earlier.at_ms)) =>
        {
            between(earlier, later, pending_batches)
        }
        // Whatever goes out is in the cursor a second later.
        (None, None) => Drain::Still { since_ms: None },
        _ => Drain::Unknown,
    }
}

/// Judges by two looks, some time apart.
pub(super) fn by_two_looks(before: Option<Sight>, after: Option<Sight>, pending_batches: u64) -> Drain {
    match (before, after) {
        _ if pending_batches == 0 => Drain::Empty,
        (Some(before), Some(after)) if before.generation == after.generation => {
            Drain::Still { since_ms: Some(after.at_ms) }
        }
        (Some(before), Some(after)) => between(before, after, pending_batches),
        (None, None) => Drain::Still { since_ms: None },
        _ => Drain::Unknown,
    }
}

fn between(earlier: Sight, later: Sight, pending_batches: u64) -> Drain {
    // Files that were copied have the times of the copy; a clock may have been set back.
    let Some(apart_ms) = u32::try_from(later.at_ms - earlier.at_ms).ok().filter(|&ms| ms > 0) else {
        return Drain::Unknown;
    };
    let per_second = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1000.0 / f64::from(apart_ms);
    let out_batches = per_second(earlier.settled.batches, later.settled.batches);
    let in_batches = per_second(earlier.durable, later.durable);
    if out_batches == 0.0 {
        return Drain::Still { since_ms: Some(earlier.at_ms) };
    }
    let shrinks = out_batches - in_batches;
    Drain::Moving(Pace {
        out_batches,
        out_events: per_second(earlier.settled.events, later.settled.events),
        in_batches,
        left_secs: (shrinks > 0.0).then(|| pending_batches as f64 / shrinks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn sight(ago_ms: i64, generation: u64, settled: u64, durable: u64) -> Option<Sight> {
        let settled = Tally { batches: settled, events: 10 * settled, ..Tally::default() };
        Some(Sight { at_ms: NOW_MS - ago_ms, generation, settled, durable })
    }

    #[test]
    fn the_last_two_saves_say_how_fast_it_goes() {
        let check = |earlier, later, pending, expected: Drain| {
            assert_eq!(
                by_last_saves(earlier, later, pending, NOW_MS),
                expected,
                "{earlier:?} {later:?} {pending}"
            );
        };
        let pace = |out_batches, in_batches, left_secs| {
            Drain::Moving(Pace { out_batches, out_events: 10.0 * out_batches, in_batches, left_secs })
        };
        check(sight(1_500, 1, 100, 900), sight(500, 2, 150, 910), 800, pace(50.0, 10.0, Some(20.0)));
        check(sight(2_500, 1, 100, 900), sight(500, 2, 150, 990), 800, pace(25.0, 45.0, None));
        check(sight(1_500, 1, 100, 900), sight(500, 2, 150, 910), 0, Drain::Empty);
        let still = |ago_ms| Drain::Still { since_ms: Some(NOW_MS - ago_ms) };
        check(sight(21_000, 1, 100, 900), sight(20_000, 2, 150, 910), 800, still(20_000));
        check(sight(1_500, 1, 100, 900), sight(500, 2, 100, 910), 800, still(1_500));
        // After a pause, the two saves have the pause between them.
        check(sight(60_000, 1, 100, 900), sight(500, 2, 150, 910), 800, Drain::Unknown);
        check(sight(550, 1, 100, 900), sight(500, 2, 150, 910), 800, Drain::Unknown);
        check(None, sight(500, 2, 150, 910), 800, Drain::Unknown);
        check(None, None, 800, Drain::Still { since_ms: None });
        // A copy of the files.
        check(sight(500, 1, 100, 900), sight(500, 2, 150, 910), 800, Drain::Unknown);
        check(sight(500, 1, 100, 900), sight(900, 2, 150, 910), 800, Drain::Unknown);
    }

    #[test]
    fn two_looks_say_it_too() {
        let Drain::Moving(pace) = by_two_looks(sight(90_000, 1, 100, 900), sight(80_000, 9, 200, 900), 50)
        else {
            panic!("it moves");
        };
        assert_eq!((pace.out_batches, pace.left_secs), (10.0, Some(5.0)));
        let still = by_two_looks(sight(500, 1, 100, 900), sight(500, 1, 100, 900), 50);
        assert_eq!(still, Drain::Still { since_ms: Some(NOW_MS - 500) });
        assert_eq!(by_two_looks(None, sight(500, 1, 100, 900), 50), Drain::Unknown);
    }
}
