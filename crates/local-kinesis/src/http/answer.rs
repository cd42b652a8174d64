//! Answers: the service's own, and those that only look like answers.

use hyper::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::body::Payload;
use crate::api::ServiceError;
use crate::api::sts::StsReply;
use crate::clock::http_date;
use crate::strike::Page;

pub(crate) const JSON_1_1: &str = "application/x-amz-json-1.1";
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ID_2: HeaderName = HeaderName::from_static("x-amz-id-2");

/// What a captive portal shows.
const PORTAL_HTML: &str = "<!DOCTYPE html><html><head><title>Welcome to Harbour Guest Wi-Fi</title></head><body>\
    <h1>Sign in</h1><p>Accept the terms of use to get online.</p><form action=\"/login\"></form></body></html>\n";
/// What a proxy shows when it cannot reach the service.
const ERROR_HTML: &str = "<html><head><title>500 Internal Server Error</title></head><body>\
    <center><h1>500 Internal Server Error</h1></center><hr><center>proxy</center></body></html>\n";

/// What every answer of the service carries.
pub(crate) struct Stamp {
    pub(crate) request_id: String,
    /// What the endpoint takes the time for, in Unix time.
    pub(crate) now_ms: i64,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "__type")]
    code: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

/// An answer of Kinesis.
pub(crate) fn ok(stamp: &Stamp, body: Vec<u8>) -> Response<Payload> {
    service(stamp, 200, JSON_1_1, body)
}

/// An error of Kinesis.
pub(crate) fn error(stamp: &Stamp, error: &ServiceError) -> Response<Payload> {
    let body = ErrorBody { code: error.code, message: &error.message };
    let body = serde_json::to_vec(&body).expect("a struct of two texts always serialises");
    let mut response = service(stamp, error.status, JSON_1_1, body);
    response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(error.code));
    response
}

/// An answer of STS.
pub(crate) fn sts(stamp: &Stamp, reply: StsReply) -> Response<Payload> {
    service(stamp, reply.status, "text/xml", reply.body.into_bytes())
}

/// The service's front end cannot tell what is asked of whom.
pub(crate) fn no_operation(stamp: &Stamp) -> Response<Payload> {
    let body = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized\
        </Message>\n</AccessDeniedException>\n";
    service(stamp, 403, "text/xml", body.as_bytes().to_vec())
}

/// The service's front end does not take this content type.
pub(crate) fn unknown_content_type(stamp: &Stamp) -> Response<Payload> {
    service(stamp, 404, "text/xml", b"<UnknownOperationException/>\n".to_vec())
}

/// An answer that does not come from the service, and so has none of its headers.
pub(crate) fn page(page: Page) -> Response<Payload> {
    match page {
        Page::Portal => plain(200, "text/html; charset=utf-8", PORTAL_HTML.into()),
        Page::Empty => plain(200, JSON_1_1, "{}".into()),
        Page::Error500 => plain(500, "text/html", ERROR_HTML.into()),
    }
}

/// An answer with nothing but a body.
pub(crate) fn plain(status: u16, content_type: &'static str, body: String) -> Response<Payload> {
    build(status, content_type, Payload::Whole(body.into()))
}

/// An answer whose body is written as it is sent.
pub(crate) fn streamed(content_type: &'static str, body: Payload) -> Response<Payload> {
    build(200, content_type, body)
}

fn service(stamp: &Stamp, status: u16, content_type: &'static str, body: Vec<u8>) -> Response<Payload> {
    let mut response = build(status, content_type, Payload::Whole(body.into()));
    let headers = response.headers_mut();
    let value = |text: String| HeaderValue::try_from(text).expect("ids and dates are plain ASCII");
    let id_2 = base64_simd::STANDARD.encode_to_string(&stamp.request_id);
    headers.insert(REQUEST_ID, value(stamp.request_id.clone()));
    headers.insert(ID_2, value(id_2));
    headers.insert(DATE, value(http_date(stamp.now_ms)));
    response
}

fn build(status: u16, content_type: &'static str, body: Payload) -> Response<Payload> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("statuses are constants within 100 to 599");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
