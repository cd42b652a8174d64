//! Who may ask for what. Pure.
//!
//! With a token, whoever shows it may do everything. Without one, everybody on this machine may, so the question is who
//! is on this machine: a page in a browser here is not, though it can send requests. Such a page reaches the address under
//! a name of its own that was made to mean 127.0.0.1 (DNS rebinding), which shows in `Host`; or under the right one from
//! elsewhere, which shows in `Origin`, and it cannot send a POST with `Content-Type: application/json` without asking first.
//! The page that this address serves itself is let in: its origin is the host that it was asked for.

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use hyper::{Method, Uri};
use millpond_kinesis::aws::Secret;
use subtle::ConstantTimeEq as _;

use super::page;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Health,
    Ready,
    Metrics,
    Status,
    /// A file of the page for browsers: nothing in it is about this forwarder.
    Page(&'static page::PageFile),
    /// What the queue of the output of this name looks like on disk.
    Queue(String),
    /// The dead letters of the output of this name.
    DeadLetters(String),
    /// Something is done to the output of this name.
    Control(Deed, String),
}

/// What is done to an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Pause,
    Resume,
    Test,
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is nothing under this path.
    NotFound,
    /// There is, for these methods.
    Method(&'static str),
    /// The token is missing or wrong.
    Token,
    /// `Host` names something that is not this machine.
    Host(String),
    /// A page of this origin asks.
    Origin(String),
    /// A POST without the header that no page can send.
    ContentType,
}

/// Decides about requests.
#[derive(Debug)]
pub(super) struct Gate {
    token: Option<Secret>,
}

const HEALTH: &str = "/healthz";
const READY: &str = "/readyz";
const METRICS: &str = "/metrics";
const STATUS: &str = "/api/v1/status";
const OUTPUTS: &str = "/api/v1/outputs/";

/// What there is, for those who ask for something else.
pub(super) const PATHS: &str = "GET / (in a browser), GET /healthz, GET /readyz, GET /metrics, GET /api/v1/status, \
                                GET /api/v1/outputs/ID/queue, …/dead-letters, and \
                                POST /api/v1/outputs/ID/pause, …/resume, …/test";

impl Gate {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self { token }
    }

    /// What the request asks for, if it may.
    pub(super) fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Wanted, Refusal> {
        let wanted = find(uri.path())?;
        match (&wanted, &self.token) {
            // Whether it is up says nothing that matters, and who looks has often no way to keep a token.
            (Wanted::Health | Wanted::Ready, _) => {}
            // The page asks for the token, so it comes without one; nothing is in it that is not in the program.
            (Wanted::Page(_), Some(_)) => {}
            (_, Some(token)) => check_token(token, headers)?,
            (_, None) => check_caller(method, uri, headers)?,
        }
        match (&wanted, method) {
            (Wanted::Control(..), &Method::POST) => Ok(wanted),
            (Wanted::Control(..), _) => Err(Refusal::Method("POST")),
            (_, &Method::GET | &Method::HEAD) => Ok(wanted),
            _ => Err(Refusal::Method("GET, HEAD")),
        }
    }
}

fn find(path: &str) -> Result<Wanted, Refusal> {
    match path {
        HEALTH => Ok(Wanted::Health),
        READY => Ok(Wanted::Ready),
        METRICS => Ok(Wanted::Metrics),
        STATUS => Ok(Wanted::Status),
        _ => match path.strip_prefix(OUTPUTS).and_then(|rest| rest.split_once('/')) {
            Some((id, what)) => of_output(id.to_owned(), what),
            None => page::find(path).map(Wanted::Page).ok_or(Refusal::NotFound),
        },
    }
}

/// What is asked of an output; ids need no escapes.
fn of_output(id: String, what: &str) -> Result<Wanted, Refusal> {
    match what {
        "queue" => Ok(Wanted::Queue(id)),
        "dead-letters" => Ok(Wanted::DeadLetters(id)),
        "pause" => Ok(Wanted::Control(Deed::Pause, id)),
        "resume" => Ok(Wanted::Control(Deed::Resume, id)),
        "test" => Ok(Wanted::Control(Deed::Test, id)),
        _ => Err(Refusal::NotFound),
    }
}

