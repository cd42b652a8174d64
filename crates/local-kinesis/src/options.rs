//! What the endpoint is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::Fault;
use crate::fault_text::parse_duration;

/// Settings of an endpoint; start from `Options::default()`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one, reported by [`Server::addr`](crate::Server::addr). Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// A second address that serves only `/_local/…` and stays reachable while the fault `down` is on. Default: none.
    pub control_listen: Option<SocketAddr>,
    /// The streams that exist from the beginning.
    pub streams: Vec<StreamSpec>,
    /// What is kept of accepted records. Default [`Keep::All`].
    pub keep: Keep,
    /// The region in ARNs. Default `us-east-1`.
    pub region: String,
    /// The twelve-digit account in ARNs. Default `000000000000`.
    pub account: String,
    /// Every accepted event is appended to this file, one JSON line each. Default: none.
    pub write_events: Option<PathBuf>,
    /// Refuse what exceeds a shard's 1 MiB or 1000 records per second, as the service does. Default false.
    pub enforce_throughput: bool,
    /// When the credentials of AssumeRole run out. Default: after the time that was asked for.
    pub role_lifetime: Option<RoleLifetime>,
    /// The faults that are on from the beginning.
    pub faults: Vec<Fault>,
    /// Bounds of the endpoint itself.
    pub limits: Limits,
    /// Seed of the dice behind probabilities; none takes a random one.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            control_listen: None,
            streams: Vec::new(),
            keep: Keep::All,
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            write_events: None,
            enforce_throughput: false,
            role_lifetime: None,
            faults: Vec::new(),
            limits: Limits::default(),
            seed: None,
        }
    }
}

/// What is kept of accepted records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// The bytes as received, with key and arrival time, in order of arrival per shard. Memory grows with what is kept.
    #[default]
    All,
    /// Only counts. Memory stays flat; readers find the shards empty.
    CountOnly,
}

/// When the credentials of AssumeRole run out, whatever time was asked for. As text: `DURATION`, `DURATION,unstated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleLifetime {
    /// After this time, and they say so.
    Stated(Duration),
    /// After this time, though they say that they last as long as was asked for: somebody revokes the session.
    Unstated(Duration),
}

impl FromStr for RoleLifetime {
    type Err = ParseRoleLifetimeError;

    fn from_str(text: &str) -> Result<Self, ParseRoleLifetimeError> {
        let (duration, unstated) = match text.split_once(',') {
            None => (text, false),
            Some((duration, "unstated")) => (duration, true),
            Some((_, other)) => return Err(ParseRoleLifetimeError::Option(other.to_owned())),
        };
        let lifetime = parse_duration(duration).map_err(ParseRoleLifetimeError::Duration)?;
        Ok(if unstated { Self::Unstated(lifetime) } else { Self::Stated(lifetime) })
    }
}

/// Why a text is no [`RoleLifetime`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRoleLifetimeError {
    /// It does not begin with a duration.
    #[error("{0}")]
    Duration(String),
    /// What comes after the comma is not `unstated`.
    #[error("`{0}` is no option of a role's lifetime; there is `unstated`, as in 3s,unstated")]
    Option(String),
}

/// Bounds of the endpoint itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; further ones wait in the kernel's backlog. Default 256.
    pub connections_max: usize,
    /// Bytes of request bodies in memory at a time, over all connections; further requests wait. Default 128 MiB.
    pub body_bytes_in_flight_max: usize,
    /// Shards per page of ListShards, whatever the caller asks for. Default 1000, as the service.
    pub list_shards_page_max: usize,
    /// Shards per page of DescribeStream, whatever the caller asks for. Default 100, as the service.
    pub describe_stream_page_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            body_bytes_in_flight_max: 128 << 20,
            list_shards_page_max: 1000,
            describe_stream_page_max: 100,
        }
    }
}

/// A stream to create at the start. As text: `NAME:SHARDS` or `NAME:SHARDS:RECORD_KIB`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// The name: 1–128 of `a-z A-Z 0-9 _ . -`.
    pub name: String,
    /// Open shards, dividing the hash range evenly.
    pub shards: u32,
    /// The largest record in KiB, key included: 1024 (the default) to 10240.
    pub record_kib_max: u32,
}

impl StreamSpec {
    /// Shards that a stream may start with.
    pub(crate) const SHARDS_MAX: u32 = 10_000;

