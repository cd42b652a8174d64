//! What the service's answers mean for an output. Pure.

use std::time::{Duration, SystemTime};

use millpond_kinesis::aws::{Found, Identity, StreamSummary, TryPut};
use millpond_kinesis::{Cause, Failure, Verification};

use super::{Answers, Check, Verdict};
use crate::commands::check::iam;
use crate::config::checked::{Auth, Output};
use crate::config::units::{Period, Size};

/// A difference that `Date`, which counts seconds, and the way of an answer explain.
const CLOCK_OFF_MS: u64 = 5_000;
/// AWS refuses signatures that are older or newer than this.
const CLOCK_REFUSED_MS: u64 = 5 * 60 * 1_000;

/// Every check of an output, in the order in which one needs the other.
pub(super) fn checks(output: &Output, answers: &Answers) -> Vec<Check> {
    let mut checks = vec![credentials(output, &answers.credentials)];
    checks.extend(answers.identity.as_ref().map(|answer| identity(output, answer)));
    let Some(stream) = &answers.stream else {
        let needed = "it needs credentials";
        checks.extend(["connection", "stream", "shards", "put", "clock"].map(|what| skipped(what, needed)));
        return checks;
    };
    let unreached = stream.as_ref().err().filter(|failure| is_about_the_way(failure));
    checks.extend(way(output, answers, unreached));
    if unreached.is_some() {
        checks.extend(["stream", "shards", "put"].map(|what| skipped(what, "the service is not reached")));
    } else if stream.as_ref().is_err_and(is_not_there) {
        checks.push(self::stream(output, stream));
        checks.extend(["shards", "put"].map(|what| skipped(what, "there is no such stream")));
    } else {
        checks.push(self::stream(output, stream));
        checks.extend(answers.shards.as_ref().map(shards));
        checks.extend(answers.put.as_ref().map(|outcome| put(output, outcome)));
    }
    checks.push(clock(answers.clock_ahead_ms));
    checks
}

/// The settings make no client.
pub(super) fn unusable(failure: &Failure) -> Check {
    from_failure(Verdict::Problem, "connection", failure)
}

/// Whether a call failed before Kinesis could say anything.
pub(super) fn is_about_the_way(failure: &Failure) -> bool {
    let on_the_way = [
        Cause::Dns,
        Cause::Connect,
        Cause::Tls,
        Cause::Proxy,
        Cause::Reset,
        Cause::Timeout,
        Cause::NotKinesis,
        Cause::Credentials,
        Cause::Other,
    ];
    on_the_way.contains(&failure.cause)
}

fn is_not_there(failure: &Failure) -> bool {
    failure.code.as_deref() == Some("ResourceNotFoundException")
}

fn ok(what: &'static str, message: impl Into<String>) -> Check {
    Check { verdict: Verdict::Ok, what, message: message.into(), remedy: None }
}

fn skipped(what: &'static str, why: &str) -> Check {
    Check { verdict: Verdict::Skipped, what, message: why.to_owned(), remedy: None }
}

fn doubt(verdict: Verdict, what: &'static str, message: String, remedy: &str) -> Check {
    Check { verdict, what, message, remedy: Some(remedy.to_owned()) }
}

/// A failure's words are what happened and, after the last colon, what to do.
fn from_failure(verdict: Verdict, what: &'static str, failure: &Failure) -> Check {
    let words = failure.words();
    let (message, remedy) =
        words.rsplit_once(": ").map_or((words, None), |(message, remedy)| (message, Some(remedy)));
    Check { verdict, what, message: message.to_owned(), remedy: remedy.map(str::to_owned) }
}

