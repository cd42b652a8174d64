//! What is kept of an accepted record.

use std::sync::Arc;

use bytes::Bytes;

/// A record as it was accepted. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRecord {
    /// The stream's name.
    pub stream: Arc<str>,
    /// The shard that took it, such as `shardId-000000000000`.
    pub shard_id: Arc<str>,
    /// Strictly increasing within a shard.
    pub sequence_number: String,
    /// As sent.
    pub partition_key: Arc<str>,
    /// When it was accepted, in milliseconds of Unix time.
    pub arrived_ms: i64,
    /// The data as received, after base64: compressed if it was sent compressed.
    pub data: Bytes,
}
