//! Numbers and sizes as Cribl writes them: plain JavaScript numbers, and `5GB` meaning powers of 1024.

use crate::config::units::Size;

/// Units of a size in Cribl, whatever their case, with the binary unit that each one means.
const UNITS: [(&str, &str, u64); 6] =
    [("", "B", 1), ("K", "KiB", 1), ("M", "MiB", 1), ("G", "GiB", 1), ("T", "TiB", 1), ("P", "TiB", 1024)];

/// A number without a sign, with or without decimals.
pub(super) fn is_number(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(decimals)
}

/// The whole part of a number; the largest there is for one beyond it.
pub(super) fn whole(number: &str) -> u64 {
    let whole = number.split_once('.').map_or(number, |(whole, _)| whole);
    whole.parse().unwrap_or(u64::MAX)
}

/// Whether a number is this whole one.
pub(super) fn is_exactly(number: &str, expected: u64) -> bool {
    let decimals = number.split_once('.').map_or("", |(_, decimals)| decimals);
    whole(number) == expected && decimals.bytes().all(|digit| digit == b'0')
}

/// The bytes of a size; the largest there is for one beyond it. A number alone means bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_uppercase();
    // `5G`, `5GB` and `5GiB` are the same to Cribl.
    let prefix = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let &(_, binary, times) = UNITS.iter().find(|(letter, ..)| *letter == prefix)?;
    if !is_number(number) {
        return None;
    }
    let exact = format!("{number} {binary}").parse::<Size>().ok().map(|Size(bytes)| bytes);
    let bytes = exact.and_then(|bytes| bytes.checked_mul(times));
    Some(bytes.unwrap_or_else(|| whole(number).saturating_mul(u64::MAX / 1024)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_binary() {
        for (text, expected) in [
            ("5GB", Some(5 << 30)),
            ("1 MB", Some(1 << 20)),
            ("1.5GB", Some(3 << 29)),
            ("100 kb", Some(100 << 10)),
            ("10M", Some(10 << 20)),
            ("2TB", Some(2 << 40)),
            ("1 PB", Some(1 << 50)),
            ("3 GiB", Some(3 << 30)),
            ("4096", Some(4096)),
            ("512 B", Some(512)),
            ("0", Some(0)),
            ("99999999999999999999 TB", Some(u64::MAX)),
            ("", None),
            ("GB", None),
            ("-1 MB", None),
            ("1.2.3 MB", None),
            ("5 parsecs", None),
            ("5 GBB", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers() {
        for good in ["0", "5", "0.5", "20000", "007"] {
            assert!(is_number(good), "{good}");
        }
        for bad in ["", "-1", "+1", "1e3", ".5", "5.", "1.2.3", "five", "0x10", "١"] {
            assert!(!is_number(bad), "{bad}");
        }
        assert_eq!(whole("20000"), 20_000);
        assert_eq!(whole("4.9"), 4);
        assert!(is_exactly("4.0", 4) && is_exactly("4", 4) && !is_exactly("4.9", 4) && !is_exactly("5", 4));
        assert_eq!(whole("99999999999999999999"), u64::MAX);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, number in "[0-9.]{0,30}[ kKMGTPiB]{0,4}") {
            prop_assert_eq!(size(&text), size(text.trim()));
            prop_assert!(size(&number).is_none() || number.starts_with(|c: char| c.is_ascii_digit()));
        }
    }
}
