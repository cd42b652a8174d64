//! Sizes and periods as people write them: `5 GiB`, `100ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What is wrong with a value, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct Fault {
    /// What is wrong with it, as a phrase that follows the value.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

impl Fault {
    /// A fault from its two halves.
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Units of a size, the largest first; of several that fit, the first one is printed.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = Fault;

    /// A number, decimals allowed, and a unit with or without a space between them.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let (number, unit) = split_number(text).ok_or_else(|| {
            Fault::new("is not a size", "write a number and a unit, such as \"5 GiB\" or \"512 KiB\"")
        })?;
        let bytes = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|&(_, bytes)| bytes);
        let bytes = bytes.ok_or_else(|| unknown_size_unit(number, unit))?;
        scale(number, bytes).map(Self).ok_or_else(|| {
            Fault::new("is not a whole number of bytes below 16 EiB", "write a smaller or rounder size")
        })
    }
}

/// A size whose unit is missing or misspelt gets the two readings it may have been meant as.
fn unknown_size_unit(number: &str, unit: &str) -> Fault {
    const UNITS: &str =
        "units are B, KB, MB, GB, TB (powers of 1000) and KiB, MiB, GiB, TiB (powers of 1024)";
    let prefix = unit.chars().next().map(|first| first.to_ascii_uppercase());
    match prefix {
        None => Fault::new(
            "has no unit",
            format!("write \"{number} MiB\" or \"{number} B\", whichever is meant; {UNITS}"),
        ),
        Some(prefix @ ('K' | 'M' | 'G' | 'T')) => Fault::new(
            format!("has an unknown unit `{unit}`"),
            format!(
                "did you mean \"{number} {prefix}iB\" (powers of 1024) or \"{number} {prefix}B\" (powers of 1000)?"
            ),
        ),
        Some(_) => Fault::new(format!("has an unknown unit `{unit}`"), UNITS),
    }
}

impl fmt::Display for Size {
    /// The exact size in the largest unit that gives a whole number; what is written can be read back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |&&(_, bytes): &&(&str, u64)| self.0 >= bytes && self.0.is_multiple_of(bytes);
        match SIZE_UNITS.iter().find(fits) {
            Some((name, bytes)) => write!(f, "{} {name}", self.0 / bytes),
            None => f.write_str("0 B"),
        }
    }
}

/// A size as people read it, to a tenth of the largest binary unit.
#[must_use]
pub fn approximate(bytes: u64) -> String {
    let units = SIZE_UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
    match units.copied().find(|&(_, unit)| bytes >= unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// Units of a period in milliseconds, the largest first.
const PERIOD_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Period {
    type Err = Fault;

    /// A number, decimals allowed, and a unit with or without a space between them; whole milliseconds.
    fn from_str(text: &str) -> Result<Self, Fault> {
        const UNITS: &str = "units are ms, s, m (minutes), h and d";
        let (number, unit) = split_number(text).ok_or_else(|| {
            Fault::new(
                "is not a duration",
                "write a number and a unit, such as \"30s\", \"12h\" or \"100ms\"",
            )
        })?;
        let known = PERIOD_UNITS.iter().find(|(name, _)| *name == unit);
        let Some(&(_, milliseconds)) = known else {
            return Err(unknown_period_unit(number, unit, UNITS));
        };
        scale(number, milliseconds).map(|milliseconds| Self(Duration::from_millis(milliseconds))).ok_or_else(
            || {
                Fault::new(
                    "is not a whole number of milliseconds",
                    format!("write a rounder duration; {UNITS}"),
                )
            },
        )
    }
}

fn unknown_period_unit(number: &str, unit: &str, units: &str) -> Fault {
    let meant = match unit {
        "" => return Fault::new("has no unit", format!("write \"{number}s\" if seconds are meant; {units}")),
        "sec" | "secs" | "second" | "seconds" | "S" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" | "hr" | "H" => "h",
        "day" | "days" | "D" => "d",
        "msec" | "millis" | "milliseconds" | "MS" => "ms",
        _ => return Fault::new(format!("has an unknown unit `{unit}`"), units),
    };
    Fault::new(format!("has an unknown unit `{unit}`"), format!("did you mean \"{number}{meant}\"?"))
}

impl fmt::Display for Period {
    /// The exact period in the largest unit that gives a whole number; what is written can be read back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let fits =
            |&&(_, unit): &&(&str, u64)| milliseconds > 0 && milliseconds.is_multiple_of(u128::from(unit));
        match PERIOD_UNITS.iter().find(fits) {
            Some((name, unit)) => write!(f, "{}{name}", milliseconds / u128::from(*unit)),
            None => f.write_str("0s"),
        }
    }
}

/// Splits `1.5 GiB` into `1.5` and `GiB`; nothing when it does not start with a number.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    (!whole.is_empty() && !decimals.is_empty() && !decimals.contains('.'))
        .then_some((number, unit.trim_start()))
}

