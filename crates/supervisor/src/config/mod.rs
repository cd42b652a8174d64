//! The configuration: what was written (`raw`) and what it means (`checked`).

pub mod checked;
