//! Checking everything that was kept.

use crate::{DecodeError, KeptRecord, decode};

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Records looked at.
    pub records: u64,
    /// Events in the well-formed ones.
    pub events: u64,
    /// The records that are not what a forwarder may send.
    pub malformed: Vec<Malformed>,
}

/// A record that is not what a forwarder may send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {sequence_number} of {shard_id} in {stream}: {error}")]
pub struct Malformed {
    /// The stream.
    pub stream: String,
    /// The shard.
    pub shard_id: String,
    /// The record.
    pub sequence_number: String,
    /// What is wrong with it.
    pub error: DecodeError,
}

/// Decodes every record, checks header count and size, and hands each event to `on_event`, in the order of the records.
pub fn verify(records: &[KeptRecord], mut on_event: impl FnMut(&KeptRecord, &[u8])) -> Verified {
    let mut verified = Verified::default();
    for record in records {
        verified.records += 1;
        match decode(&record.data) {
            Ok(decoded) => {
                verified.events += decoded.count as u64;
                decoded.events().for_each(|event| on_event(record, event));
            }
            Err(error) => verified.malformed.push(Malformed {
                stream: record.stream.to_string(),
                shard_id: record.shard_id.to_string(),
                sequence_number: record.sequence_number.clone(),
                error,
            }),
        }
    }
    verified
}
