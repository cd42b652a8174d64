//! Every record of a put gets exactly one fate. Pure and total: delivered + retry + rejected = sent.
//!
//! A record is delivered only if its result has a sequence number that is not empty and no error,
//! and only if the answer has as many results as the request had records. Everything that is not
//! proven delivered, and not proven impossible, is sent again.

use crate::batch::Batch;
use crate::classify::{self, Context};
use crate::client::{Class, Failure, PutResult};

/// The records of a batch that are still to be sent, by index, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending(Vec<u32>);

impl Pending {
    /// All records of a batch.
    pub fn all(batch: &Batch) -> Pending {
        Pending((0..batch.len() as u32).collect())
    }

    /// These records: ascending, no index twice.
    pub fn from_indexes(indexes: Vec<u32>) -> Pending {
        assert!(indexes.is_sorted_by(|a, b| a < b), "pending indexes ascend");
        Pending(indexes)
    }

    /// Nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many records are left to send.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The indexes, ascending.
    pub fn indexes(&self) -> &[u32] {
        &self.0
    }
}

/// A record that can never be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its index in the batch.
    pub index: u32,
    /// The service's error code, or `RecordTooLarge` or `PartitionKey` for what was found before
    /// sending.
    pub code: String,
    /// The service's words, or ours.
    pub message: String,
}

impl RejectedRecord {
    fn new(index: u32, failure: &Failure, words: Option<&str>) -> RejectedRecord {
        RejectedRecord {
            index,
            code: failure.label().to_owned(),
            message: words.unwrap_or(&failure.message).to_owned(),
        }
    }
}

/// The fates of some records of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "what is in `retry` has to be sent again"]
pub struct Settled {
    /// Confirmed by the service.
    pub delivered: Vec<u32>,
    /// To be sent again.
    pub retry: Vec<u32>,
    /// Impossible.
    pub rejected: Vec<RejectedRecord>,
    /// The worst of the reasons why `retry` is not empty; always there then, and only then. Records
    /// that are rejected carry their own.
    pub failure: Option<Failure>,
}

impl Settled {
    /// How many records have a fate.
    pub fn total(&self) -> usize {
        self.delivered.len() + self.retry.len() + self.rejected.len()
    }

    /// Adds the fates of other records of the same batch.
    pub fn merge(&mut self, other: Settled) {
        self.delivered.extend(other.delivered);
        self.retry.extend(other.retry);
        self.rejected.extend(other.rejected);
        self.note(other.failure);
    }

    /// Remembers a failure if it is worse than the worst so far.
    fn note(&mut self, failure: Option<Failure>) {
        let Some(failure) = failure else { return };
        let worse = self.failure.as_ref().is_none_or(|known| failure.class > known.class);
        if worse {
            self.failure = Some(failure);
        }
    }

    /// Puts every list in the order of the batch.
    pub fn sort(&mut self) {
        self.delivered.sort_unstable();
        self.retry.sort_unstable();
        self.rejected.sort_unstable_by_key(|record| record.index);
    }
}

/// Gives each record in `sent` its fate by what the call brought. A call that was refused as a whole
/// rejects its record only when it carried just one: of several, nobody knows which was meant, and
/// all of them are to be sent again.
pub fn settle(context: Context<'_>, sent: &[u32], answer: Result<&[PutResult], &Failure>) -> Settled {
    let settled = match answer {
        Err(failure) => settle_failure(sent, failure),
        Ok(results) if results.len() != sent.len() => {
            settle_failure(sent, &miscounted(context, sent.len(), results.len()))
        }
        Ok(results) => settle_results(context, sent, results),
    };
    assert_eq!(settled.total(), sent.len(), "every record has exactly one fate");
    assert_eq!(settled.retry.is_empty(), settled.failure.is_none(), "a retry has a reason");
    settled
}

fn settle_failure(sent: &[u32], failure: &Failure) -> Settled {
    let mut settled = Settled::default();
    match sent {
        [] => {}
        [index] if failure.class == Class::Rejected => {
            settled.rejected.push(RejectedRecord::new(*index, failure, None));
        }
        _ => {
            settled.retry.extend_from_slice(sent);
            settled.failure = Some(reason_to_retry(failure, sent.len()));
        }
    }
    settled
}

/// A refusal is not why something is tried again: that it is not known which record was meant, is.
pub(crate) fn reason_to_retry(failure: &Failure, records: usize) -> Failure {
    let mut failure = failure.clone();
    if failure.class == Class::Rejected {
        failure.class = Class::Transient;
        failure.message = format!("one or more of {records} records are refused: {}", failure.message);
    }
    failure
}

fn settle_results(context: Context<'_>, sent: &[u32], results: &[PutResult]) -> Settled {
    let mut settled = Settled::default();
    // One sentence per code, not per record: of 500 throttled records one is as good as another.
    let mut tally: Vec<(Failure, usize)> = Vec::new();
    for (index, result) in sent.iter().zip(results) {
        let Some(failure) = fate_of(context, result, &tally) else {
            settled.delivered.push(*index);
            continue;
        };
        if failure.class == Class::Rejected {
            let words = result.error_message.as_deref();
            settled.rejected.push(RejectedRecord::new(*index, &failure, words));
            continue;
        }
        settled.retry.push(*index);
        match tally.iter_mut().find(|(known, _)| known.label() == failure.label()) {
            Some((_, count)) => *count += 1,
            None => tally.push((failure, 1)),
        }
    }
    for (mut failure, count) in tally {
        if sent.len() > 1 {
            failure.message = format!("{count} of {} records: {}", sent.len(), failure.message);
        }
        settled.note(Some(failure));
    }
    settled
}

/// `None` if the record is delivered.
fn fate_of(context: Context<'_>, result: &PutResult, tally: &[(Failure, usize)]) -> Option<Failure> {
    let filled = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
    match (filled(&result.sequence_number), filled(&result.error_code)) {
        (true, false) => None,
        (_, true) => {
            let code = result.error_code.as_deref().unwrap_or_default();
            let known = tally.iter().find(|(failure, _)| failure.code.as_deref() == Some(code));
            Some(known.map_or_else(
                || {
                    let words = result.error_message.as_deref().unwrap_or_default();
                    classify::record_error(context, code, words)
                },
                |(failure, _)| failure.clone(),
            ))
        }
        (false, false) => Some(classify::not_kinesis(
            context,
            "it has no sequence number, so it confirms nothing",
            Some(200),
        )),
    }
}

/// An answer that has another number of results than the request had records confirms nothing.
pub(crate) fn miscounted(context: Context<'_>, sent: usize, results: usize) -> Failure {
    let what = format!("it has {results} results for {sent} records");
    classify::not_kinesis(context, &what, Some(200))
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
