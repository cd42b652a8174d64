//! What has to come of each fault: the one place where it is written down.

use std::collections::BTreeSet;
use std::time::Duration;

use millpond_local_kinesis::Fault;

use crate::harness::Outcome;

/// One fault.
pub(crate) struct Row {
    /// As the embedded endpoint is told of it.
    pub(crate) fault: &'static str,
    /// A fault that goes before and ends when this one begins: for what matters only when an output comes back.
    pub(crate) first: Option<&'static str>,
    /// What it stands for in the field.
    pub(crate) when: &'static str,
    /// The only API that meets it, if not both do.
    pub(crate) only: Option<Api>,
    /// By what its cells know that it strikes.
    pub(crate) felt: Felt,
    /// The worst state in which the output is seen.
    pub(crate) worst: Worst,
    /// When new events arrive again.
    pub(crate) arrives: Arrives,
    /// The class that the log gives it, if it speaks of a failure.
    pub(crate) class: Option<&'static str>,
    /// The log has each of them: the code or cause, and what to do.
    pub(crate) words: &'static [&'static str],
    pub(crate) repeated: Repeated,
    pub(crate) dead_letters: DeadLetters,
    /// How the APIs differ, for the page.
    pub(crate) by_api: &'static str,
    /// How long its cells take at least: those that take long begin first.
    pub(crate) takes: Duration,
}

/// By what it can be told that a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Felt {
    /// It does not.
    Never,
    /// It strikes so often.
    Times(u64),
    /// It strikes put after put.
    Often,
    /// It strikes for so long that failures would be an outage.
    Long,
    /// What arrives falls behind what is written.
    Lag,
    /// Signatures are refused for the clock, but not more than once for each put in flight: then the clock is known.
    Corrected,
}

/// The worst state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worst {
    /// It sends all the while.
    Healthy,
    /// It sends nothing but probes; new events wait, are dropped or are queued.
    Unhealthy,
}

/// When new events arrive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrives {
    /// When the fault is over.
    Afterwards,
    /// Already while it lasts.
    Meanwhile,
}

/// Which events arrive more than once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// None.
    Nothing,
    /// At most those that flew when it began.
    InFlight,
    /// All whose put was carried out and not answered, and no others.
    Unanswered,
}

/// Which events go to the dead letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeadLetters {
    None,
    /// The record with the one event that is refused.
    OneRecord,
}

/// The operation that carries events, and the settings that lead to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    PutRecord,
    PutRecords,
}

impl Api {
    pub(crate) const ALL: [Self; 2] = [Self::PutRecord, Self::PutRecords];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PutRecord => "put_record",
            Self::PutRecords => "put_records",
        }
    }

    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::PutRecord => "compression: gzip",
            Self::PutRecords => "compression: none\nsend_batched: false",
        }
    }
}

/// `backpressure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Block,
    Drop,
    Queue,
}

impl Policy {
    pub(crate) const ALL: [Self; 3] = [Self::Block, Self::Drop, Self::Queue];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Drop => "drop",
            Self::Queue => "queue",
        }
    }
}

const NOT_KINESIS: &str = "the answer is not from Kinesis";

/// A fault under which nothing is sent, nothing was carried out, and all is well when it is over.
const OUTAGE: Row = Row {
    fault: "",
    first: None,
    when: "",
    only: None,
    felt: Felt::Times(1),
    worst: Worst::Unhealthy,
    arrives: Arrives::Afterwards,
    class: Some("transient"),
    words: &[],
    repeated: Repeated::Nothing,
    dead_letters: DeadLetters::None,
    by_api: "",
    takes: Duration::from_secs(4),
};

/// A fault that the output sends through.
const NUISANCE: Row = Row {
    worst: Worst::Healthy,
    felt: Felt::Often,
    arrives: Arrives::Meanwhile,
    class: None,
    takes: Duration::from_secs(2),
    ..OUTAGE
};

