//! From a request to its answer.

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::{Request, StatusCode, Uri};

use super::answer::{self, Answer};
use super::gate::{Deed, Wanted};
use super::report::not_ready;
use super::server::Shared;
use super::status::Status;
use super::{control, look, page, trial};
use crate::metrics::{self, Exposition};
use crate::moment::Moment;

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 4 << 10;

pub(super) async fn respond(shared: &Shared, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let wanted = match shared.gate.judge(&head.method, &head.uri, &head.headers) {
        Ok(wanted) => wanted,
        Err(refusal) => {
            tracing::debug!(path = head.uri.path(), ?refusal, "admin: a request is not served");
            return answer::refused(refusal);
        }
    };
    match wanted {
        Wanted::Health => answer::plain(StatusCode::OK, "up\n".to_owned()),
        Wanted::Ready => ready(shared),
        Wanted::Metrics => {
            let accept = head.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
            let exposition = Exposition::accepted(accept.unwrap_or_default());
            let moment = Moment::take(&shared.registry, tag(&head.uri).as_deref()).await;
            answer::text(StatusCode::OK, exposition.content_type(), metrics::encode(moment, exposition))
        }
        Wanted::Status => status(shared, &head.uri).await,
        Wanted::Page(file) => page::serve(file),
        Wanted::Queue(id) => look::queue(shared, &id).await,
        Wanted::DeadLetters(id) => {
            let limit = query(&head.uri, "limit");
            look::dead_letters(shared, &id, limit.as_deref()).await
        }
        Wanted::Control(deed, id) => {
            let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => {
                    let remedy = format!("send at most {BODY_BYTES_MAX} bytes, or none");
                    return answer::problem(
                        StatusCode::BAD_REQUEST,
                        format!("the body cannot be read: {error}"),
                        remedy,
                    );
                }
            };
            match deed {
                Deed::Pause => control::pause(&shared.registry, &id, true).await,
                Deed::Resume => control::pause(&shared.registry, &id, false).await,
                Deed::Test => trial::run(&shared.registry, &id, &body).await,
            }
        }
    }
}

/// 200 while every input takes events, else 503 with the reasons.
fn ready(shared: &Shared) -> Answer {
    let reasons = not_ready(&shared.registry);
    if reasons.is_empty() {
        return answer::plain(StatusCode::OK, "ready\n".to_owned());
    }
    answer::plain(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}

async fn status(shared: &Shared, uri: &Uri) -> Answer {
    let moment = Moment::take(&shared.registry, tag(uri).as_deref()).await;
    let mut rates = shared.rates.lock().await;
    let status = Status::new(&moment, |output, events| rates.drained(output, moment.at, events));
    let listed = shared.registry.listed();
    rates.keep(|id| listed.outputs.iter().any(|output| &*output.id == id));
    answer::json(StatusCode::OK, &status)
}

/// `tag` of the query.
fn tag(uri: &Uri) -> Option<String> {
    query(uri, "tag")
}

/// What the query says of `wanted`.
fn query(uri: &Uri, wanted: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == wanted).map(|(_, value)| value.into_owned())
}
