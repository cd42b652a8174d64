//! What became of the calls that carried records. Counting allocates nothing and locks nothing.

use std::fmt;

use millpond_kinesis::Class;
use millpond_kinesis::output::{Api, Call, CallOutcome};

use crate::counters::Counter;
use crate::histogram::Histogram;

/// Operations that carry records, in the order in which they are shown.
pub const APIS: [Api; 2] = [Api::PutRecord, Api::PutRecords];

/// How a call can end, in the order in which it is shown.
pub const OUTCOMES: [CallOutcome; 7] = [
    CallOutcome::Accepted,
    CallOutcome::Partial,
    CallOutcome::Failed(Class::Throttled),
    CallOutcome::Failed(Class::Transient),
    CallOutcome::Failed(Class::Clock),
    CallOutcome::Failed(Class::Misconfigured),
    CallOutcome::Failed(Class::Rejected),
];

/// Calls by operation and outcome, and their durations.
#[derive(Debug, Default)]
pub struct PutCounters {
    calls: [[Counter; OUTCOMES.len()]; APIS.len()],
    /// From begin to answer, of all calls.
    pub duration: Histogram,
}

impl PutCounters {
    /// Counts a call.
    pub fn note(&self, call: &Call) {
        self.counter(call.api, call.outcome).add(1);
        self.duration.note(call.duration);
    }

    /// Calls of this operation that ended like this.
    #[must_use]
    pub fn of(&self, api: Api, outcome: CallOutcome) -> u64 {
        self.counter(api, outcome).get()
    }

    fn counter(&self, api: Api, outcome: CallOutcome) -> &Counter {
        let of_api = match api {
            Api::PutRecord => &self.calls[0],
            Api::PutRecords => &self.calls[1],
        };
        &of_api[index_of(outcome)]
    }

    /// All calls.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.calls.iter().flatten().map(Counter::get).sum()
    }

    /// Calls of which nothing, or not everything, was accepted.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let [_accepted, others @ ..] = OUTCOMES;
        APIS.into_iter().flat_map(|api| others.map(|outcome| self.of(api, outcome))).sum()
    }
}

fn index_of(outcome: CallOutcome) -> usize {
    match outcome {
        CallOutcome::Accepted => 0,
        CallOutcome::Partial => 1,
        CallOutcome::Failed(Class::Throttled) => 2,
        CallOutcome::Failed(Class::Transient) => 3,
        CallOutcome::Failed(Class::Clock) => 4,
        CallOutcome::Failed(Class::Misconfigured) => 5,
        CallOutcome::Failed(Class::Rejected) => 6,
    }
}

/// The `outcome` label of metrics and logs.
#[must_use]
pub fn outcome_name(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Accepted => "accepted",
        CallOutcome::Partial => "partial",
        CallOutcome::Failed(class) => class.as_str(),
    }
}

impl fmt::Display for PutCounters {
    /// What is not zero: `PutRecord: 812 accepted, 3 throttled; PutRecords: 2 partial`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before_api = "";
        for api in APIS {
            let counts = OUTCOMES.map(|outcome| (self.of(api, outcome), outcome_name(outcome)));
            let mut before = ": ";
            for (count, outcome) in counts.into_iter().filter(|(count, _)| *count > 0) {
                if before == ": " {
                    write!(f, "{before_api}{}", api.as_str())?;
                    before_api = "; ";
                }
                write!(f, "{before}{count} {outcome}")?;
                before = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call(api: Api, outcome: CallOutcome, ms: u64) -> Call {
        Call { api, outcome, duration: Duration::from_millis(ms), records: 1, bytes: 1 }
    }

    #[test]
    fn each_outcome_has_its_counter_and_its_name() {
        let puts = PutCounters::default();
        assert_eq!(puts.to_string(), "");
        for (n, api) in APIS.into_iter().enumerate() {
            for (m, outcome) in OUTCOMES.into_iter().enumerate() {
                for _ in 0..=n * OUTCOMES.len() + m {
                    puts.note(&call(api, outcome, 1));
                }
                assert_eq!(puts.of(api, outcome), (n * OUTCOMES.len() + m) as u64 + 1);
            }
        }
        assert_eq!((puts.total(), puts.failed()), (105, 105 - 1 - 8));
        assert_eq!(
            puts.to_string(),
            "PutRecord: 1 accepted, 2 partial, 3 throttled, 4 transient, 5 clock, 6 misconfigured, 7 rejected; \
             PutRecords: 8 accepted, 9 partial, 10 throttled, 11 transient, 12 clock, 13 misconfigured, 14 rejected"
        );
    }

    #[test]
    fn only_what_is_not_zero_is_shown() {
        let puts = PutCounters::default();
        puts.note(&call(Api::PutRecords, CallOutcome::Partial, 1));
        assert_eq!(puts.to_string(), "PutRecords: 1 partial");
        puts.note(&call(Api::PutRecord, CallOutcome::Failed(Class::Clock), 1));
        assert_eq!(puts.to_string(), "PutRecord: 1 clock; PutRecords: 1 partial");
    }
}
