//! What happens to events between an input and its outputs: pipelines that shape them, routes that choose who gets them,
//! and the system fields that are added last.
//!
//! A [`Plan`] says what that is for one input. Where it asks for a look at each event, a [`Stage`] takes a chunk apart and
//! makes those that the outputs get; where it does not, the chunk goes on as it is, and nothing of this runs.

pub mod complaint;
mod functions;
pub mod json;
pub mod plan;
pub mod program;
pub mod stage;
pub mod system_fields;

pub use plan::{OnError, Pipeline, PipelineCounters, Plan, Route, Shaping};
pub use program::{Program, Role};
pub use stage::{Made, Stage};
pub use system_fields::{SystemFields, Tail};
