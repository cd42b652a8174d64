//! The ways in which the endpoint can be told to misbehave, and how they are written.
//!
//! `KIND[:VALUE][,shard=ID][,op=OPERATION][,for=DURATION]`, for example `down`, `throttle:0.4,for=10s`,
//! `error500,op=ListShards`, `refuse:poison`. `@10s` at the end is short for `,for=10s`.
//! In the text of `refuse`, a comma, an `@` or a backslash is written with a backslash before it.

use std::time::Duration;

use crate::Operation;

/// A fault: what happens, to which requests, for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// Only requests, or records within a request, that concern this shard.
    pub shard: Option<String>,
    /// Only this operation.
    pub op: Option<Operation>,
    /// It clears itself this long after it was set; none: it stays until cleared.
    pub lasting: Option<Duration>,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// `down`: connections are refused and existing ones reset; the port stays reserved, so it can always come back.
    /// Limited to a shard or operation: such requests have their connection reset before they are carried out.
    Down,
    /// `reset`: the request is not carried out; its connection is reset (RST) in the middle of an answer.
    Reset,
    /// `hang`: the request is read, not carried out and never answered. Clearing the fault closes the connection.
    Hang,
    /// `slow:DURATION`: the request is carried out and answered after this delay.
    Slow(Duration),
    /// `rate:BYTES_PER_SEC`: all connections together carry at most this much, in each direction.
    Rate(u64),
    /// `portal`: answered with 200 and a page of HTML, as a hotel's captive portal does. Not carried out.
    Portal,
    /// `empty`: answered with 200 and `{}`. Not carried out.
    Empty,
    /// `error500`: answered with 500 and a page of HTML, as a proxy does. Not carried out.
    Error500,
    /// `truncated`: the request **is** carried out, but its answer ends in the middle.
    Truncated,
    /// `throttle:P`: each record is refused with this probability; a PutRecord as a whole, in PutRecords per record.
    /// Limited to another operation: calls are refused with LimitExceededException.
    Throttle(Probability),
    /// `partial:P`: each record of a PutRecords fails with InternalFailure with this probability.
    Partial(Probability),
    /// `denied`: AccessDeniedException.
    Denied,
    /// `expired-token`: ExpiredTokenException.
    ExpiredToken,
    /// `skew:±DURATION`: the endpoint's clock is off by this; signatures more than five minutes from it are refused.
    Skew(Skew),
    /// `not-found`: ResourceNotFoundException for every stream.
    NotFound,
    /// `gap`: ListShards and DescribeStream leave a shard out: the given one, else the first open one.
    Gap,
    /// `list-denied`: AccessDeniedException for ListShards, DescribeStream and DescribeStreamSummary only.
    ListDenied,
    /// `refuse:TEXT`: a call with a record whose unpacked bytes contain TEXT gets ValidationException.
    Refuse(String),
    /// `accept-then-reset`: the request **is** carried out, then the connection is reset without an answer.
    AcceptThenReset,
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Probability(f64);

impl Probability {
    /// None if the number is not within 0 to 1.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

/// How far, and which way, the endpoint's clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// The endpoint's clock is ahead.
    Ahead(Duration),
    /// The endpoint's clock is behind.
    Behind(Duration),
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, shard: None, op: None, lasting: None }
    }
}

/// Why a text is no [`Fault`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseFaultError {
    /// No such kind.
    #[error("no fault `{kind}`; there are: {list}", list = crate::fault_text::FORMS.join(", "))]
    Kind {
        /// What was given.
        kind: String,
    },
    /// The kind needs a value, takes none, or takes another.
    #[error("fault `{kind}`: {problem}")]
    Value {
        /// The kind.
        kind: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Something after a comma or an `@` is no option, or not one for this kind.
    #[error(
        "fault `{kind}`: {problem}; options are shard=ID, op=OPERATION, for=DURATION (also written @DURATION)"
    )]
    Option {
        /// The kind.
        kind: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl FaultKind {
    /// The word before the colon.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Reset => "reset",
            Self::Hang => "hang",
            Self::Slow(_) => "slow",
            Self::Rate(_) => "rate",
            Self::Portal => "portal",
            Self::Empty => "empty",
            Self::Error500 => "error500",
            Self::Truncated => "truncated",
            Self::Throttle(_) => "throttle",
            Self::Partial(_) => "partial",
            Self::Denied => "denied",
            Self::ExpiredToken => "expired-token",
            Self::Skew(_) => "skew",
            Self::NotFound => "not-found",
            Self::Gap => "gap",
            Self::ListDenied => "list-denied",
            Self::Refuse(_) => "refuse",
            Self::AcceptThenReset => "accept-then-reset",
        }
    }
}
