//! The SDK's errors become ours.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::dial::{NetError, error_chain};
use crate::classify::{self, Context, ServiceError, class_and_remedy, shorten};
use crate::client::{Cause, Class, Failure};

/// What went wrong with a call. `looked_in` says where credentials were looked for.
pub(super) fn failure<E>(context: Context<'_>, error: &SdkError<E, HttpResponse>, looked_in: &str) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let words = service.err().message().unwrap_or_default();
            answered(context, service.raw(), service.err().code(), words)
        }
        SdkError::ResponseError(response) => answered(context, response.raw(), None, ""),
        other => not_answered(context, other, looked_in),
    }
}

/// There is an answer, with an error code or without.
fn answered(context: Context<'_>, response: &HttpResponse, code: Option<&str>, words: &str) -> Failure {
    let status = response.status().as_u16();
    match code.filter(|code| !code.trim().is_empty()) {
        Some(code) => classify::service_error(
            context,
            ServiceError {
                code,
                words,
                status,
                retry_after: retry_after(response),
                request_id: response.headers().get("x-amzn-requestid"),
            },
        ),
        None => {
            let body = response.body().bytes().unwrap_or_default();
            let mut failure = classify::not_kinesis(context, looks_like(body), Some(status));
            failure.retry_after = retry_after(response);
            failure
        }
    }
}

/// What an answer without an error code is, by its begin.
fn looks_like(body: &[u8]) -> &'static str {
    let begin = body.trim_ascii_start();
    match begin.first() {
        None => "empty",
        Some(b'<') => "HTML",
        Some(b'{') if serde_json::from_slice::<serde::de::IgnoredAny>(begin).is_ok() => {
            "JSON without an error code"
        }
        Some(b'{') => "JSON that is cut off or damaged",
        Some(_) => "neither JSON nor HTML",
    }
}

/// `Retry-After` in seconds. A date is not understood: the clock may be what is wrong.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let seconds: u64 = response.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}

fn not_answered(context: Context<'_>, error: &(dyn Error + 'static), looked_in: &str) -> Failure {
    let credentials = error_chain(error).find_map(|error| error.downcast_ref::<CredentialsError>());
    if let Some(credentials) = credentials {
        return no_credentials(context, credentials, looked_in);
    }
    match net_error(error) {
        Some(net) => classify::no_answer(context, net.cause, &net.what, net.may_have_arrived),
        None => classify::no_answer(context, Cause::Other, &chain_text(error), true),
    }
}

fn net_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a NetError> {
    error_chain(error).find_map(|error| error.downcast_ref::<NetError>())
}

/// What STS denies is taking on a role.
const ROLE_REMEDY: &str = "allow sts:AssumeRole on the role in the IAM policy of the credentials that take it on, and see that \
                           its trust policy names them, and the external_id if it asks for one";

/// There are no credentials to sign with. For want of them, somebody has to act; when their source
/// cannot be reached, it may come back.
pub(super) fn no_credentials(context: Context<'_>, error: &CredentialsError, looked_in: &str) -> Failure {
    let code = source_code(error);
    let (class, what) = match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            (Class::Misconfigured, format!("no AWS credentials found: looked in {looked_in}"))
        }
        CredentialsError::InvalidConfiguration(_) => {
            (Class::Misconfigured, format!("the AWS credentials are set up wrongly: {}", chain_text(error)))
        }
        _ => match (&code, net_error(error)) {
            (Some(code), _) => {
                let (class, remedy) = match code.as_str() {
                    "AccessDenied" | "AccessDeniedException" => (Class::Misconfigured, ROLE_REMEDY),
                    code => class_and_remedy(code, ""),
                };
                let text = chain_text(error);
                (class, format!("the AWS credentials were refused: {text}: {remedy}"))
            }
            (None, net) => {
                let why = net.map_or_else(|| chain_text(error), |net| net.what.clone());
                (
                    Class::Transient,
                    format!("the AWS credentials cannot be fetched ({why}): looked in {looked_in}"),
                )
            }
        },
    };
    Failure {
        class,
        cause: Cause::Credentials,
        code,
        status: None,
        message: format!("{} to stream {} at {}: {what}", context.operation, context.stream, context.place),
        may_have_arrived: false,
        retry_after: None,
        request_id: None,
    }
}

/// The error code with which STS or another source of credentials answered. Its error types are the
/// SDK's own affair; their text is `unhandled error (CODE)` or begins with the code.
fn source_code(error: &CredentialsError) -> Option<String> {
    error_chain(error).find_map(|error| {
        let text = error.to_string();
        let code = text
            .strip_prefix("unhandled error (")
            .and_then(|rest| rest.strip_suffix(')'))
            .or_else(|| text.split([':', ' ']).next().filter(|word| word.ends_with("Exception")))?;
        Some(code.to_owned())
    })
}

/// The error and all that is behind it, each text once.
fn chain_text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for part in error_chain(error).map(ToString::to_string) {
        if !part.is_empty() && !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
    }
    shorten(&text, 300)
}
