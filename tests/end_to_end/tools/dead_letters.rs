//! `millpond dead-letters`.
