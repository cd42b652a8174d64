//! `millpond replay`.
