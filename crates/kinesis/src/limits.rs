//! The numbers of the service, each with its source. Nothing here depends on our configuration.

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html (read 2026-08)
//# Each PutRecords request can support up to 500 records.
/// Records in one PutRecords call.
pub const REQUEST_RECORDS_MAX: usize = 500;

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html (read 2026-08)
//# Each record in the request can be as large as 10 MiB, up to a limit of 10 MiB for the entire
//# request, including partition keys.
/// Bytes in one PutRecords call: data before base64, plus partition keys (UTF-8).
pub const REQUEST_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Bytes of data and keys that go into one PutRecords call unless told otherwise.
///
/// A tenth of what the service takes. Each call in flight holds its data, the same as base64 in
/// JSON, and the growth of that buffer: five calls of 5 MiB took 73 MB of memory, five of 0.5 MiB
/// 21 MB (11 MB of each is the program itself). And on a thin link a large request fails late, and
/// all of it is sent again. Records of ordinary size reach 500 per call long before 1 MiB.
pub const REQUEST_BYTES_TARGET: usize = 1024 * 1024;

//= https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html (read 2026-08)
//# The default maximum size of a data payload before base64-encoding is 1 MiB. It can be increased
//# up to 10 MiB for a stream.
/// Bytes of a record (data before base64, plus its partition key) that every stream accepts.
pub const RECORD_BYTES_DEFAULT_MAX: usize = 1024 * 1024;

/// Bytes of a record (data and partition key) that no stream accepts more of, whatever its setting.
pub const RECORD_BYTES_MAX: usize = 10 * 1024 * 1024;

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html (read 2026-08)
//# Length Constraints: Minimum length of 1. Maximum length of 256.
/// Length of a partition key in UTF-16 code units (the service counts Java characters).
pub const PARTITION_KEY_UNITS_MAX: usize = 256;

/// Length of a partition key in bytes of UTF-8 that is never exceeded by a legal key: one UTF-16
/// unit takes at most three bytes.
pub const PARTITION_KEY_BYTES_MAX: usize = 3 * PARTITION_KEY_UNITS_MAX;

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html (read 2026-08)
//# This operation has a limit of 1000 transactions per second per data stream. Maximum value of
//# MaxResults: 10000; the default is 1000.
/// Shards asked for in one page of ListShards or DescribeStream.
pub const SHARDS_PER_PAGE: i32 = 1000;

/// Pages of a shard listing that are read before it is called endless. 200,000 shards is ten times
/// the largest quota that the service grants by default (20,000 shards in on-demand regions).
pub const SHARD_PAGES_MAX: usize = 200;

const _: () = assert!(REQUEST_BYTES_TARGET <= REQUEST_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_DEFAULT_MAX <= RECORD_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX <= REQUEST_BYTES_MAX);
