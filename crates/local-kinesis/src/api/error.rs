//! Errors as the service words them.

use crate::store::Store;

/// What the service answers instead of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceError {
    /// HTTP status. Kinesis says 400 for nearly everything, throttling and missing permissions included.
    pub(crate) status: u16,
    /// Without name space, as in `__type`.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl ServiceError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into() }
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new("InvalidArgumentException", message)
    }

    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    pub(crate) fn resource_in_use(message: impl Into<String>) -> Self {
        Self::new("ResourceInUseException", message)
    }

    pub(crate) fn expired_iterator(message: impl Into<String>) -> Self {
        Self::new("ExpiredIteratorException", message)
    }

    pub(crate) fn expired_next_token(message: impl Into<String>) -> Self {
        Self::new("ExpiredNextTokenException", message)
    }

    pub(crate) fn expired_token() -> Self {
        Self::new("ExpiredTokenException", "The security token included in the request is expired")
    }

    pub(crate) fn dry_run() -> Self {
        Self::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun parameter was specified.",
        )
    }

    pub(crate) fn invalid_signature(message: impl Into<String>) -> Self {
        Self::new("InvalidSignatureException", message)
    }

    pub(crate) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    pub(crate) fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", "")
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request body exceeds {limit} bytes");
        Self { status: 413, ..Self::new("RequestEntityTooLargeException", message) }
    }

    pub(crate) fn denied(store: &Store, action: &str, resource: &str) -> Self {
        let user = format!("arn:aws:iam::{}:user/local", store.account);
        let message = format!(
            "User: {user} is not authorized to perform: {action} on resource: {resource} because no \
             identity-based policy allows the {action} action"
        );
        Self::new("AccessDeniedException", message)
    }

    pub(crate) fn stream_not_found(store: &Store, stream: &str) -> Self {
        let message = format!("Stream {stream} under account {} not found.", store.account);
        Self::new("ResourceNotFoundException", message)
    }

    pub(crate) fn shard_not_found(store: &Store, stream: &str, shard: &str) -> Self {
        let account = &store.account;
        let message = format!("Could not find shard {shard} in stream {stream} under account {account}.");
        Self::new("ResourceNotFoundException", message)
    }

    pub(crate) fn throttled(message: impl Into<String>) -> Self {
        Self::new("ProvisionedThroughputExceededException", message)
    }
}

/// The message that comes with throttling of a shard.
pub(crate) fn rate_exceeded(account: &str, stream: &str, shard: &str) -> String {
    format!("Rate exceeded for shard {shard} in stream {stream} under account {account}.")
}

/// Constraints that a request violates, collected and worded as the service does.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<String>);

/// What the characters of a text must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Names of streams and shards.
    Name,
    /// Numbers of up to 39 digits.
    HashKey,
    /// Numbers of up to 129 digits.
    SequenceNumber,
}

impl Pattern {
    fn text(self) -> &'static str {
        match self {
            Self::Name => "[a-zA-Z0-9_.-]+",
            Self::HashKey => "0|([1-9]\\d{0,38})",
            Self::SequenceNumber => "0|([1-9]\\d{0,128})",
        }
    }

    fn matches(self, text: &str) -> bool {
        let number = |digits_max: usize| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let plain = text == "0" || (!text.is_empty() && !text.starts_with('0'));
            digits && plain && text.len() <= digits_max
        };
        match self {
            Self::Name => {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
                !text.is_empty() && text.bytes().all(allowed)
            }
            Self::HashKey => number(39),
            Self::SequenceNumber => number(129),
        }
    }
}

impl Violations {
    /// The value, shown, at this place violates a constraint.
    pub(crate) fn add(&mut self, at: &str, value: Option<&str>, constraint: &str) {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        self.0.push(format!("Value {value} at '{at}' failed to satisfy constraint: {constraint}"));
    }

