//! What time a syslog message means. Pure, but for the rules of the local time zone.
//!
//! The old format has neither year nor zone. The library is told that all such times are UTC, and [`resolve`] makes the
//! moment of what was written.

use chrono::{DateTime, Datelike, FixedOffset, Local, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use syslog_loose::IncompleteDate;

use crate::config::checked::Zone;

/// A clock may be so much ahead of ours.
const AHEAD_MAX: TimeDelta = TimeDelta::days(1);

/// The year of a date without one: the last one in which it was not ahead of `now` by more than a day. A message of
/// December that comes in January is from the old year; one of January that comes in December is from a clock that is
/// ahead.
pub(super) fn year_of(date: IncompleteDate, now: NaiveDateTime) -> i32 {
    let (month, day, hour, minute, second) = date;
    let is_past = |year: &i32| {
        NaiveDate::from_ymd_opt(*year, month, day)
            .and_then(|date| date.and_hms_opt(hour, minute, second))
            .is_some_and(|written| written <= now + AHEAD_MAX)
    };
    let this = now.year();
    // The 29th of February was eight years ago at most.
    (this - 8..=this + 1).rev().find(is_past).unwrap_or(this)
}

/// What clocks of the zone show.
pub(super) fn wall_clock(zone: Zone, now: DateTime<Utc>) -> NaiveDateTime {
    match zone {
        Zone::Local => now.with_timezone(&Local).naive_local(),
        Zone::Fixed { minutes_east } => now.with_timezone(&east(minutes_east)).naive_local(),
    }
}

/// The moment at which clocks of the zone showed this.
pub(super) fn resolve(zone: Zone, written: NaiveDateTime) -> DateTime<Utc> {
    let moment = |written: &NaiveDateTime| match zone {
        Zone::Local => Local.from_local_datetime(written).earliest().map(|time| time.to_utc()),
        Zone::Fixed { minutes_east } => {
            east(minutes_east).from_local_datetime(written).single().map(|time| time.to_utc())
        }
    };
    // Where clocks are put forward, an hour of theirs does not exist.
    let before = written - TimeDelta::hours(1);
    moment(&written)
        .or_else(|| moment(&before).map(|time| time + TimeDelta::hours(1)))
        .unwrap_or_else(|| written.and_utc())
}

fn east(minutes: i16) -> FixedOffset {
    FixedOffset::east_opt(i32::from(minutes) * 60).expect("an offset of a zone is less than a day")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn years() {
        let check =
            |now: &str, date, expected| assert_eq!(year_of(date, at(now)), expected, "{now} {date:?}");
        check("2026-11-24T12:00:00", (11, 24, 11, 59, 59), 2026);
        check("2027-01-01T00:00:05", (12, 31, 23, 59, 59), 2026);
        check("2026-12-31T23:59:58", (1, 1, 0, 0, 1), 2027);
        check("2026-11-24T12:00:00", (11, 25, 11, 0, 0), 2026);
        check("2026-11-24T12:00:00", (12, 20, 0, 0, 0), 2025);
        check("2026-08-01T12:00:00", (1, 5, 0, 0, 0), 2026);
        check("2027-03-01T00:00:00", (2, 29, 0, 0, 0), 2024);
        // What is no date stays none.
        check("2026-11-24T12:00:00", (13, 32, 0, 0, 0), 2026);
    }

    #[test]
    fn zones() {
        let zone = Zone::Fixed { minutes_east: 330 };
        let written = at("2026-11-24T12:00:00");
        let moment = resolve(zone, written);
        assert_eq!(moment, at("2026-11-24T06:30:00").and_utc());
        assert_eq!(wall_clock(zone, moment), written);
        assert_eq!(wall_clock(Zone::Local, resolve(Zone::Local, written)), written);
    }
}