fn credentials(output: &Output, found: &Result<Found, Failure>) -> Check {
    match found {
        Err(failure) => from_failure(Verdict::Problem, "credentials", failure),
        Ok(found) => {
            let from = match (&output.assume_role, &output.auth) {
                (Some(role), _) => format!("of the role {}", role.arn),
                (None, Auth::Auto) => "as AWS tools find them".to_owned(),
                (None, Auth::Manual { .. }) => {
                    "from the configuration, the environment or instance metadata".to_owned()
                }
                (None, Auth::Secret(source)) => {
                    format!("from {}", millpond_kinesis::aws::KeySource::place(source))
                }
            };
            let until = match found.expiry.and_then(|expiry| expiry.duration_since(SystemTime::now()).ok()) {
                Some(left) => format!(", for another {}", about(left.as_secs())),
                None => String::new(),
            };
            ok("credentials", format!("access key {}, {from}{until}", hint(&found.access_key)))
        }
    }
}

/// Enough of an access key to know it again.
fn hint(key: &str) -> String {
    let (Some(begin), Some(end)) = (key.get(..4), key.get(key.len().saturating_sub(4)..)) else {
        return "…".to_owned();
    };
    if key.len() < 12 { format!("{begin}…") } else { format!("{begin}…{end}") }
}

fn identity(output: &Output, answer: &Result<Identity, Failure>) -> Check {
    match answer {
        Ok(identity) => ok("identity", identity.arn.clone()),
        // Keys of an endpoint of one's own mean nothing to AWS, and STS may be out of reach where Kinesis is not.
        Err(failure) if output.endpoint.is_some() || failure.code.is_none() => {
            let message =
                format!("AWS STS does not say whom the credentials belong to ({})", failure.words());
            let remedy = "nothing, if the other checks are well: forwarding does not need it";
            doubt(Verdict::Warning, "identity", message, remedy)
        }
        Err(failure) => from_failure(Verdict::Problem, "identity", failure),
    }
}

/// The connection, and its encryption.
fn way(output: &Output, answers: &Answers, unreached: Option<&Failure>) -> Vec<Check> {
    let through =
        answers.proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
    if let Some(failure) = unreached {
        let what = if failure.cause == Cause::Tls { "tls" } else { "connection" };
        return vec![from_failure(Verdict::Problem, what, failure)];
    }
    let took = answers.took.as_millis();
    vec![ok("connection", format!("answered in {took} ms{through}")), tls(output, answers.tls)]
}

fn tls(output: &Output, used: bool) -> Check {
    match (used, output.network.reject_unauthorized) {
        (true, true) => match &output.network.ca_file {
            Some(path) => ok(
                "tls",
                format!("the certificate is good, by the system's authorities and {}", path.display()),
            ),
            None => ok("tls", "the certificate is good, by the system's authorities"),
        },
        (true, false) => doubt(
            Verdict::Warning,
            "tls",
            "the certificate is not checked (`reject_unauthorized: false`)".to_owned(),
            "name your own authority in `ca_file`, and remove the setting",
        ),
        (false, _) if is_loopback(output.endpoint.as_deref()) => {
            ok("tls", "none; the endpoint is on this machine")
        }
        (false, _) => doubt(
            Verdict::Warning,
            "tls",
            "none: whoever is in between can read and change what is sent".to_owned(),
            "use an `endpoint` with https://, unless the way there is encrypted otherwise",
        ),
    }
}

