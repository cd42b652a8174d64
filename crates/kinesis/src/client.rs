//! The seam to the service: four calls in our own types, and what can go wrong with them.
//!
//! An implementation makes exactly one attempt per call and never retries a put on its own (but
//! for a clock that the service has just corrected, see [`crate::aws`]).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::batch::RecordRef;
use crate::shards::ShardPage;

/// A call in flight.
pub type ClientFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Kinesis, as far as this program uses it.
pub trait Client: Send + Sync + fmt::Debug {
    /// Where the service is, for sentences: the endpoint, or the region where there is none.
    fn place(&self) -> &str;

    /// PutRecord.
    fn put_record<'a>(&'a self, stream: &'a str, record: RecordRef<'a>) -> ClientFuture<'a, PutResult>;

    /// PutRecords. The results are those of the answer, in its order; that there are as many as
    /// records is for [`crate::settle`] to check.
    fn put_records<'a>(
        &'a self,
        stream: &'a str,
        records: &'a [RecordRef<'a>],
    ) -> ClientFuture<'a, Vec<PutResult>>;

    /// ListShards: the first page of a stream, or the page behind a token.
    fn list_shards<'a>(&'a self, page: ListShards<'a>) -> ClientFuture<'a, ShardPage>;

    /// DescribeStream: the page behind the shard `after`, or the first.
    fn describe_stream<'a>(&'a self, stream: &'a str, after: Option<&'a str>) -> ClientFuture<'a, ShardPage>;
}

/// Which page of ListShards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListShards<'a> {
    /// The first page.
    First {
        /// The stream's name.
        stream: &'a str,
    },
    /// The page behind a token. The service refuses a request that has both a name and a token.
    Next {
        /// The stream's name, for sentences only.
        stream: &'a str,
        /// From the page before. Lives for 300 s.
        token: &'a str,
    },
}

impl<'a> ListShards<'a> {
    /// The stream's name.
    pub fn stream(&self) -> &'a str {
        match self {
            ListShards::First { stream } | ListShards::Next { stream, .. } => stream,
        }
    }
}

/// What the service said about one record: all four are as found, nothing is assumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutResult {
    /// Says, and alone says, that the record is stored.
    pub sequence_number: Option<String>,
    /// Where it is stored.
    pub shard_id: Option<String>,
    /// Why it is not stored.
    pub error_code: Option<String>,
    /// The same in words.
    pub error_message: Option<String>,
}

/// What a failure means for what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Too much at once: go slower, the service is well.
    Throttled,
    /// The path is broken: may work again by itself.
    Transient,
    /// The signature was refused for the clock, even after it was corrected once.
    Clock,
    /// Somebody has to change something; nothing is dropped meanwhile.
    Misconfigured,
    /// These records can never be accepted; others can.
    Rejected,
}

/// What went wrong, as a short stable word for metrics and conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The name of the endpoint could not be resolved.
    Dns,
    /// No connection: refused, unreachable, or not within the time for it.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// A proxy refused, or is not there.
    Proxy,
    /// The connection broke while the call was on its way.
    Reset,
    /// No answer in time.
    Timeout,
    /// An answer that Kinesis did not write: HTML, an empty object, cut off.
    NotKinesis,
    /// Kinesis, or the credentials' source, answered with an error code (see [`Failure::code`]).
    Service,
    /// There are no credentials, or they could not be had.
    Credentials,
    /// The program refused to send: a limit of the service would be broken.
    Limit,
    /// The settings do not make a client.
    Settings,
    /// None of these.
    Other,
}

/// A call that did not succeed, or a record that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it means for what happens next.
    pub class: Class,
    /// What went wrong.
    pub cause: Cause,
    /// The service's error code without its namespace, such as `ResourceNotFoundException`.
    pub code: Option<String>,
    /// The HTTP status, if there was an answer. Never decides anything alone.
    pub status: Option<u16>,
    /// One sentence for a person: what happened, where, and what to do. No secrets.
    pub message: String,
    /// The call was under way when it failed: the service may have accepted the records, and
    /// sending them again may repeat them.
    pub may_have_arrived: bool,
    /// How long the service asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// The service's id of the request, for its support.
    pub request_id: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Class {
    /// A stable lower-case word, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Throttled => "throttled",
            Class::Transient => "transient",
            Class::Clock => "clock",
            Class::Misconfigured => "misconfigured",
            Class::Rejected => "rejected",
        }
    }
}

impl Cause {
    /// A stable lower-case word, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Dns => "dns",
            Cause::Connect => "connect",
            Cause::Tls => "tls",
            Cause::Proxy => "proxy",
            Cause::Reset => "reset",
            Cause::Timeout => "timeout",
            Cause::NotKinesis => "not_kinesis",
            Cause::Service => "service",
            Cause::Credentials => "credentials",
            Cause::Limit => "limit",
            Cause::Settings => "settings",
            Cause::Other => "other",
        }
    }
}

impl Failure {
    /// What happened and what to do, without the call that it happened to.
    pub fn words(&self) -> &str {
        self.message.split_once(": ").map_or(&*self.message, |(_, words)| words)
    }

    /// The error code if there is one, else the cause: one short word for a metric's label.
    pub fn label(&self) -> &str {
        self.code.as_deref().unwrap_or(self.cause.as_str())
    }
}
