//! `millpond queue cat` and `export`.
