//! The operations that the endpoint serves.

use std::fmt;
use std::str::FromStr;

macro_rules! operations {
    ($($name:ident),+ $(,)?) => {
        /// An operation of the service, named as in `X-Amz-Target`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $(
                #[doc = concat!("The operation `", stringify!($name), "`.")]
                $name
            ),+
        }

        impl Operation {
            /// Every operation there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name as it stands in requests.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

operations! {
    AssumeRole,
    CreateStream,
    DeleteStream,
    DescribeStream,
    DescribeStreamSummary,
    GetCallerIdentity,
    GetRecords,
    GetShardIterator,
    ListShards,
    ListStreams,
    MergeShards,
    PutRecord,
    PutRecords,
    SplitShard,
    UpdateMaxRecordSize,
}

impl Operation {
    /// Whether records are written by it.
    #[must_use]
    pub fn is_put(self) -> bool {
        matches!(self, Self::PutRecord | Self::PutRecords)
    }

    /// Whether it is one of STS, not of Kinesis.
    #[must_use]
    pub fn is_sts(self) -> bool {
        matches!(self, Self::AssumeRole | Self::GetCallerIdentity)
    }

    /// Whether it tells which shards a stream has.
    #[must_use]
    pub fn is_listing(self) -> bool {
        matches!(self, Self::ListShards | Self::DescribeStream | Self::DescribeStreamSummary)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The name is not that of an operation served here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no operation `{0}`")]
pub struct UnknownOperation(String);

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        let known = Self::ALL.iter().find(|operation| operation.name() == text);
        known.copied().ok_or_else(|| UnknownOperation(text.to_owned()))
    }
}