    /// A blob is too long; the service does not show its value.
    pub(crate) fn add_blob(&mut self, at: &str, bytes_max: usize) {
        let constraint = format!("Member must have length less than or equal to {bytes_max}");
        self.0.push(format!("Value at '{at}' failed to satisfy constraint: {constraint}"));
    }

    /// The value must be there.
    pub(crate) fn required<T>(&mut self, at: &str, value: Option<&T>) {
        if value.is_none() {
            self.add(at, None, "Member must not be null");
        }
    }

    /// The text, if given, must match and be within these many UTF-16 units, which is how the service counts.
    pub(crate) fn text(&mut self, at: &str, value: Option<&str>, pattern: Option<Pattern>, units_max: usize) {
        let Some(value) = value else { return };
        if let Some(pattern) = pattern.filter(|pattern| !pattern.matches(value)) {
            let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.text());
            self.add(at, Some(value), &constraint);
        }
        if value.is_empty() {
            self.add(at, Some(value), "Member must have length greater than or equal to 1");
        }
        if value.encode_utf16().count() > units_max {
            let constraint = format!("Member must have length less than or equal to {units_max}");
            self.add(at, Some(value), &constraint);
        }
    }

    /// The number, if given, must be within these.
    pub(crate) fn number(&mut self, at: &str, value: Option<i64>, least: i64, most: i64) {
        let Some(value) = value else { return };
        if value < least {
            let constraint = format!("Member must have value greater than or equal to {least}");
            self.add(at, Some(&value.to_string()), &constraint);
        }
        if value > most {
            let constraint = format!("Member must have value less than or equal to {most}");
            self.add(at, Some(&value.to_string()), &constraint);
        }
    }

    /// The error, if there were violations. The service shows ten at most.
    pub(crate) fn into_result(mut self) -> Result<(), ServiceError> {
        self.0.truncate(10);
        match self.0.len() {
            0 => Ok(()),
            1 => Err(ServiceError::validation(format!("1 validation error detected: {}", self.0.join("; ")))),
            count => {
                let all = self.0.join("; ");
                Err(ServiceError::validation(format!("{count} validation errors detected: {all}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            (Pattern::Name, "a.b_C-9", true),
            (Pattern::Name, "", false),
            (Pattern::Name, "a b", false),
            (Pattern::HashKey, "0", true),
            (Pattern::HashKey, "00", false),
            (Pattern::HashKey, "999999999999999999999999999999999999999", true),
            (Pattern::HashKey, "9999999999999999999999999999999999999990", false),
            (Pattern::HashKey, "-1", false),
            (Pattern::SequenceNumber, &"9".repeat(129), true),
            (Pattern::SequenceNumber, &"9".repeat(130), false),
        ] {
            assert_eq!(pattern.matches(text), expected, "{pattern:?} {text}");
        }
    }

    #[test]
    fn wording() {
        let mut violations = Violations::default();
        violations.required::<()>("records", None);
        violations.text("streamName", Some(""), Some(Pattern::Name), 128);
        violations.number("limit", Some(0), 1, 10_000);
        let error = violations.into_result().unwrap_err();
        assert_eq!(
            error.message,
            "4 validation errors detected: Value null at 'records' failed to satisfy constraint: Member must not be \
             null; Value '' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression \
             pattern: [a-zA-Z0-9_.-]+; Value '' at 'streamName' failed to satisfy constraint: Member must have length \
             greater than or equal to 1; Value '0' at 'limit' failed to satisfy constraint: Member must have value \
             greater than or equal to 1"
        );
        assert!(Violations::default().into_result().is_ok());
    }

    #[test]
    fn length_is_counted_in_utf16_units() {
        // Two units each.
        for (count, fits) in [(128, true), (129, false)] {
            let mut violations = Violations::default();
            violations.text("partitionKey", Some(&"🌊".repeat(count)), None, 256);
            assert_eq!(violations.into_result().is_ok(), fits, "{count}");
        }
    }
}
