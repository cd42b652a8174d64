//! A small plot of numbers over time, in characters. Pure.

use crate::terminal::human;

const COLUMNS: usize = 64;
const ROWS: usize = 4;

/// Events, and the time that they are from: first and last, in milliseconds since the Unix epoch.
pub(super) type Stretch = (i64, i64, u64);

/// How the plot may be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// Blocks of eight heights.
    Blocks,
    /// Where the terminal does not know them.
    Ascii,
}

impl Ink {
    /// What the locale allows, by the variables that say so, the first one that is set.
    pub(super) fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
        let is_utf8 = |locale: String| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        };
        if locale.is_some_and(is_utf8) { Self::Blocks } else { Self::Ascii }
    }
}

/// Events over time: the events of a stretch are spread evenly over it. Nothing, where there is no time to speak of.
pub(super) fn draw(stretches: &[Stretch], ink: Ink) -> Option<String> {
    let first = stretches.iter().map(|&(first, ..)| first).min()?;
    let last = stretches.iter().map(|&(_, last, _)| last).max()?;
    if last <= first {
        return None;
    }
    let columns = spread(stretches, first, last);
    let most = columns.iter().copied().fold(0.0, f64::max);
    let mut text = String::new();
    for row in (0..ROWS).rev() {
        let label = if row == ROWS - 1 { human::count(most.ceil() as u64) } else { String::new() };
        let line: String = columns.iter().map(|&events| cell(events / most, row, ink)).collect();
        text.push_str(format!("{label:>11} {line}").trim_end());
        text.push('\n');
    }
    let (from, to) = (human::time(first), human::time(last));
    let width = COLUMNS.saturating_sub(from.chars().count());
    text.push_str(&format!("{:>11} {from}{to:>width$}\n", ""));
    Some(text)
}

/// Events by column.
fn spread(stretches: &[Stretch], first: i64, last: i64) -> Vec<f64> {
    let mut columns = vec![0.0; COLUMNS];
    // As floats, since times from forged files may be anywhere.
    let column_ms = (last as f64 - first as f64) / COLUMNS as f64;
    let place = |time: i64| ((time as f64 - first as f64) / column_ms).clamp(0.0, COLUMNS as f64);
    for &(from, to, events) in stretches {
        let (from, to) = (place(from), place(to.max(from)));
        let (begin, end) =
            (from as usize, (to.ceil() as usize).clamp(from as usize + 1, COLUMNS.max(from as usize + 1)));
        for (column, sum) in columns.iter_mut().enumerate().take(end).skip(begin.min(COLUMNS - 1)) {
            let overlap = (to.min(column as f64 + 1.0) - from.max(column as f64)).max(0.0);
            *sum += if to > from { events as f64 * overlap / (to - from) } else { events as f64 };
        }
    }
    columns
}

/// What stands in a row of a column that is filled to a part of its height.
fn cell(part: f64, row: usize, ink: Ink) -> char {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let filled = part * ROWS as f64 - row as f64;
    match ink {
        // Whatever is there at all is seen.
        Ink::Blocks if row == 0 && part > 0.0 => BLOCKS[((filled * 8.0).round() as usize).clamp(1, 8)],
        Ink::Blocks => BLOCKS[((filled * 8.0).round().max(0.0) as usize).min(8)],
        Ink::Ascii if filled >= 0.75 => '#',
        Ink::Ascii if filled >= 0.25 => ':',
        Ink::Ascii if row == 0 && part > 0.0 => '.',
        Ink::Ascii => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn events_stand_where_their_time_is() {
        let stretches = [(0, DAY / 2, 320), (DAY / 2, DAY, 0), (DAY * 3 / 4, DAY, 640)];
        let blank = " ".repeat(48);
        let high = "#".repeat(16);
        let low = format!("{}{}", "#".repeat(32), " ".repeat(16));
        let margin = " ".repeat(12);
        let ends = "1970-01-01 00:00:00Z                        1970-01-02 00:00:00Z";
        let expected = format!(
            "{:>11} {blank}{high}\n{margin}{blank}{high}\n{margin}{blank}{high}\n{margin}{low}{high}\n{margin}{ends}\n",
            40
        );
        assert_eq!(draw(&stretches, Ink::Ascii).unwrap(), expected);
        let blocks = draw(&stretches, Ink::Blocks).unwrap();
        assert!(blocks.lines().all(|line| line.chars().count() <= 80), "{blocks}");
        assert_eq!(blocks.matches('█').count(), 4 * 16 + 32);
    }

    #[test]
    fn nothing_is_lost_and_nothing_breaks() {
        let check = |stretches: &[Stretch]| {
            let (first, last) = (stretches[0].0, stretches.iter().map(|stretch| stretch.1).max().unwrap());
            let events: f64 = spread(stretches, first, last).iter().sum();
            let expected: u64 = stretches.iter().map(|stretch| stretch.2).sum();
            assert!(
                (events - expected as f64).abs() < 1e-6 * expected as f64 + 1e-9,
                "{stretches:?}: {events}"
            );
        };
        check(&[(0, 0, 5), (0, DAY, 7)]);
        check(&[(0, DAY, 7), (DAY, DAY, 5)]);
        check(&[(0, 1, 7), (1, 2, 5)]);
        check(&[(0, DAY, 1), (DAY / 3, DAY / 3 + 1, 1_000_000)]);
        assert_eq!(draw(&[(5, 5, 100)], Ink::Ascii), None);
        assert_eq!(draw(&[], Ink::Ascii), None);
        assert!(draw(&[(i64::MIN, i64::MAX, u64::MAX), (i64::MAX, i64::MIN, 1)], Ink::Blocks).is_some());
    }

    #[test]
    fn the_locale_decides() {
        let ink = |all: &str, lang: &str| {
            Ink::of_locale(|name| match name {
                "LC_ALL" => Some(all.to_owned()),
                "LANG" => Some(lang.to_owned()),
                _ => None,
            })
        };
        assert_eq!(ink("", "de_DE.UTF-8"), Ink::Blocks);
        assert_eq!(ink("", "C.utf8"), Ink::Blocks);
        assert_eq!(ink("C", "de_DE.UTF-8"), Ink::Ascii);
        assert_eq!(ink("", ""), Ink::Ascii);
    }
}
