//! What became of requests, and what is counted of them.

use super::super::counters::Count;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its events are delivered or durable.
    Accepted,
    /// Its body is not what it says that it is.
    Malformed,
    /// The client broke its body off.
    Broken,
    /// It has not shown the token.
    Unauthorized,
    /// It asked for another path.
    NotFound,
    /// It was no POST.
    Method,
    /// Its body came too slowly.
    Slow,
    /// Its body, or an event in it, is too large.
    TooLarge,
    /// Its body is of a type, or in an encoding, that is not known.
    MediaType,
    /// There was no memory for it, or the outputs took nothing.
    Busy,
    /// Its events were handed on, and are neither delivered nor durable.
    Unacknowledged,
    /// The input is stopping.
    Stopping,
    /// The client went away before it was answered.
    Gone,
}

impl Outcome {
    /// All there are, in the order in which they are declared.
    pub const ALL: [Self; 13] = [
        Self::Accepted,
        Self::Malformed,
        Self::Broken,
        Self::Unauthorized,
        Self::NotFound,
        Self::Method,
        Self::Slow,
        Self::TooLarge,
        Self::MediaType,
        Self::Busy,
        Self::Unacknowledged,
        Self::Stopping,
        Self::Gone,
    ];

    /// Its name, for metrics and the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Malformed => "malformed",
            Self::Broken => "broken",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Slow => "slow",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Busy => "busy",
            Self::Unacknowledged => "unacknowledged",
            Self::Stopping => "stopping",
            Self::Gone => "gone",
        }
    }

    /// The status that the client is told; 499, which is never sent, for one that has gone.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Accepted => 200,
            Self::Malformed | Self::Broken => 400,
            Self::Unauthorized => 401,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::Slow => 408,
            Self::TooLarge => 413,
            Self::MediaType => 415,
            Self::Gone => 499,
            Self::Busy | Self::Unacknowledged | Self::Stopping => 503,
        }
    }
}

/// Requests by outcome, since the process started.
#[derive(Debug, Default)]
pub struct RequestCounters([Count; Outcome::ALL.len()]);

impl RequestCounters {
    /// How many requests had this outcome.
    #[must_use]
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].get()
    }

    pub(super) fn add(&self, outcome: Outcome) {
        self.0[outcome as usize].add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_count_of_its_own() {
        let counters = RequestCounters::default();
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
            (0..=place).for_each(|_| counters.add(outcome));
        }
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(counters.get(outcome), place as u64 + 1, "{}", outcome.name());
        }
    }
}