fn is_loopback(endpoint: Option<&str>) -> bool {
    let url = endpoint.and_then(|endpoint| url::Url::parse(endpoint).ok());
    match url.as_ref().and_then(url::Url::host) {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn stream(output: &Output, answer: &Result<StreamSummary, Failure>) -> Check {
    let summary = match answer {
        Ok(summary) => summary,
        Err(failure) if is_not_there(failure) => return from_failure(Verdict::Problem, "stream", failure),
        Err(failure) => {
            let message = format!("it does not describe itself ({})", failure.words());
            let remedy = "nothing, if the other checks are well; `kinesis:DescribeStreamSummary` would allow this check";
            return doubt(Verdict::Warning, "stream", message, remedy);
        }
    };
    let status = summary.status.as_str();
    let limit = summary.record_bytes_max;
    match status {
        "DELETING" => doubt(
            Verdict::Problem,
            "stream",
            "it is being deleted".to_owned(),
            "create it anew, or name another",
        ),
        "CREATING" => {
            doubt(Verdict::Warning, "stream", "it is being created".to_owned(), "wait until it is ACTIVE")
        }
        _ => match limit.filter(|limit| *limit < output.max_record_size as u64) {
            Some(limit) => doubt(
                Verdict::Problem,
                "stream",
                format!(
                    "it takes records of up to {}, and `max_record_size` is {}: larger ones would be refused for good",
                    Size(limit),
                    Size(output.max_record_size as u64)
                ),
                "lower `max_record_size`, or raise the stream's own limit (UpdateMaxRecordSize)",
            ),
            None => ok("stream", described(summary)),
        },
    }
}

fn described(summary: &StreamSummary) -> String {
    let mode = if summary.on_demand { "on demand" } else { "provisioned" };
    let shards = summary.open_shards;
    let shards = if shards == 1 { "1 open shard".to_owned() } else { format!("{shards} open shards") };
    let limit = summary
        .record_bytes_max
        .map(|bytes| format!(", records of up to {}", Size(bytes)))
        .unwrap_or_default();
    let key = match &summary.kms_key {
        Some(key) => format!("; encrypted with the KMS key {key}, which needs kms:GenerateDataKey"),
        None => String::new(),
    };
    format!("{}, {mode}, {shards}{limit}{key}", summary.status)
}

fn shards(verification: &Verification) -> Check {
    match verification {
        Verification::Covered { open_shards: 1 } => ok("shards", "1 is open and takes every hash key"),
        Verification::Covered { open_shards } => {
            ok("shards", format!("{open_shards} are open and cover the whole hash range"))
        }
        Verification::NotCovered { reason } => doubt(
            Verdict::Problem,
            "shards",
            reason.clone(),
            "wait until resharding is over; nothing is sent before",
        ),
        Verification::Unknown { reason } => {
            let message = format!("they may not be listed ({})", reason.words());
            let remedy =
                "after an outage the first batch then decides whether to go on: allow it, or leave it so";
            doubt(Verdict::Warning, "shards", message, remedy)
        }
        Verification::Down(failure) => from_failure(Verdict::Problem, "shards", failure),
    }
}

fn put(output: &Output, outcome: &TryPut) -> Check {
    let operation = if iam::puts_several(output) { "PutRecords" } else { "PutRecord" };
    match outcome {
        TryPut::Allowed => ok("put", format!("{operation} is allowed (tried without storing anything)")),
        TryPut::Stored => doubt(
            Verdict::Warning,
            "put",
            format!("{operation} is allowed, and the endpoint stored a record without events"),
            "nothing: it honours neither dry runs nor the range of hash keys, so it is not AWS'",
        ),
        TryPut::Failed(failure) => from_failure(Verdict::Problem, "put", failure),
    }
}

fn clock(ahead_ms: Option<i64>) -> Check {
    let Some(ahead) = ahead_ms else {
        return skipped("clock", "no answer of the service has told the time");
    };
    let off = ahead.unsigned_abs();
    if off <= CLOCK_OFF_MS {
        return ok("clock", "right to a few seconds");
    }
    let which = if ahead > 0 { "behind" } else { "ahead of" };
    let off_by = about(off / 1_000);
    let consequence = if off >= CLOCK_REFUSED_MS {
        "signatures are corrected, but the times of events are wrong"
    } else {
        "the times of events are wrong by as much"
    };
    let message = format!("this machine's clock is {off_by} {which} the service's: {consequence}");
    doubt(
        Verdict::Warning,
        "clock",
        message,
        "set the clock, and keep it set (NTP: chrony, systemd-timesyncd)",
    )
}

/// Seconds, to the minute where there are many.
fn about(seconds: u64) -> Period {
    const MANY: u64 = 3 * 60;
    let seconds = if seconds < MANY { seconds } else { (seconds + 30) / 60 * 60 };
    Period(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
