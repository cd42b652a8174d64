//! Code and cause become a class and a sentence. Never the HTTP status alone: throttling is a 400.
//!
//! What is not known is worth another try: only codes that say so are *misconfigured* (held until
//! somebody acts) or *rejected* (this record never).

use std::time::Duration;

use crate::client::{Cause, Class, Failure};

/// Where something happened: for sentences.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// `PutRecord`.
    pub operation: &'a str,
    /// The stream's name.
    pub stream: &'a str,
    /// The endpoint, or the region where there is none.
    pub place: &'a str,
}

/// An answer that carries an error code.
#[derive(Clone, Copy, Debug)]
pub struct ServiceError<'a> {
    /// The code, as found: a namespace or a URL may be around it.
    pub code: &'a str,
    /// The service's words.
    pub words: &'a str,
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, if given.
    pub retry_after: Option<Duration>,
    /// The service's id of the request.
    pub request_id: Option<&'a str>,
}

/// The code without what may be around it: `com.amazonaws.kinesis#Code:http://…` is `Code`.
pub fn bare_code(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or(code);
    code.rsplit('#').next().unwrap_or(code).trim()
}

/// Codes that mean one thing whatever words come with them: class, remedy, codes.
const CODES: &[(Class, &str, &[&str])] = &[
    (
        Class::Throttled,
        "the shards take 1 MB and 1,000 records per second each: slowing down; add shards or use on-demand mode if it lasts",
        &["ProvisionedThroughputExceededException"],
    ),
    (
        Class::Throttled,
        "AWS KMS limits how often the stream's key is used: slowing down; ask for a higher KMS quota if it lasts",
        &["KMSThrottlingException"],
    ),
    (
        Class::Throttled,
        "too many calls: slowing down",
        &[
            "LimitExceededException",
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "BandwidthLimitExceeded",
            "SlowDown",
            "PriorRequestNotComplete",
        ],
    ),
    (
        Class::Misconfigured,
        "allow this operation on the stream in the IAM policy of these credentials (and in the stream's resource policy, if it has one)",
        &["AccessDeniedException", "AccessDenied", "NotAuthorized", "AuthorizationError"],
    ),
    (
        Class::Misconfigured,
        "AWS does not know this access key: check the key and its session token, and that it belongs to this partition (AWS, GovCloud, China)",
        &[
            "UnrecognizedClientException",
            "UnrecognizedClient",
            "InvalidClientTokenId",
            "InvalidAccessKeyId",
            "AuthFailure",
        ],
    ),
    (
        Class::Misconfigured,
        "the session token has run out: refresh the credentials",
        &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"],
    ),
    (
        Class::Misconfigured,
        "the request arrived without its signature: a proxy that removes headers, or an endpoint that is not Kinesis",
        &[
            "IncompleteSignature",
            "IncompleteSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
        ],
    ),
    (
        Class::Misconfigured,
        "this AWS account may not use Kinesis in this region: enable it",
        &["OptInRequired", "SubscriptionRequiredException", "InvalidAccountException"],
    ),
    (
        Class::Misconfigured,
        "check the stream's name, the region and the account; create the stream if it is missing",
        &["ResourceNotFoundException"],
    ),
    (
        Class::Misconfigured,
        "allow kms:GenerateDataKey for these credentials on the key that encrypts the stream",
        &["KMSAccessDeniedException"],
    ),
    (
        Class::Misconfigured,
        "enable or restore the KMS key that encrypts the stream",
        &["KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired"],
    ),
    (
        Class::Misconfigured,
        "whatever answers at this address is not Kinesis: check the endpoint",
        &["UnknownOperationException", "InvalidAction"],
    ),
    (Class::Clock, CLOCK_REMEDY, &["RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"]),
    (
        Class::Transient,
        "the stream is being created, changed or deleted: trying again",
        &["ResourceInUseException"],
    ),
    (
        Class::Transient,
        "a fault inside the service: trying again",
        &[
            "InternalFailure",
            "InternalFailureException",
            "InternalServerError",
            "InternalServerException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "RequestTimeout",
            "RequestTimeoutException",
        ],
    ),
];

/// The class of an error code, and what a person can do about it. Both may depend on the words that
/// came with the code.
pub fn class_and_remedy(code: &str, words: &str) -> (Class, &'static str) {
    let code = bare_code(code);
    match code {
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "InvalidSignature" => {
            return signature(words);
        }
        "ValidationException"
        | "ValidationError"
        | "InvalidArgumentException"
        | "InvalidParameterException"
        | "InvalidParameterValue" => return invalid(words),
        _ => {}
    }
    let known = CODES.iter().find(|(_, _, codes)| codes.contains(&code));
    known.map_or((Class::Transient, "trying again"), |(class, remedy, _)| (*class, remedy))
}

