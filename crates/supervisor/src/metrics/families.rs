//! Every metric there is, declared once: name, kind, unit, labels, meaning, and where its values are.
//!
//! The text of a scrape and the table of the documentation are made from these declarations, so they cannot disagree.

use super::Family;
use super::Kind::{self, Counter, Gauge, Histogram};
use super::read::Read;

mod inputs;
mod outputs;
mod pipelines;
mod process;
mod queues;
mod sockets;

/// A part of the metrics, with its heading in the documentation.
#[derive(Debug)]
pub struct Part {
    /// What it is called in the documentation.
    pub name: &'static str,
    /// Its metrics, in the order of the documentation.
    pub families: &'static [Family],
}

/// All metrics.
pub static PARTS: [Part; 6] = [
    Part { name: "process", families: process::FAMILIES },
    Part { name: "inputs", families: inputs::FAMILIES },
    Part { name: "sockets", families: sockets::FAMILIES },
    Part { name: "pipelines", families: pipelines::FAMILIES },
    Part { name: "outputs", families: outputs::FAMILIES },
    Part { name: "queues", families: queues::FAMILIES },
];

/// All metrics, one by one.
pub fn families() -> impl Iterator<Item = &'static Family> {
    PARTS.iter().flat_map(|part| part.families)
}

const fn family(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    labels: &'static [&'static str],
    about: &'static str,
    read: Read,
) -> Family {
    Family { name, kind, unit, labels, about, read }
}