    /// A stream with records of up to 1 MiB.
    #[must_use]
    pub fn new(name: impl Into<String>, shards: u32) -> Self {
        Self { name: name.into(), shards, record_kib_max: 1024 }
    }
}

/// Why a text is no [`StreamSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseStreamError {
    /// No colon, or too many.
    #[error("`{0}` is no stream: write NAME:SHARDS or NAME:SHARDS:RECORD_KIB, for example logs:4")]
    Form(String),
    /// The name has characters that the service does not allow, or too many or too few.
    #[error("stream name `{0}`: use 1 to 128 of a-z A-Z 0-9 _ . -")]
    Name(String),
    /// The number of shards is no number in range.
    #[error("stream `{name}`: `{text}` shards, but it takes a number from 1 to {max}", max = StreamSpec::SHARDS_MAX)]
    Shards {
        /// The stream.
        name: String,
        /// What was given.
        text: String,
    },
    /// The record size is no number in range.
    #[error("stream `{name}`: records of `{text}` KiB, but it takes a number from 1024 to 10240")]
    RecordKib {
        /// The stream.
        name: String,
        /// What was given.
        text: String,
    },
}

/// Whether the service would take this name for a stream.
pub(crate) fn is_stream_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

impl FromStr for StreamSpec {
    type Err = ParseStreamError;

    fn from_str(text: &str) -> Result<Self, ParseStreamError> {
        let parts: Vec<&str> = text.split(':').collect();
        let (name, shards, kib) = match parts.as_slice() {
            [name, shards] => (*name, *shards, None),
            [name, shards, kib] => (*name, *shards, Some(*kib)),
            _ => return Err(ParseStreamError::Form(text.to_owned())),
        };
        let spec = Self {
            name: name.to_owned(),
            shards: number_within(shards, 1, Self::SHARDS_MAX)
                .ok_or_else(|| ParseStreamError::Shards { name: name.to_owned(), text: shards.to_owned() })?,
            record_kib_max: match kib {
                None => 1024,
                Some(kib) => number_within(kib, 1024, 10_240).ok_or_else(|| ParseStreamError::RecordKib {
                    name: name.to_owned(),
                    text: kib.to_owned(),
                })?,
            },
        };
        if is_stream_name(name) { Ok(spec) } else { Err(ParseStreamError::Name(name.to_owned())) }
    }
}

fn number_within(text: &str, least: u32, most: u32) -> Option<u32> {
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, u32, u32), &str>) {
        let parsed = text.parse::<StreamSpec>();
        match (&parsed, expected) {
            (Ok(spec), Ok(expected)) => {
                assert_eq!((spec.name.as_str(), spec.shards, spec.record_kib_max), expected)
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error} lacks {part}"),
            _ => panic!("{text}: {parsed:?} but expected {expected:?}"),
        }
    }

    #[test]
    fn role_lifetimes() {
        let check =
            |text: &str, expected: Result<RoleLifetime, &str>| match (text.parse::<RoleLifetime>(), expected)
            {
                (Ok(lifetime), Ok(expected)) => assert_eq!(lifetime, expected, "{text}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error} lacks {part}"),
                (parsed, expected) => panic!("{text}: {parsed:?} but expected {expected:?}"),
            };
        check("3s", Ok(RoleLifetime::Stated(Duration::from_secs(3))));
        check("500ms,unstated", Ok(RoleLifetime::Unstated(Duration::from_millis(500))));
        check("3", Err("write a number and a unit"));
        check("3s,stated", Err("`stated` is no option"));
    }

    #[test]
    fn stream_specs() {
        check("logs:4", Ok(("logs", 4, 1024)));
        check("a.b-c_D:10000:10240", Ok(("a.b-c_D", 10_000, 10_240)));
        check("logs", Err("write NAME:SHARDS"));
        check("logs:1:1024:1", Err("write NAME:SHARDS"));
        check("logs:0", Err("from 1 to 10000"));
        check("logs:x", Err("`x` shards"));
        check("logs:1:512", Err("from 1024 to 10240"));
        check(":1", Err("1 to 128"));
        check("l/g:1", Err("stream name `l/g`"));
        check(&format!("{}:1", "n".repeat(129)), Err("1 to 128"));
    }
}
