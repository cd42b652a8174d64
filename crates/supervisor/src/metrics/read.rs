//! How the values of a family are read from what runs.

use super::Family;
use crate::histogram::Histogram;
use crate::moment::{InputMoment, Moment, OutputMoment};
use crate::output_state::OutputState;
use crate::registry::RunningOutput;

/// Values of labels, in the order of the family's labels.
pub(super) type Labels = Vec<String>;

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// A whole one.
    Whole(u64),
    /// One with a fraction.
    Fraction(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<bool> for Number {
    fn from(flag: bool) -> Self {
        Self::Whole(flag.into())
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Fraction(number)
    }
}

/// Seconds of milliseconds since the Unix epoch.
pub(super) fn seconds(ms: i64) -> Number {
    Number::Fraction(ms as f64 / 1000.0)
}

/// Where the values of a family are.
#[derive(Debug)]
pub(super) enum Read {
    /// One for the process.
    Process(fn(&Moment) -> Number),
    /// Some for the process, with the values of all labels.
    ProcessBy(fn(&Moment) -> Vec<(Labels, Number)>),
    /// One for an input, if it has one; the labels are `input` and `type`.
    Input(fn(&InputMoment) -> Option<Number>),
    /// Some for an input, with the values of the labels after `input`.
    InputBy(fn(&InputMoment) -> Vec<(Labels, Number)>),
    /// One for an output that runs; the label is `output`.
    Running(fn(&RunningOutput) -> Number),
    /// One for an output that runs, by what it is doing, if there is one; the label is `output`.
    State(fn(&OutputState) -> Option<Number>),
    /// One for an output, if it has one; the label is `output`.
    Output(fn(&OutputMoment, &Moment) -> Option<Number>),
    /// Some for an output, with the values of the labels after `output`.
    OutputBy(fn(&OutputMoment) -> Vec<(Labels, Number)>),
    /// A histogram for each output that runs; the label is `output`.
    Durations(fn(&RunningOutput) -> &Histogram),
}

/// One series.
#[derive(Debug)]
pub(super) enum Series<'a> {
    /// With its labels, and one value.
    Value(Labels, Number),
    /// With its labels, and how often something took how long.
    Durations(Labels, &'a Histogram),
}

impl Family {
    /// All series of the family at this moment.
    pub(super) fn series<'a>(&self, moment: &'a Moment) -> Vec<Series<'a>> {
        let (inputs, outputs) = (&moment.inputs, &moment.outputs);
        let value = |labels, number| Series::Value(labels, number);
        match self.read {
            Read::Process(read) => vec![value(Vec::new(), read(moment))],
            Read::ProcessBy(read) => {
                read(moment).into_iter().map(|(labels, number)| value(labels, number)).collect()
            }
            Read::Input(read) => {
                let of = |input: &InputMoment| Some(value(input_labels(input), read(input)?));
                inputs.iter().filter_map(of).collect()
            }
            Read::InputBy(read) => {
                let behind = |input: &InputMoment| behind(&input.entry.id, read(input));
                inputs.iter().flat_map(behind).collect()
            }
            Read::Running(read) => {
                let of = |output: &OutputMoment| Some(value(id(output), read(output.running()?.0)));
                outputs.iter().filter_map(of).collect()
            }
            Read::State(read) => {
                let of = |output: &OutputMoment| Some(value(id(output), read(&output.running()?.1.state)?));
                outputs.iter().filter_map(of).collect()
            }
            Read::Output(read) => {
                let of = |output: &OutputMoment| Some(value(id(output), read(output, moment)?));
                outputs.iter().filter_map(of).collect()
            }
            Read::OutputBy(read) => {
                outputs.iter().flat_map(|output| behind(&output.entry.id, read(output))).collect()
            }
            Read::Durations(read) => {
                let of =
                    |output: &'a OutputMoment| Some(Series::Durations(id(output), read(output.running()?.0)));
                outputs.iter().filter_map(of).collect()
            }
        }
    }
}

fn id(output: &OutputMoment) -> Labels {
    vec![output.entry.id.to_string()]
}

fn input_labels(input: &InputMoment) -> Labels {
    vec![input.entry.id.to_string(), input.entry.kind.to_owned()]
}

/// Series whose first label is an id.
fn behind<'a>(id: &str, values: Vec<(Labels, Number)>) -> Vec<Series<'a>> {
    let with_id = |(labels, number): (Labels, Number)| {
        let labels = std::iter::once(id.to_owned()).chain(labels).collect();
        Series::Value(labels, number)
    };
    values.into_iter().map(with_id).collect()
}
