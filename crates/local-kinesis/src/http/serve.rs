//! One request: which operation it asks for, what the faults do to it, and its answer.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, Response};

use super::body::{self, Payload, REQUEST_BYTES_MAX, Unread};
use super::socket::{Cut, Link};
use super::{answer, local};
use crate::Operation;
use crate::api::sts::{self, Caller, Form, Session, StsReply};
use crate::api::{Call, Reply, ServiceError, dispatch, shards_concerned};
use crate::clock::{amz_date, parse_amz_date, unix_ms};
use crate::endpoint::Endpoint;
use crate::fault_control::Active;
use crate::strike::{After, LinkFault, Refusal, Strike};

const TARGET_PREFIX: &str = "Kinesis_20131202.";
/// How old a signature may be, and how far in the future.
const SIGNATURE_AGE_MAX_MS: i64 = 300_000;

/// The connection ends without, or within, an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut by a fault")]
pub(crate) struct ConnectionCut;

type Served = Result<Response<Payload>, ConnectionCut>;

/// What a request asks for.
enum Asked {
    Kinesis(Operation),
    Sts(Operation, Form),
    /// Refused before any operation is known.
    Refused(&'static str, Response<Payload>),
}

/// Serves a request on the address that serves nothing but control.
pub(crate) async fn serve_control(endpoint: Arc<Endpoint>, request: Request<Incoming>) -> Served {
    if local::is_control(request.uri().path()) {
        return Ok(local::serve(&endpoint, request).await);
    }
    Ok(answer::plain(404, "text/plain", "this address serves only /_local/…\n".to_owned()))
}

/// Serves a request.
pub(crate) async fn serve(endpoint: Arc<Endpoint>, link: Arc<Link>, request: Request<Incoming>) -> Served {
    if local::is_control(request.uri().path()) {
        return Ok(local::serve(&endpoint, request).await);
    }
    let (head, incoming) = request.into_parts();
    let stamp = answer::Stamp { request_id: endpoint.request_id(), now_ms: unix_ms() };
    let body = match body::read(&endpoint, incoming, REQUEST_BYTES_MAX).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            endpoint.tally.request(None, "RequestEntityTooLargeException");
            return Ok(answer::error(&stamp, &ServiceError::too_large(REQUEST_BYTES_MAX)));
        }
        Err(Unread::Broken) => {
            endpoint.tally.request(None, "broken");
            return Err(ConnectionCut);
        }
    };
    let (op, form) = match what_is_asked(&stamp, &head.method, &head.headers, &body.bytes) {
        Asked::Kinesis(op) => (op, None),
        Asked::Sts(op, form) => (op, Some(form)),
        Asked::Refused(outcome, response) => {
            endpoint.tally.request(None, outcome);
            return Ok(response);
        }
    };
    let concerned = || shards_concerned(&endpoint.store(), op, &body.bytes);
    let strike = Strike::gather(endpoint.faults.snapshot(), op, concerned);
    if let Some(served) = before(&endpoint, &link, &strike, op).await {
        return served;
    }
    // Delays may have taken their time.
    let now_ms = unix_ms();
    let stamp = answer::Stamp { now_ms: now_ms + strike.skew_ms.unwrap_or(0), ..stamp };
    let (outcome, response) = match form {
        Some(form) => {
            let reply = answer_of_sts(&endpoint, &strike, op, &form, &stamp, &head.headers);
            (reply.outcome, answer::sts(&stamp, reply))
        }
        None => {
            let call = Call { endpoint: &endpoint, op, body: &body.bytes, strike: &strike, now_ms };
            match carry_out(&call, &stamp, &head.headers).await {
                Ok(reply) => (if reply.partial { "partial" } else { "ok" }, answer::ok(&stamp, reply.body)),
                Err(error) => (error.code, answer::error(&stamp, &error)),
            }
        }
    };
    after(&endpoint, &link, strike.after, op, outcome, response)
}

/// Which operation a request asks for.
fn what_is_asked(stamp: &answer::Stamp, method: &Method, headers: &HeaderMap, body: &[u8]) -> Asked {
    let content_type = header(headers, CONTENT_TYPE.as_str()).split(';').next().unwrap_or_default().trim();
    if method != Method::POST {
        return Asked::Refused("AccessDeniedException", answer::no_operation(stamp));
    }
    if content_type == "application/x-www-form-urlencoded" {
        let form = Form::parse(body);
        let operation = form.get("Action").and_then(|action| action.parse().ok());
        if let Some(op) = operation.filter(|op: &Operation| op.is_sts()) {
            return Asked::Sts(op, form);
        }
        let message = "Could not find operation; this endpoint knows AssumeRole and GetCallerIdentity only";
        let reply = sts::refused(400, "InvalidAction", message, &stamp.request_id);
        return Asked::Refused("InvalidAction", answer::sts(stamp, reply));
    }
    let target = header(headers, "x-amz-target");
    if target.is_empty() {
        return Asked::Refused("AccessDeniedException", answer::no_operation(stamp));
    }
    if content_type != answer::JSON_1_1 {
        tracing::warn!(
            content_type,
            "only {} is spoken here; for CBOR, set AWS_CBOR_DISABLE=1",
            answer::JSON_1_1
        );
        let refused = answer::unknown_content_type(stamp);
        return Asked::Refused("UnknownOperationException", refused);
    }
    let operation = target.strip_prefix(TARGET_PREFIX).and_then(|name| name.parse().ok());
    match operation.filter(|op: &Operation| !op.is_sts()) {
        Some(op) => Asked::Kinesis(op),
        None => {
            let error = ServiceError::unknown_operation();
            Asked::Refused(error.code, answer::error(stamp, &error))
        }
    }
}

