//! Do the open shards of a stream cover the whole hash range? Pure.

/// One shard, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// `shardId-000000000000`.
    pub id: String,
    /// First hash key, inclusive, in decimal as the service writes it.
    pub starting_hash_key: String,
    /// Last hash key, inclusive.
    pub ending_hash_key: String,
    /// Still takes records: its range of sequence numbers has no end.
    pub open: bool,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardPage {
    /// The shards on this page, open and closed.
    pub shards: Vec<Shard>,
    /// There is more: the token (ListShards) or the last shard's id (DescribeStream).
    pub next: Option<String>,
    /// The status of the stream (`ACTIVE`, `CREATING`, …), if the answer tells.
    pub stream_status: Option<String>,
}
