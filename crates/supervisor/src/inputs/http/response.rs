//! Answers, as they are sent.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::outcome::Outcome;
use super::refusal::Refusal;

/// All events of a request are delivered or durable.
pub(super) fn accept(events: u64) -> Response<Full<Bytes>> {
    respond(Outcome::Accepted, format!("{{\"accepted\":{events}}}\n"))
}

/// A request is refused, with the reason in words.
pub(super) fn refuse(refusal: &Refusal) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "error": refusal.to_string() });
    let mut response = respond(refusal.outcome(), format!("{body}\n"));
    let headers = response.headers_mut();
    match refusal.outcome() {
        Outcome::Unauthorized => _ = headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        Outcome::Method => _ = headers.insert(ALLOW, HeaderValue::from_static("POST")),
        Outcome::Busy | Outcome::Unacknowledged | Outcome::Stopping => {
            // Not the same for all, so that they do not all come back at once.
            headers.insert(RETRY_AFTER, HeaderValue::from(fastrand::u16(1..=5)));
        }
        _ => {}
    }
    response
}

fn respond(outcome: Outcome, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() =
        StatusCode::from_u16(outcome.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