/// Every fault, in the order of the page: the link, what stands in between, the service, the stream, the record.
pub(crate) const ROWS: &[Row] = &[
    Row {
        fault: "down",
        when: "the link is down, connections are refused",
        words: &["no connection to", "check the link, the firewall and the endpoint"],
        repeated: Repeated::InFlight,
        ..OUTAGE
    },
    Row {
        fault: "reset",
        when: "connections break before Kinesis has the request",
        words: &["Connection reset by peer", "a firewall or a proxy in between breaks connections"],
        ..OUTAGE
    },
    Row {
        fault: "accept-then-reset",
        when: "connections break after Kinesis has the request, before its answer",
        words: &["the connection broke", "a firewall or a proxy in between breaks connections"],
        repeated: Repeated::Unanswered,
        ..OUTAGE
    },
    Row {
        fault: "truncated",
        when: "answers of Kinesis are cut off in the middle",
        words: &[
            "the answer (status 200) was cut off",
            "a firewall or a proxy in between breaks connections",
        ],
        repeated: Repeated::Unanswered,
        ..OUTAGE
    },
    Row {
        fault: "hang",
        when: "requests are swallowed: no answer ever comes",
        words: &["no answer within", "the link is slow or dead"],
        takes: Duration::from_secs(20),
        ..OUTAGE
    },
    Row { fault: "slow:400ms", when: "the link or Kinesis answers late", ..NUISANCE },
    Row {
        fault: "rate:20000",
        when: "the link carries less than there is to send",
        felt: Felt::Lag,
        ..NUISANCE
    },
    Row {
        fault: "portal",
        when: "a captive portal answers with its page, status 200",
        words: &[NOT_KINESIS, "HTML", "captive portal or proxy?"],
        ..OUTAGE
    },
    Row {
        fault: "empty",
        when: "something in between answers with an empty object, status 200",
        words: &[NOT_KINESIS, "captive portal or proxy?"],
        ..OUTAGE
    },
    Row {
        fault: "error500",
        when: "a proxy answers with a page of its own, status 500",
        words: &[NOT_KINESIS, "HTML, status 500", "captive portal or proxy?"],
        ..OUTAGE
    },
    Row {
        fault: "skew:+3h",
        when: "the clock of this machine is three hours slow: corrected from the date in the answer",
        felt: Felt::Corrected,
        words: &["this machine's clock is wrong", "set it (NTP)"],
        ..NUISANCE
    },
    Row {
        fault: "skew:-3h",
        when: "the clock of this machine is three hours fast: corrected from the date in the answer",
        felt: Felt::Corrected,
        words: &["this machine's clock is wrong", "set it (NTP)"],
        ..NUISANCE
    },
    Row {
        fault: "throttle:0.4",
        when: "the shards have less throughput than there is to send",
        class: Some("throttled"),
        words: &["ProvisionedThroughputExceededException", "slowing down; add shards"],
        by_api: "PutRecord: the record is sent again, later. PutRecords: only the refused records are",
        ..NUISANCE
    },
    Row {
        fault: "throttle:1",
        when: "the shards take nothing for a while",
        felt: Felt::Long,
        arrives: Arrives::Afterwards,
        class: Some("throttled"),
        words: &["ProvisionedThroughputExceededException", "slowing down; add shards"],
        takes: Duration::from_secs(4),
        ..NUISANCE
    },
    Row {
        fault: "partial:0.3",
        when: "single records of a call fail inside Kinesis",
        only: Some(Api::PutRecords),
        class: Some("transient"),
        words: &["InternalFailure", "a fault inside the service: trying again"],
        by_api: "PutRecord has one record, and does not know it. PutRecords: only the failed records are sent again",
        ..NUISANCE
    },
    Row {
        fault: "denied",
        when: "the credentials may not write to the stream",
        class: Some("misconfigured"),
        words: &["AccessDeniedException", "allow this operation on the stream in the IAM policy"],
        ..OUTAGE
    },
    Row {
        fault: "expired-token",
        when: "the session token has run out, and there is no fresh one",
        class: Some("misconfigured"),
        words: &["ExpiredTokenException", "refresh the credentials"],
        ..OUTAGE
    },
    Row {
        fault: "not-found",
        when: "the stream is not there",
        class: Some("misconfigured"),
        words: &["ResourceNotFoundException", "check the stream's name, the region and the account"],
        ..OUTAGE
    },
    Row {
        fault: "gap",
        first: Some("down"),
        when: "after an outage, the open shards do not cover all hash keys",
        // It is listed twice before it counts, so that is two looks.
        felt: Felt::Times(4),
        words: &["the open shards do not cover the hash range", "hash key"],
        repeated: Repeated::InFlight,
        ..OUTAGE
    },
    Row {
        fault: "list-denied",
        first: Some("down"),
        when: "after an outage, the credentials may write but not list shards",
        arrives: Arrives::Meanwhile,
        words: &["AccessDeniedException", "the shards may not be listed: the first batch decides"],
        repeated: Repeated::InFlight,
        ..OUTAGE
    },
    Row {
        fault: "refuse:POISON",
        when: "a record can never be accepted",
        words: &["ValidationException", "refused for good: kept in the dead letters"],
        felt: Felt::Times(1),
        dead_letters: DeadLetters::OneRecord,
        by_api: "PutRecord: all events of its record go to the dead letters. PutRecords: the one event does; its \
                 neighbours are delivered",
        ..NUISANCE
    },
];

impl Row {
    pub(crate) fn strikes(&self, api: Api) -> bool {
        self.only.is_none_or(|only| only == api)
    }
}

/// A fault that the endpoint learns has to be in the table.
pub(crate) fn every_fault_has_a_row() -> Outcome {
    let kind = |form: &str| form.trim().split(':').next().unwrap_or_default().to_owned();
    let said = "?".parse::<Fault>().unwrap_err().to_string();
    let (_, forms) = said.split_once("there are: ").unwrap();
    let known: BTreeSet<String> = forms.split(',').map(kind).collect();
    let in_table: BTreeSet<String> = ROWS.iter().map(|row| kind(row.fault)).collect();
    assert_eq!(known, in_table);
    Ok(format!("{} rows for {} faults", ROWS.len(), known.len()))
}