const CLOCK_REMEDY: &str =
    "the clock of this machine is wrong by more than the service accepts: set it (NTP)";

/// A signature is refused for the clock or for the secret key; the words tell which.
fn signature(words: &str) -> (Class, &'static str) {
    let words = words.to_ascii_lowercase();
    let clock = ["expired", "not yet current", "in the future", "skew"];
    if clock.iter().any(|hint| words.contains(hint)) {
        return (Class::Clock, CLOCK_REMEDY);
    }
    (Class::Misconfigured, "the secret key does not belong to the access key, or a proxy changes the request")
}

/// A request is refused for what it says. If that is the name of the stream, no record is to blame.
fn invalid(words: &str) -> (Class, &'static str) {
    let words = words.to_ascii_lowercase();
    let about_stream = ["streamname", "stream name", "streamarn", "stream arn", "streamid"];
    let about_record = ["data", "partitionkey", "partition key", "hashkey", "hash key", "record"];
    if about_stream.iter().any(|hint| words.contains(hint))
        && !about_record.iter().any(|hint| words.contains(hint))
    {
        return (Class::Misconfigured, "check the stream's name");
    }
    (Class::Rejected, "the service will never take this record as it is")
}

/// An answer with an error code.
pub fn service_error(context: Context<'_>, error: ServiceError<'_>) -> Failure {
    let code = bare_code(error.code);
    let (class, remedy) = class_and_remedy(code, error.words);
    let words = if error.words.trim().is_empty() {
        String::new()
    } else {
        format!(" ({})", shorten(error.words.trim(), 300))
    };
    Failure {
        class,
        cause: Cause::Service,
        code: Some(code.to_owned()),
        status: Some(error.status),
        message: format!(
            "{} to stream {} at {}: {code}{words}: {remedy}",
            context.operation, context.stream, context.place
        ),
        may_have_arrived: error.status >= 500 && class == Class::Transient,
        retry_after: error.retry_after,
        request_id: error.request_id.map(str::to_owned),
    }
}

/// The error of one record in an answer that is otherwise a success.
pub fn record_error(context: Context<'_>, code: &str, words: &str) -> Failure {
    let error = ServiceError { code, words, status: 200, retry_after: None, request_id: None };
    service_error(context, error)
}

/// An answer that Kinesis did not write. `what` completes the sentence "the answer is not from
/// Kinesis: …".
pub fn not_kinesis(context: Context<'_>, what: &str, status: Option<u16>) -> Failure {
    let status_text = status.map_or_else(String::new, |status| format!(", status {status}"));
    Failure {
        class: Class::Transient,
        cause: Cause::NotKinesis,
        code: None,
        status,
        message: format!(
            "{} to stream {} at {}: the answer is not from Kinesis ({what}{status_text}): captive portal or proxy?",
            context.operation, context.stream, context.place
        ),
        may_have_arrived: true,
        retry_after: None,
        request_id: None,
    }
}

/// A call that brought no answer. `what` says what happened, `remedy` what to look at.
pub fn no_answer(context: Context<'_>, cause: Cause, what: &str, may_have_arrived: bool) -> Failure {
    let remedy = match cause {
        Cause::Dns => "check the link and the name server",
        Cause::Connect => "check the link, the firewall and the endpoint",
        Cause::Tls => {
            "something in between (proxy, captive portal) shows its own certificate (if it is to be trusted, name its authority in ca_file), or the system's authorities are out of date"
        }
        Cause::Proxy => "check the proxy and its password",
        Cause::Timeout => "the link is slow or dead",
        Cause::Reset => "the link, a firewall or a proxy in between breaks connections: trying again",
        _ => "trying again",
    };
    Failure {
        class: Class::Transient,
        cause,
        code: None,
        status: None,
        message: format!(
            "{} to stream {} at {}: {}: {remedy}",
            context.operation,
            context.stream,
            context.place,
            shorten(what, 300)
        ),
        may_have_arrived,
        retry_after: None,
        request_id: None,
    }
}

/// At most `chars_max` characters, and no line breaks: service words go into log lines.
pub fn shorten(text: &str, chars_max: usize) -> String {
    let mut short: String = text
        .chars()
        .take(chars_max)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if text.chars().nth(chars_max).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