/// How long it takes does not tell how much of it is right.
fn check_token(token: &Secret, headers: &HeaderMap) -> Result<(), Refusal> {
    let shown = text(headers, &AUTHORIZATION);
    let shown = shown.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let shown = shown.map_or("", |(_, token)| token.trim());
    if bool::from(shown.as_bytes().ct_eq(token.expose().as_bytes())) { Ok(()) } else { Err(Refusal::Token) }
}

fn check_caller(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = uri.authority().map_or_else(|| text(headers, &HOST), |authority| authority.as_str());
    if !is_this_machine(host) {
        return Err(Refusal::Host(host.to_owned()));
    }
    // Two of them are one that is not ours.
    let origin = headers.get(ORIGIN).map(|_| text(headers, &ORIGIN));
    if let Some(origin) = origin.filter(|origin| !is_own(origin, host)) {
        return Err(Refusal::Origin(origin.to_owned()));
    }
    let kind = text(headers, &CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if method == Method::POST && !kind.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::ContentType);
    }
    Ok(())
}

/// Is `origin` the page that was served under `host`? Only one program can listen there, in clear text or not.
fn is_own(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    !host.is_empty() && authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Does `host` (with or without a port) name this machine in a way that no name server decides about?
fn is_this_machine(host: &str) -> bool {
    // Without a `Host` it was no browser.
    if host.is_empty() {
        return true;
    }
    let Ok(authority) = host.parse::<hyper::http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The text of a header; empty if it is missing, there twice, or no text.
fn text<'a>(headers: &'a HeaderMap, name: &hyper::header::HeaderName) -> &'a str {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or_default(),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request in one line: `METHOD path header: value; header: value`.
    fn judge(token: Option<&str>, request: &str) -> Result<Wanted, Refusal> {
        let mut words = request.splitn(3, ' ');
        let (method, uri) = (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
        let mut headers = HeaderMap::new();
        for header in words.next().unwrap_or_default().split("; ").filter(|header| !header.is_empty()) {
            let (name, value) = header.split_once(": ").unwrap();
            headers.append(name.parse::<hyper::header::HeaderName>().unwrap(), value.parse().unwrap());
        }
        Gate::new(token.map(|token| Secret::new(token.to_owned()))).judge(&method, &uri, &headers)
    }

    const JSON: &str = "content-type: application/json";

    #[test]
    fn what_there_is() {
        let good = |request: &str, wanted| assert_eq!(judge(None, request), Ok(wanted), "{request}");
        good("GET /healthz", Wanted::Health);
        good("HEAD /readyz", Wanted::Ready);
        good("GET /metrics?tag=edge", Wanted::Metrics);
        good("GET /api/v1/status", Wanted::Status);
        let post = |deed: &str| format!("POST /api/v1/outputs/main/{deed} {JSON}");
        good(&post("pause"), Wanted::Control(Deed::Pause, "main".to_owned()));
        good(&post("resume"), Wanted::Control(Deed::Resume, "main".to_owned()));
        good(&post("test"), Wanted::Control(Deed::Test, "main".to_owned()));
        good("GET /api/v1/outputs/main/queue", Wanted::Queue("main".to_owned()));
        good("GET /api/v1/outputs/main/dead-letters?limit=5", Wanted::DeadLetters("main".to_owned()));
        assert!(matches!(judge(None, "GET /"), Ok(Wanted::Page(_))));
        for nothing in [
            "/page/",
            "/page/../",
            "/metrics/",
            "/api/v1/outputs/main",
            "/api/v1/outputs/main/fly",
            "/api/v1/outputs//a/pause",
        ] {
            assert_eq!(judge(None, &format!("GET {nothing}")), Err(Refusal::NotFound), "{nothing}");
        }
        assert_eq!(judge(None, "GET /api/v1/outputs/main/pause"), Err(Refusal::Method("POST")));
        assert_eq!(judge(None, &format!("POST /metrics {JSON}")), Err(Refusal::Method("GET, HEAD")));
        let post = judge(None, &format!("POST /api/v1/outputs/main/queue {JSON}"));
        assert_eq!(post, Err(Refusal::Method("GET, HEAD")));
        assert_eq!(judge(None, "DELETE /healthz"), Err(Refusal::Method("GET, HEAD")));
    }

    #[test]
    fn a_token_is_asked_for_except_by_probes() {
        let check = |request: &str, good: bool| {
            let expected = if good { Ok(Wanted::Status) } else { Err(Refusal::Token) };
            assert_eq!(
                judge(Some("s3cret"), &format!("GET /api/v1/status {request}")),
                expected,
                "{request}"
            );
        };
        check("authorization: Bearer s3cret", true);
        check("authorization: bearer s3cret; host: edge.example:9650; origin: http://edge.example", true);
        for bad in [
            "",
            "authorization: Bearer s3cre",
            "authorization: Bearer s3cret2",
            "authorization: Bearer ",
            "authorization: s3cret",
            "authorization: Basic s3cret",
            "authorization: Bearer s3cret; authorization: Bearer s3cret",
        ] {
            check(bad, false);
        }
        assert_eq!(judge(Some("s3cret"), "GET /metrics"), Err(Refusal::Token));
        assert_eq!(judge(Some("s3cret"), "POST /api/v1/outputs/main/pause"), Err(Refusal::Token));
        for data in ["queue", "dead-letters"] {
            let asked = judge(Some("s3cret"), &format!("GET /api/v1/outputs/main/{data}"));
            assert_eq!(asked, Err(Refusal::Token), "{data}");
        }
        // The page has to ask for it.
        assert!(matches!(judge(Some("s3cret"), "GET / host: edge.example"), Ok(Wanted::Page(_))));
        assert_eq!(judge(Some("s3cret"), "GET /healthz"), Ok(Wanted::Health));
        assert_eq!(judge(Some("s3cret"), "GET /readyz host: evil.example"), Ok(Wanted::Ready));
    }

    #[test]
    fn without_a_token_no_page_of_a_browser_gets_in() {
        for host in ["localhost", "LocalHost:9650", "127.0.0.1:9650", "127.8.8.8", "[::1]:9650"] {
            assert_eq!(judge(None, &format!("GET /metrics host: {host}")), Ok(Wanted::Metrics), "{host}");
        }
        for host in
            ["evil.example:9650", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "a b"]
        {
            let refused = Err(Refusal::Host(host.to_owned()));
            assert_eq!(judge(None, &format!("GET /metrics host: {host}")), refused, "{host}");
        }
        let post =
            |header: &str| judge(None, &format!("POST /api/v1/outputs/main/pause host: localhost; {header}"));
        assert!(post("content-type: application/json;charset=utf-8").is_ok());
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
            assert_eq!(post(&format!("content-type: {kind}")), Err(Refusal::ContentType), "{kind}");
        }
        assert_eq!(post("accept: */*"), Err(Refusal::ContentType));
        let from_elsewhere = post(&format!("{JSON}; origin: https://evil.example"));
        assert_eq!(from_elsewhere, Err(Refusal::Origin("https://evil.example".to_owned())));
        assert_eq!(
            judge(None, "GET http://evil.example/metrics"),
            Err(Refusal::Host("evil.example".to_owned()))
        );
    }

    #[test]
    fn the_page_that_is_served_here_may_ask_and_no_other() {
        let post = |host: &str, origin: &str| {
            judge(None, &format!("POST /api/v1/outputs/main/pause host: {host}; origin: {origin}; {JSON}"))
        };
        for (host, origin) in [
            ("127.0.0.1:9650", "http://127.0.0.1:9650"),
            ("localhost:9650", "https://localhost:9650"),
            ("[::1]:9650", "http://[::1]:9650"),
            ("localhost", "http://localhost"),
        ] {
            assert!(post(host, origin).is_ok(), "{host} {origin}");
        }
        for (host, origin) in [
            ("127.0.0.1:9650", "http://127.0.0.1:8080"),
            ("127.0.0.1:9650", "http://localhost:9650"),
            ("127.0.0.1:9650", "http://127.0.0.1"),
            ("127.0.0.1:9650", "127.0.0.1:9650"),
            ("127.0.0.1:9650", "file://127.0.0.1:9650"),
            ("127.0.0.1:9650", "null"),
            ("127.0.0.1:9650", "http://127.0.0.1:9650; origin: http://127.0.0.1:9650"),
        ] {
            assert!(matches!(post(host, origin), Err(Refusal::Origin(_))), "{host} {origin}");
        }
        // A name that was made to mean this machine is its own origin, and is refused for what it is.
        let rebound = post("evil.example:9650", "http://evil.example:9650");
        assert_eq!(rebound, Err(Refusal::Host("evil.example:9650".to_owned())));
        let page = judge(None, "GET / host: evil.example:9650");
        assert_eq!(page, Err(Refusal::Host("evil.example:9650".to_owned())));
    }
}
