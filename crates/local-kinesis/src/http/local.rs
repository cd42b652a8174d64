//! `/_local/…`: looking at the endpoint and switching its faults over HTTP. No fault but `down` touches it.
//!
//! ```text
//! GET    /_local/health      {"status":"ok"}
//! GET    /_local/counts      what has come in so far
//! GET    /_local/events      every kept event, one JSON line each
//! POST   /_local/flush       returns when every accepted event is in the file of `write_events`
//! GET    /_local/faults      the faults that are on
//! POST   /_local/faults      sets faults, one per line of the body
//! DELETE /_local/faults      clears all
//! DELETE /_local/faults/ID   clears one
//! ```

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde::Serialize;

use super::answer;
use super::body::{self, CONTROL_BYTES_MAX, Payload, Unread};
use crate::endpoint::Endpoint;
use crate::{Fault, FaultId, FaultKind};

const PREFIX: &str = "/_local/";

pub(crate) fn is_control(path: &str) -> bool {
    path.starts_with(PREFIX)
}

pub(crate) async fn serve(endpoint: &Endpoint, request: Request<Incoming>) -> Response<Payload> {
    let (head, incoming) = request.into_parts();
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default().trim_end_matches('/');
    match (&head.method, path) {
        (&Method::GET, "health") => json(&Health { status: "ok" }),
        (&Method::GET, "counts") => json(&endpoint.counts()),
        (&Method::GET, "events") => {
            let records = endpoint.store().records();
            answer::streamed("application/x-ndjson", Payload::Events(records.into_iter()))
        }
        (&Method::POST, "flush") => flush(endpoint).await,
        (&Method::GET, "faults") => faults(endpoint),
        (&Method::POST, "faults") => set(endpoint, incoming).await,
        (&Method::DELETE, "faults") => {
            endpoint.faults.clear_all();
            faults(endpoint)
        }
        (&Method::DELETE, _) if path.starts_with("faults/") => clear(endpoint, path),
        _ => {
            let known =
                "GET health, GET counts, GET events, POST flush, GET POST DELETE faults, DELETE faults/ID";
            text(404, format!("no {} {PREFIX}{path}; there are: {known}\n", head.method))
        }
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct FaultLine {
    id: u64,
    fault: String,
    remaining_ms: Option<u64>,
    hits: u64,
}

fn faults(endpoint: &Endpoint) -> Response<Payload> {
    let line = |active: crate::ActiveFault| FaultLine {
        id: active.id.0,
        fault: active.fault.to_string(),
        remaining_ms: active.remaining.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        hits: active.hits,
    };
    json(&endpoint.faults.active().into_iter().map(line).collect::<Vec<_>>())
}

/// All of the faults are set, or none.
async fn set(endpoint: &Endpoint, incoming: Incoming) -> Response<Payload> {
    let request = match body::read(endpoint, incoming, CONTROL_BYTES_MAX).await {
        Ok(request) => request,
        Err(Unread::TooLarge) => {
            return text(413, format!("more than {CONTROL_BYTES_MAX} bytes of faults\n"));
        }
        Err(Unread::Broken) => return text(400, "the request ended too soon\n".to_owned()),
    };
    let lines = String::from_utf8_lossy(&request.bytes);
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let parsed: Result<Vec<Fault>, _> = lines.map(str::parse).collect();
    let parsed = match parsed {
        Ok(parsed) if parsed.is_empty() => {
            return text(
                400,
                "no fault given; write one per line, for example throttle:0.4,for=10s\n".to_owned(),
            );
        }
        Ok(parsed) => parsed,
        Err(error) => return text(400, format!("{error}\n")),
    };
    let forever = |fault: &Fault| {
        fault.kind == FaultKind::Down
            && fault.shard.is_none()
            && fault.op.is_none()
            && fault.lasting.is_none()
    };
    if !endpoint.has_control_listener && parsed.iter().any(forever) {
        let message = "`down` would make this address unreachable, and nobody could clear it over HTTP; \
            write down,for=DURATION, or start the endpoint with a control address\n";
        return text(409, message.to_owned());
    }
    for fault in parsed {
        endpoint.faults.set(fault);
    }
    faults(endpoint)
}

fn clear(endpoint: &Endpoint, path: &str) -> Response<Payload> {
    let id = path.strip_prefix("faults/").and_then(|id| id.parse().ok()).map(FaultId);
    match id.filter(|id| endpoint.faults.clear(*id)) {
        Some(_) => faults(endpoint),
        None => text(404, format!("no such fault is on: {path}\n")),
    }
}

async fn flush(endpoint: &Endpoint) -> Response<Payload> {
    let Some(sink) = &endpoint.sink else {
        return text(409, "this endpoint writes no events to a file\n".to_owned());
    };
    match sink.flush().await {
        Ok(()) => json(&Health { status: "ok" }),
        Err(error) => text(500, format!("{error}\n")),
    }
}

fn json(value: &impl Serialize) -> Response<Payload> {
    let mut body = serde_json::to_string(value).expect("answers are plain structs, which always serialise");
    body.push('\n');
    answer::plain(200, "application/json", body)
}

fn text(status: u16, body: String) -> Response<Payload> {
    answer::plain(status, "text/plain; charset=utf-8", body)
}
