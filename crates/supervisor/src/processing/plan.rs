//! What is to happen to the events of one input.

use std::path::PathBuf;
use std::sync::Arc;

use super::system_fields::Facts;
use super::{Program, Tail};
use crate::config::checked::{Input, Output};
use crate::counters::{Counter, OutputCounters};

/// A program that shapes events, with what happens to events that it fails on.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// What it does.
    pub program: Program,
    /// The file that the program is in, where it has one of its own.
    pub file: Option<PathBuf>,
    /// What happens to an event that it fails on.
    pub on_error: OnError,
}

/// What happens to an event that a pipeline fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It goes on as it came.
    #[default]
    Pass,
    /// It is kept in the dead letters of the outputs that would have got it.
    DeadLetter,
    /// It is dropped and counted.
    Drop,
}

/// What a pipeline counts since the process started, wherever it is used.
#[derive(Debug, Default)]
pub struct PipelineCounters {
    /// Events that it was given.
    pub received: Counter,
    /// Events that have come of them.
    pub made: Counter,
    /// Events that it has aborted on.
    pub filtered: Counter,
    /// Events that it has failed on.
    pub failed: Counter,
}

/// A pipeline in its place.
#[derive(Debug, Clone)]
pub struct Shaping {
    /// What it does.
    pub pipeline: Arc<Pipeline>,
    /// What it counts.
    pub counters: Arc<PipelineCounters>,
}

impl Shaping {
    /// A pipeline of which nothing was counted yet.
    #[must_use]
    pub fn new(pipeline: &Arc<Pipeline>) -> Self {
        Self { pipeline: Arc::clone(pipeline), counters: Arc::default() }
    }

    fn is_like(one: Option<&Self>, other: Option<&Self>) -> bool {
        one.map(|shaping| &shaping.pipeline) == other.map(|shaping| &shaping.pipeline)
    }
}

/// The way of events from one input to one output.
#[derive(Debug, Clone)]
pub struct Route {
    /// The output, by its id.
    pub output: Arc<str>,
    /// Only events of which this holds go that way.
    pub condition: Option<Program>,
    /// Events that go that way go no other way that comes after it.
    pub is_final: bool,
    /// Shapes those that do.
    pub shaping: Option<Shaping>,
    /// What is added to them.
    pub tail: Option<Arc<Tail>>,
    /// What the output counts.
    pub counters: Arc<OutputCounters>,
}

impl Route {
    /// The way from an input to an output, as the configuration has it, on the machine named `host`.
    #[must_use]
    pub fn new(input: &Input, output: &Output, host: &str) -> Self {
        let settings = &output.route;
        let pipelines = [&input.pipeline, &settings.pipeline].into_iter().flatten();
        let pipelines: Vec<&str> = pipelines.map(|pipeline| &*pipeline.name).collect();
        let facts = Facts {
            pipelines: &pipelines,
            host,
            input: (input.kind.name(), &input.id),
            output: &output.id,
            route: &settings.name,
        };
        let tail = Tail::new(&settings.system_fields, &facts);
        Self {
            output: output.id.as_str().into(),
            condition: settings.condition.clone(),
            is_final: settings.is_final,
            shaping: settings.pipeline.as_ref().map(Shaping::new),
            tail: (!tail.is_empty()).then(|| Arc::new(tail)),
            counters: Arc::default(),
        }
    }

    /// The way that all events go as they are.
    #[must_use]
    pub fn plain(output: &str) -> Self {
        Self {
            output: output.into(),
            condition: None,
            is_final: false,
            shaping: None,
            tail: None,
            counters: Arc::default(),
        }
    }

    /// Does the same happen to events on the other one?
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.output == other.output
            && self.condition == other.condition
            && self.is_final == other.is_final
            && self.tail == other.tail
            && Shaping::is_like(self.shaping.as_ref(), other.shaping.as_ref())
    }
}

/// What is to happen to the events of one input.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Shapes them before they are routed.
    pub shaping: Option<Shaping>,
    /// The ways to the outputs, in the order in which they are asked.
    pub routes: Vec<Arc<Route>>,
}

impl Plan {
    /// Does each event have to be looked at? If not, every output gets the chunks as they are.
    #[must_use]
    pub fn looks_at_events(&self) -> bool {
        let looks = |route: &Arc<Route>| route.condition.is_some() || route.shaping.is_some();
        let ends_before_last = || self.routes.iter().rev().skip(1).any(|route| route.is_final);
        self.shaping.is_some() || self.routes.iter().any(looks) || ends_before_last()
    }

    /// Does the same happen to events in the other one?
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        Shaping::is_like(self.shaping.as_ref(), other.shaping.as_ref())
            && self.routes.len() == other.routes.len()
            && self.routes.iter().zip(&other.routes).all(|(one, other)| one.is_like(other))
    }
}
