//! What commands print for people: sizes, counts, ages and times as they are read, tables, coloured lines, and a way to standard output
//! that a reader may close.

pub mod human;
pub mod line;
pub mod print;
pub mod table;