/// `number * unit`, exact, or nothing.
fn scale(number: &str, unit: u64) -> Option<u64> {
    const DIGITS_MAX: usize = 20;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let decimals = decimals.trim_end_matches('0');
    if whole.len() + decimals.len() > DIGITS_MAX {
        return None;
    }
    let digits: u128 = format!("{whole}{decimals}").parse().ok()?;
    let divisor = 10_u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let scaled = digits.checked_mul(u128::from(unit))?;
    if !scaled.is_multiple_of(divisor) {
        return None;
    }
    u64::try_from(scaled / divisor).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_size(text: &str, expected: Result<u64, &str>) {
        let read = text.parse::<Size>().map(|size| size.0).map_err(|fault| fault.to_string());
        assert_eq!(read, expected.map_err(str::to_owned), "{text}");
    }

    #[track_caller]
    fn check_period(text: &str, expected: Result<u64, &str>) {
        let read = text.parse::<Period>().map_err(|fault| fault.to_string());
        let expected = expected.map(|ms| Period(Duration::from_millis(ms))).map_err(str::to_owned);
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn sizes() {
        check_size("5 GiB", Ok(5 << 30));
        check_size("1 MB", Ok(1_000_000));
        check_size("1024 KiB", Ok(1 << 20));
        check_size("1024KiB", Ok(1 << 20));
        check_size("1.5 GiB", Ok(3 << 29));
        check_size("2 kB", Ok(2000));
        check_size("0 B", Ok(0));
        let not_a_size = "is not a size; write a number and a unit, such as \"5 GiB\" or \"512 KiB\"";
        for text in ["", "GiB", "-1 MiB", ". MiB", "1. MiB", "1.2.3 MiB", "one MiB"] {
            check_size(text, Err(not_a_size));
        }
        check_size(
            "5 gb",
            Err(
                "has an unknown unit `gb`; did you mean \"5 GiB\" (powers of 1024) or \"5 GB\" (powers of 1000)?",
            ),
        );
        let units = "units are B, KB, MB, GB, TB (powers of 1000) and KiB, MiB, GiB, TiB (powers of 1024)";
        check_size(
            "64",
            Err(&format!("has no unit; write \"64 MiB\" or \"64 B\", whichever is meant; {units}")),
        );
        check_size("5 parsecs", Err(&format!("has an unknown unit `parsecs`; {units}")));
        let uneven = "is not a whole number of bytes below 16 EiB; write a smaller or rounder size";
        check_size("0.3 B", Err(uneven));
        check_size("99999999999999 TiB", Err(uneven));
        check_size("99999999999999999999999999999999999999999999999 TiB", Err(uneven));
    }

    #[test]
    fn periods() {
        check_period("30s", Ok(30_000));
        check_period("12h", Ok(43_200_000));
        check_period("100ms", Ok(100));
        check_period("1.5 s", Ok(1_500));
        check_period("10m", Ok(600_000));
        check_period("2d", Ok(172_800_000));
        let units = "units are ms, s, m (minutes), h and d";
        check_period("60", Err(&format!("has no unit; write \"60s\" if seconds are meant; {units}")));
        check_period("10min", Err("has an unknown unit `min`; did you mean \"10m\"?"));
        check_period("3 weeks", Err(&format!("has an unknown unit `weeks`; {units}")));
        check_period(
            "soon",
            Err("is not a duration; write a number and a unit, such as \"30s\", \"12h\" or \"100ms\""),
        );
        check_period(
            "0.5ms",
            Err(&format!("is not a whole number of milliseconds; write a rounder duration; {units}")),
        );
    }

    #[test]
    fn the_largest_whole_unit_is_printed() {
        for text in ["5 GiB", "16 MiB", "1 MB", "1023 B", "0 B", "1500 KB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!(Size(1024 * 1024).to_string(), "1 MiB");
        for text in ["1s", "90s", "12h", "100ms", "1500ms", "0s", "1d"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn approximate_sizes() {
        assert_eq!(approximate(1023), "1023 B");
        assert_eq!(approximate(1536), "1.5 KiB");
        assert_eq!(approximate((12 << 30) + (340 << 20)), "12.3 GiB");
        assert_eq!(approximate(u64::MAX), "16777215.9 TiB");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bytes: u64, milliseconds in 0..u64::from(u32::MAX)) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
            let period = Period(Duration::from_millis(milliseconds));
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }

        #[test]
        fn no_text_panics(text: String) {
            prop_assert_eq!(text.parse::<Size>().is_ok(), text.parse::<Size>().is_ok());
            prop_assert_eq!(text.parse::<Period>().is_ok(), text.parse::<Period>().is_ok());
        }
    }
}
