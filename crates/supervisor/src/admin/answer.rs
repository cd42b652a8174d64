//! Answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::gate::{PATHS, Refusal};

pub(super) type Answer = Response<Full<Bytes>>;

/// What went wrong, and what to do.
#[derive(Debug, Serialize)]
struct Problem {
    error: String,
    remedy: String,
}

pub(super) fn text(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

pub(super) fn plain(status: StatusCode, words: String) -> Answer {
    text(status, "text/plain; charset=utf-8", words)
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(value) {
        Ok(written) => text(status, "application/json", written + "\n"),
        Err(error) => {
            tracing::error!(%error, "an answer of the admin address has no JSON form: this is a bug");
            plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
        }
    }
}

pub(super) fn problem(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Answer {
    json(status, &Problem { error: error.into(), remedy: remedy.into() })
}

pub(super) fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::NotFound => {
            problem(StatusCode::NOT_FOUND, "there is nothing under this path", format!("ask for {PATHS}"))
        }
        Refusal::Method(methods) => {
            let remedy = format!("this path is for {methods}");
            let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, "this method does nothing here", remedy);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
            answer
        }
        Refusal::Token => {
            let remedy = "send `Authorization: Bearer TOKEN` with the token of `admin.token`";
            let mut answer = problem(StatusCode::UNAUTHORIZED, "the token is missing or wrong", remedy);
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
        Refusal::Host(host) => problem(
            StatusCode::FORBIDDEN,
            format!(
                "the request is for the host `{host}`, which is not this machine by its loopback address"
            ),
            "ask for 127.0.0.1, [::1] or localhost, or set `admin.token` and send that",
        ),
        Refusal::Origin(origin) => problem(
            StatusCode::FORBIDDEN,
            format!("a page of {origin} asks, and only the page that is served here may"),
            "ask from elsewhere, or set `admin.token` and send that",
        ),
        Refusal::ContentType => problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a POST without a token needs `Content-Type: application/json`, which no page in a browser can send unasked",
            "add -H 'Content-Type: application/json'",
        ),
    }
}