/// Faults by which the request is not carried out and not answered by the service. None: it goes on.
async fn before(endpoint: &Endpoint, link: &Link, strike: &Strike, op: Operation) -> Option<Served> {
    for (delay, active) in &strike.delays {
        tokio::select! {
            () = tokio::time::sleep(*delay) => {}
            () = endpoint.faults.cleared(active.id) => {}
            () = endpoint.stopped() => {}
        }
    }
    if let Some((fault, active)) = &strike.link {
        endpoint.tally.request(Some(op), active.fault.kind.name());
        return Some(break_link(endpoint, link, *fault, active).await);
    }
    if let Some(page) = strike.page {
        endpoint.tally.request(Some(op), page.name());
        return Some(Ok(answer::page(page)));
    }
    None
}

async fn break_link(endpoint: &Endpoint, link: &Link, fault: LinkFault, active: &Active) -> Served {
    match fault {
        LinkFault::Down => {
            link.reset_on_close();
            Err(ConnectionCut)
        }
        LinkFault::Reset => {
            // Something that begins like an answer, of which half arrives.
            let begun = format!("{{\"SequenceNumber\":\"{}", "4".repeat(4096));
            link.reset_on_close();
            link.cut(Cut::BodyBytes(begun.len() / 2));
            Ok(answer::plain(200, answer::JSON_1_1, begun))
        }
        LinkFault::Hang => {
            tokio::select! {
                () = endpoint.faults.cleared(active.id) => {}
                () = endpoint.stopped() => {}
            }
            Err(ConnectionCut)
        }
    }
}

async fn carry_out(
    call: &Call<'_>,
    stamp: &answer::Stamp,
    headers: &HeaderMap,
) -> Result<Reply, ServiceError> {
    if call.strike.skew_ms.is_some() {
        check_signature_age(headers, stamp.now_ms).map_err(ServiceError::invalid_signature)?;
    }
    if session(headers).is_some_and(|session| session.has_run_out(stamp.now_ms)) {
        return Err(ServiceError::expired_token());
    }
    let room = match &call.endpoint.sink {
        Some(sink) if call.op.is_put() => Some(sink.reserve(call.body.len()).await),
        _ => None,
    };
    dispatch(call, room)
}

fn answer_of_sts(
    endpoint: &Endpoint,
    strike: &Strike,
    op: Operation,
    form: &Form,
    stamp: &answer::Stamp,
    headers: &HeaderMap,
) -> StsReply {
    let refused = |status, code, message: &str| sts::refused(status, code, message, &stamp.request_id);
    let expired = || refused(403, "ExpiredToken", "The security token included in the request is expired");
    let session = session(headers);
    if strike.skew_ms.is_some()
        && let Err(message) = check_signature_age(headers, stamp.now_ms)
    {
        return refused(403, "SignatureDoesNotMatch", &message);
    }
    match strike.refusal {
        Some(Refusal::Denied) => {
            let role = form.get("RoleArn").unwrap_or("*");
            let message = format!("User is not authorized to perform: sts:{op} on resource: {role}");
            refused(403, "AccessDenied", &message)
        }
        Some(Refusal::ExpiredToken) => expired(),
        Some(Refusal::Throttled(probability)) if endpoint.dice() < probability.get() => {
            refused(400, "Throttling", "Rate exceeded")
        }
        _ if session.as_ref().is_some_and(|session| session.has_run_out(stamp.now_ms)) => expired(),
        _ => {
            let account = endpoint.store().account.clone();
            let caller = Caller {
                account: &account,
                session: session.as_ref(),
                request_id: &stamp.request_id,
                now_ms: stamp.now_ms,
            };
            match op {
                Operation::GetCallerIdentity => sts::caller_identity(&caller),
                _ => sts::assume_role(form, &caller, endpoint.role_lifetime),
            }
        }
    }
}

/// Whose credentials signed a request, if they were given here.
fn session(headers: &HeaderMap) -> Option<Session> {
    Session::of_token(header(headers, "x-amz-security-token"))
}

/// What the service says of a signature that is too old or not valid yet; a request without date passes.
fn check_signature_age(headers: &HeaderMap, now_ms: i64) -> Result<(), String> {
    let date = header(headers, "x-amz-date");
    let Some(signed_ms) = parse_amz_date(date).filter(|_| headers.contains_key(AUTHORIZATION)) else {
        return Ok(());
    };
    let (now, bound) = (amz_date(now_ms), SIGNATURE_AGE_MAX_MS);
    if signed_ms < now_ms - bound {
        let least = amz_date(now_ms - bound);
        return Err(format!("Signature expired: {date} is now earlier than {least} ({now} - 5 min.)"));
    }
    if signed_ms > now_ms + bound {
        let most = amz_date(now_ms + bound);
        return Err(format!("Signature not yet current: {date} is still later than {most} ({now} + 5 min.)"));
    }
    Ok(())
}

/// Faults by which the answer gets lost although the request was carried out.
fn after(
    endpoint: &Endpoint,
    link: &Link,
    after: Option<After>,
    op: Operation,
    outcome: &'static str,
    response: Response<Payload>,
) -> Served {
    let Some(after) = after else {
        endpoint.tally.request(Some(op), outcome);
        return Ok(response);
    };
    endpoint.tally.request(Some(op), after.name());
    match after {
        After::Reset => {
            link.reset_on_close();
            Err(ConnectionCut)
        }
        After::Truncated => {
            let length = match response.body() {
                Payload::Whole(bytes) => bytes.len(),
                Payload::Events(_) => 0,
            };
            // An answer without body is cut within its head.
            link.cut(if length > 0 { Cut::BodyBytes(length / 2) } else { Cut::Bytes(20) });
            Ok(response)
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
