//! `millpond status` and `top`.
