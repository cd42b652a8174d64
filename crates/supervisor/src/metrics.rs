//! All metrics, for Prometheus. Nothing is kept here: each family says which of the counters, gauges and histograms of
//! the parts it shows, and they are read when somebody asks.

mod families;
mod read;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
mod text;

pub use families::{PARTS, Part, families};
pub use text::{Exposition, encode};

use read::Read;

/// A metric, with all its labels and values.
#[derive(Debug)]
pub struct Family {
    /// Its whole name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What is counted or measured.
    pub unit: &'static str,
    /// Its labels, in their order.
    pub labels: &'static [&'static str],
    /// What it means, in one or two sentences.
    pub about: &'static str,
    read: Read,
}

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and starts from 0 with the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts durations by their length.
    Histogram,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}
