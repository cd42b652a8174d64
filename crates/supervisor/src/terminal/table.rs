//! Tables of text: no frames, numbers to the right, as wide as they need to be.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, presets};

use super::print::is_coloured;

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// What a word means for the person who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing to see.
    Plain,
    /// All is well.
    Good,
    /// Worth a look.
    Warning,
    /// Something is wrong.
    Bad,
    /// Less important than the rest.
    Faint,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    table: comfy_table::Table,
    sides: Vec<Side>,
    coloured: bool,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: &[(&str, Side)]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        let coloured = is_coloured();
        let sides: Vec<Side> = columns.iter().map(|&(_, side)| side).collect();
        let header = columns.iter().map(|&(name, side)| {
            let cell = cell(name, side);
            if coloured { cell.add_attribute(Attribute::Bold) } else { cell }
        });
        table.set_header(header.collect::<Vec<_>>());
        // Columns are two spaces apart, and the first one begins at the edge, coloured or not.
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
        Self { table, sides, coloured }
    }

    /// Adds a row; there must be a cell for every column.
    pub fn row<const N: usize>(&mut self, cells: [(String, Tone); N]) {
        assert_eq!(N, self.sides.len(), "a row has a cell for every column");
        let coloured = self.coloured;
        let cells = cells.into_iter().zip(&self.sides).map(|((text, tone), &side)| {
            let cell = cell(&text, side);
            match tone.colour().filter(|_| coloured) {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        });
        self.table.add_row(cells.collect::<Vec<_>>());
    }
}

impl std::fmt::Display for Table {
    /// Every row on a line, without spaces at its end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.table.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}

fn cell(text: &str, side: Side) -> Cell {
    Cell::new(text).set_alignment(match side {
        Side::Left => CellAlignment::Left,
        Side::Right => CellAlignment::Right,
    })
}

impl Tone {
    fn colour(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::Green),
            Self::Warning => Some(Color::Yellow),
            Self::Bad => Some(Color::Red),
            Self::Faint => Some(Color::DarkGrey),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_lines_end_with_their_text() {
        let mut table =
            Table::new(&[("segment", Side::Left), ("events", Side::Right), ("state", Side::Left)]);
        let plain = |text: &str| (text.to_owned(), Tone::Plain);
        table.row([plain("1"), plain("12,345"), plain("sealed")]);
        table.row([plain("412"), plain("7"), ("damaged".to_owned(), Tone::Bad)]);
        let expected = "\
segment  events  state
1        12,345  sealed
412           7  damaged
";
        assert_eq!(table.to_string(), expected);
    }
}
