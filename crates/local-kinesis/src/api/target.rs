//! Which stream, and which shard, a request is about.

use super::error::{Pattern, ServiceError, Violations};
use crate::store::{Store, Stream};

/// A stream by name, by ARN, or both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamRef<'a> {
    name: Option<&'a str>,
    arn: Option<&'a str>,
}

impl<'a> StreamRef<'a> {
    pub(crate) fn new(name: Option<&'a str>, arn: Option<&'a str>) -> Self {
        Self { name, arn }
    }

    /// Neither name nor ARN is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.name.is_none() && self.arn.is_none()
    }

    pub(crate) fn check(&self, violations: &mut Violations) {
        violations.text("streamName", self.name, Some(Pattern::Name), 128);
        if let Some(arn) = self.arn.filter(|arn| name_in_arn(arn).is_none()) {
            let constraint =
                "Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+";
            violations.add("streamARN", Some(arn), constraint);
        }
    }

    /// The stream's name.
    pub(crate) fn resolve(&self) -> Result<&'a str, ServiceError> {
        match (self.name, self.arn.and_then(name_in_arn)) {
            (Some(name), Some(in_arn)) if name != in_arn => Err(ServiceError::invalid_argument(format!(
                "StreamName {name} does not match the stream {in_arn} in StreamARN."
            ))),
            (Some(name), _) | (None, Some(name)) => Ok(name),
            (None, None) => {
                Err(ServiceError::invalid_argument("Either StreamARN or StreamName must be provided."))
            }
        }
    }
}

/// `logs` in `arn:aws:kinesis:us-east-1:000000000000:stream/logs`.
fn name_in_arn(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let right = arn == "arn" && partition.starts_with("aws") && service == "kinesis" && digits;
    let name = resource.strip_prefix("stream/").filter(|name| !name.is_empty())?;
    right.then_some(name)
}

/// The stream that a request is about.
pub(crate) fn find<'s>(store: &'s Store, target: &StreamRef<'_>) -> Result<&'s Stream, ServiceError> {
    let name = target.resolve()?;
    store.streams.get(name).ok_or_else(|| ServiceError::stream_not_found(store, name))
}

/// The index of a shard in a stream.
pub(crate) fn find_shard(store: &Store, stream: &Stream, shard: &str) -> Result<usize, ServiceError> {
    let not_found = |shard: &str| ServiceError::shard_not_found(store, &stream.name, shard);
    let number = Stream::shard_index(shard).ok_or_else(|| not_found(shard))?;
    let index = number as usize;
    let known = index < stream.shards.len();
    known.then_some(index).ok_or_else(|| not_found(&crate::store::shard::shard_id(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_arns() {
        for (arn, expected) in [
            ("arn:aws:kinesis:us-east-1:000000000000:stream/logs", Some("logs")),
            ("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b", Some("a.b")),
            ("arn:aws:kinesis:us-east-1:00000000000:stream/logs", None),
            ("arn:aws:sqs:us-east-1:000000000000:stream/logs", None),
            ("arn:aws:kinesis:us-east-1:000000000000:stream/", None),
            ("logs", None),
        ] {
            assert_eq!(name_in_arn(arn), expected, "{arn}");
        }
    }

    #[test]
    fn name_and_arn_must_agree() {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/logs";
        assert_eq!(StreamRef::new(Some("logs"), Some(arn)).resolve().unwrap(), "logs");
        assert_eq!(StreamRef::new(None, Some(arn)).resolve().unwrap(), "logs");
        let clash = StreamRef::new(Some("other"), Some(arn)).resolve().unwrap_err();
        assert_eq!(clash.code, "InvalidArgumentException");
        assert!(StreamRef::new(None, None).resolve().is_err());
    }
}
