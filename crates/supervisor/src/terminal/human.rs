//! Numbers and times as people read them. Exact ones are in the JSON that every command also gives.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use crate::config::units::Period;

pub use crate::config::units::approximate as bytes;

/// A count, with a comma every three digits.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of them: `1 batch`, `1,234 batches`.
#[must_use]
pub fn many(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

/// A stretch of time in its two largest units: `2 d 3 h`, `45 s`, `350 ms`.
#[must_use]
pub fn span(duration: Duration) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let seconds = duration.as_secs();
    let Some(at) = UNITS.iter().position(|&(_, unit)| seconds >= unit) else {
        return format!("{} ms", duration.as_millis());
    };
    let (name, unit) = UNITS[at];
    let whole = format!("{} {name}", seconds / unit);
    match UNITS.get(at + 1) {
        Some(&(smaller, part)) if seconds % unit >= part => {
            format!("{whole} {} {smaller}", seconds % unit / part)
        }
        _ => whole,
    }
}

/// How long before `now_ms` a time was; the clock of the machine that wrote it may have been ahead.
#[must_use]
pub fn age(time_ms: i64, now_ms: i64) -> String {
    let ago = now_ms.saturating_sub(time_ms);
    let apart = span(Duration::from_millis(ago.unsigned_abs()));
    if ago < 0 { format!("{apart} ahead") } else { apart }
}

/// A time in milliseconds since the Unix epoch, to the second, in UTC.
#[must_use]
pub fn time(time_ms: i64) -> String {
    match DateTime::<Utc>::from_timestamp_millis(time_ms) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        None => format!("{time_ms} ms since 1970"),
    }
}

/// A point in time on a command line, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeArg(pub i64);

/// What is written where a time is wanted and none is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a time; write one such as 2026-11-26T03:15:00Z, \"2026-11-26 03:15\" (UTC), @1764126900 (Unix seconds), or how \
     long ago it was, such as 2h or 30m"
)]
pub struct NotATime;

impl std::str::FromStr for TimeArg {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        parse_time(text, crate::clock::unix_ms()).map(Self).ok_or(NotATime)
    }
}

fn parse_time(text: &str, now_ms: i64) -> Option<i64> {
    if let Some(seconds) = text.strip_prefix('@') {
        let seconds: f64 = seconds.parse().ok()?;
        return (seconds.abs() < 1e13).then_some((seconds * 1000.0).round() as i64);
    }
    if let Ok(period) = text.parse::<Period>() {
        return now_ms.checked_sub(i64::try_from(period.0.as_millis()).ok()?);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    Some(time.or_else(day)?.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_spans_and_ages() {
        let counts = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        counts.iter().for_each(|&(number, text)| assert_eq!(count(number), text));
        let batches = [0, 1, 1_234].map(|number| many(number, "batch", "batches"));
        assert_eq!(batches, ["0 batches", "1 batch", "1,234 batches"]);
        let spans = [
            (0, "0 ms"),
            (350, "350 ms"),
            (45_000, "45 s"),
            (60_000, "1 min"),
            (61_999, "1 min 1 s"),
            (3_605_000, "1 h"),
            (2 * 86_400_000 + 3 * 3_600_000 + 59_000, "2 d 3 h"),
        ];
        spans.iter().for_each(|&(ms, text)| assert_eq!(span(Duration::from_millis(ms)), text));
        assert_eq!((age(1_000, 6_000).as_str(), age(6_000, 1_000).as_str()), ("5 s", "5 s ahead"));
        assert_eq!(time(1_764_126_900_999), "2025-11-26 03:15:00Z");
        assert_eq!(time(i64::MAX), "9223372036854775807 ms since 1970");
    }

    #[test]
    fn times_as_people_write_them() {
        let check = |text, expected| assert_eq!(parse_time(text, 10_000_000_000), expected, "{text}");
        for text in [
            "2025-11-26T03:15:00Z",
            "2025-11-26T04:15:00+01:00",
            "2025-11-26 03:15",
            "2025-11-26 03:15:00",
            "2025-11-26T03:15Z",
            "@1764126900",
        ] {
            check(text, Some(1_764_126_900_000));
        }
        check("2025-11-26", Some(1_764_115_200_000));
        check("@1764126900.5", Some(1_764_126_900_500));
        check("2h", Some(10_000_000_000 - 7_200_000));
        for nonsense in ["", "yesterday", "12", "2025-13-01", "@", "@1e99", "@NaN", "-2h"] {
            check(nonsense, None);
        }
    }
}
