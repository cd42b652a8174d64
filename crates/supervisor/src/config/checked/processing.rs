//! What happens to events between inputs and outputs, and how that is tested.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::processing::{Pipeline, Program, SystemFields};

/// Which events an output takes, and what is done to them on the way to it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Route {
    /// Its name, as `cribl_route` says it.
    pub name: String,
    /// Only events of which this holds.
    pub condition: Option<Program>,
    /// Events that it takes go to no output below it.
    pub is_final: bool,
    /// Shapes what it takes.
    pub pipeline: Option<Arc<Pipeline>>,
    /// What is added to it.
    pub system_fields: SystemFields,
}

/// A test of a pipeline, or of the whole way from an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its name in the configuration.
    pub name: String,
    /// The line of the file that it begins on.
    pub line: usize,
    /// What is tested.
    pub subject: Subject,
    /// What goes in.
    pub given: Vec<Given>,
    /// What must come out, if that is said.
    pub expect: Option<Expected>,
    /// What must hold of each event that comes out.
    pub holds: Option<Program>,
    /// Fields that are not compared.
    pub ignore: Vec<String>,
}

/// What a test is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// One pipeline.
    Pipeline(Arc<Pipeline>),
    /// The way from this input to the outputs.
    Input(String),
}

/// What goes into a test.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// A line, as an input reads it.
    Line(String),
    /// An event.
    Event(serde_json::Value),
}

/// What must come out of a test.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// These events.
    Events(Vec<serde_json::Value>),
    /// These events at each output; none at an output that is not named.
    ByOutput(BTreeMap<String, Vec<serde_json::Value>>),
}
