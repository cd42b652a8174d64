//! The wall clock, and dates as text in the forms that HTTP and AWS use.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// 1970-01-01 was a Thursday.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY_MS: i64 = 86_400_000;

/// Milliseconds of Unix time, now.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A moment in UTC, taken apart.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    weekday: &'static str,
}

impl Civil {
    /// Counts in years that begin on 1 March, so that the leap day comes last
    /// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
    fn from_ms(ms: i64) -> Self {
        let days = ms.div_euclid(DAY_MS);
        let second_of_day = ms.rem_euclid(DAY_MS) / 1000;
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            weekday: WEEKDAYS.get(days.rem_euclid(7) as usize).copied().unwrap_or_default(),
        }
    }

    fn month_name(&self) -> &'static str {
        MONTHS.get((self.month - 1) as usize).copied().unwrap_or_default()
    }
}

/// `Thu, 01 Jan 1970 00:00:00 GMT`, as in the header `Date`.
pub(crate) fn http_date(ms: i64) -> String {
    let c = Civil::from_ms(ms);
    let (weekday, month) = (c.weekday, c.month_name());
    format!("{weekday}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT", c.day, c.year, c.hour, c.minute, c.second)
}

/// `Thu Jan 01 00:00:00 UTC 1970`, as in the service's messages.
pub(crate) fn message_date(ms: i64) -> String {
    let c = Civil::from_ms(ms);
    let (weekday, month) = (c.weekday, c.month_name());
    format!("{weekday} {month} {:02} {:02}:{:02}:{:02} UTC {:04}", c.day, c.hour, c.minute, c.second, c.year)
}

/// `19700101T000000Z`, as in signatures.
pub(crate) fn amz_date(ms: i64) -> String {
    let c = Civil::from_ms(ms);
    format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// `1970-01-01T00:00:00Z`, as in answers of STS.
pub(crate) fn iso_date(ms: i64) -> String {
    let c = Civil::from_ms(ms);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// Reads `19700101T000000Z`; none if it is anything else.
pub(crate) fn parse_amz_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok().filter(|n| *n >= 0);
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let from_march = if month > 2 { year } else { year - 1 };
    let era = from_march.div_euclid(400);
    let year_of_era = from_march.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(days * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(message_date(1_421_889_722_000), "Thu Jan 22 01:22:02 UTC 2015");
        assert_eq!(amz_date(951_782_400_999), "20000229T000000Z");
        assert_eq!(iso_date(4_107_542_399_000), "2100-02-28T23:59:59Z");
        assert_eq!(iso_date(4_107_542_400_000), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "20000229T000000",
            "20001329T000000Z",
            "2000-02-29T00:00Z",
            "20000229T250000Z",
            "é0000229T0000Z",
        ] {
            assert_eq!(parse_amz_date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn amz_dates_round_trip(seconds in 0_i64..=253_402_300_799) {
            prop_assert_eq!(parse_amz_date(&amz_date(seconds * 1000)), Some(seconds * 1000));
        }
    }
}
