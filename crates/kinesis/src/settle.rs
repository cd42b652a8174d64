//! Every record of a put gets exactly one fate. Pure and total: delivered + retry + rejected = sent.
//!
//! A record is delivered only if its result has a sequence number that is not empty, and only if
//! the answer has as many results as the request had records.

/// The records of a batch that are still to be sent, by index, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending(pub(crate) Vec<u32>);

/// A record that can never be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its index in the batch.
    pub index: u32,
    /// The service's error code, or a word of ours for a limit that was checked before sending.
    pub code: String,
    /// The service's words.
    pub message: String,
}

impl Pending {
    /// All records of a batch.
    pub fn all(batch: &crate::Batch) -> Pending {
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
