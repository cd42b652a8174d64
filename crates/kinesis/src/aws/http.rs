//! The HTTP client under the SDK: HTTP/1.1 over connections that are made in [`super::dial`],
//! through a proxy where there is one.
//!
//! It is our own for what the SDK's does not offer: proxies by environment with lower case winning,
//! keepalive, a limit on the answer, certificates that are not checked, and errors that say at which
//! step a call failed and whether the request was under way by then.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use http::Uri;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connect, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::clock::Clock;
use super::dial::{self, Dial, Forward, NetError, error_chain};
use super::{Proxy, tls};
use crate::client::Cause;

/// An answer larger than this is not believed. A page of 1,000 shards takes 400 KB, the results of
/// 500 records 60 KB; a captive portal may send anything.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How to make connections.
#[derive(Clone, Debug)]
pub(super) struct HttpSettings {
    pub(super) connect_timeout: Duration,
    pub(super) reuse_connections: bool,
    pub(super) reject_unauthorized: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) proxy: Proxy,
}

/// The HTTP client. Cheap to clone; the connection pools are shared.
#[derive(Clone)]
pub(super) struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    settings: HttpSettings,
    matcher: Matcher,
    clock: Arc<Clock>,
    /// Plain HTTP needs no authorities, so it works where TLS cannot be set up.
    plain: Exchange,
    plain_proxied: Option<Exchange>,
    /// Made with the first call that needs it: reading the system's authorities takes a while.
    secure: Mutex<Option<Secure>>,
}

#[derive(Clone)]
struct Secure {
    direct: Exchange,
    tunnelled: Option<Exchange>,
}

/// One connection pool, whatever its connections are made of.
type Exchange = Arc<dyn Exchanges>;

trait Exchanges: Send + Sync {
    fn exchange(&self, request: http::Request<SdkBody>) -> hyper_util::client::legacy::ResponseFuture;
}

impl<C: Connect + Clone + Send + Sync + 'static> Exchanges for Client<C, SdkBody> {
    fn exchange(&self, request: http::Request<SdkBody>) -> hyper_util::client::legacy::ResponseFuture {
        self.request(request)
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Http {
    /// `clock` is told what AWS' answers say of the time. `Err` is a sentence about the settings.
    pub(super) fn new(settings: HttpSettings, clock: Arc<Clock>) -> Result<Http, String> {
        let matcher = matcher(&settings.proxy)?;
        if let Some(path) = &settings.ca_file {
            tls::read_pem(path)?;
        }
        let plain = pool(&settings, dial::tcp(), None);
        let plain_proxied = intercept(&matcher, "http").map(|proxy| {
            let forward = Forward { inner: dial::tcp(), proxy: proxy.uri().clone() };
            pool(&settings, forward, Some(proxy.uri()))
        });
        let shared = Shared { settings, matcher, clock, plain, plain_proxied, secure: Mutex::new(None) };
        Ok(Http { shared: Arc::new(shared) })
    }

    /// The proxy on the way to an address, without its password.
    pub(super) fn proxy_of(&self, uri: &Uri) -> Option<String> {
        let proxy = if is_metadata(uri) { None } else { self.shared.matcher.intercept(uri) };
        proxy.and_then(|proxy| proxy.uri().authority().map(|authority| authority.as_str().to_owned()))
    }

    /// The same, but for the certificates: they are checked. Itself, if they are anyway.
    pub(super) fn always_checking(&self) -> Result<Http, String> {
        if self.shared.settings.reject_unauthorized {
            return Ok(self.clone());
        }
        let settings = HttpSettings { reject_unauthorized: true, ..self.shared.settings.clone() };
        Http::new(settings, Arc::clone(&self.shared.clock))
    }
}

/// The proxies to use. `Err` is a sentence.
fn matcher(proxy: &Proxy) -> Result<Matcher, String> {
    let variable =
        |lower: &str, upper: &str| std::env::var(lower).or_else(|_| std::env::var(upper)).unwrap_or_default();
    match proxy {
        Proxy::Direct => Ok(Matcher::builder().build()),
        Proxy::Environment => Ok(Matcher::builder()
            .all(variable("all_proxy", "ALL_PROXY"))
            .http(variable("http_proxy", "HTTP_PROXY"))
            .https(variable("https_proxy", "HTTPS_PROXY"))
            .no(variable("no_proxy", "NO_PROXY"))
            .build()),
        Proxy::Url { url, no_proxy } => {
            let parsed: Result<Uri, _> = url.expose().parse();
            match parsed.as_ref().map(|uri| (uri.scheme_str(), uri.host())) {
                Ok((Some("http" | "https"), Some(_))) => {}
                _ => {
                    return Err("the proxy is no URL of the form http://[user:password@]host:port".to_owned());
                }
            }
            Ok(Matcher::builder()
                .all(url.expose().to_owned())
                .no(no_proxy.clone().unwrap_or_default())
                .build())
        }
    }
}

/// The proxy for a scheme, by a host that no exception names.
fn intercept(matcher: &Matcher, scheme: &str) -> Option<Intercept> {
    let anywhere: Uri = format!("{scheme}://any.invalid").parse().ok()?;
    matcher.intercept(&anywhere)
}

/// Instance and container metadata: a proxy would answer for its own machine, if at all.
fn is_metadata(uri: &Uri) -> bool {
    let hosts = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]", "[fd00:ec2::23]"];
    uri.host().is_some_and(|host| hosts.contains(&host))
}

fn pool<C>(settings: &HttpSettings, connector: C, proxy: Option<&Uri>) -> Exchange
where
    Dial<C>: Connect + Clone + Send + Sync + 'static,
{
    let dial = Dial {
        inner: connector,
        limit: settings.connect_timeout,
        proxy: proxy
            .map(|uri| uri.authority().map_or_else(String::new, |authority| authority.as_str().to_owned())),
    };
    let client: Client<Dial<C>, SdkBody> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        // Kinesis and the boxes in between drop idle connections without a word; a fresh one costs
        // less than a put that runs into that.
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(if settings.reuse_connections { usize::MAX } else { 0 })
        .build(dial);
    Arc::new(client)
}

impl Shared {
    /// The pool for a request, and what to tell the proxy with the request itself.
    fn route(&self, uri: &Uri) -> Result<(Exchange, Option<http::HeaderValue>), NetError> {
        let proxy = if is_metadata(uri) { None } else { self.matcher.intercept(uri) };
        if uri.scheme_str() != Some("https") {
            return Ok(match (proxy, &self.plain_proxied) {
                (Some(proxy), Some(pool)) => (Arc::clone(pool), proxy.basic_auth().cloned()),
                _ => (Arc::clone(&self.plain), None),
            });
        }
        let secure =
            self.secure().map_err(|what| NetError { cause: Cause::Tls, what, may_have_arrived: false })?;
        match (proxy, secure.tunnelled) {
            (Some(_), Some(pool)) => Ok((pool, None)),
            _ => Ok((secure.direct, None)),
        }
    }

    fn secure(&self) -> Result<Secure, String> {
        let mut secure = self.secure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*secure {
            return Ok(made.clone());
        }
        let settings = &self.settings;
        let ca_file = settings.ca_file.as_deref();
        let config = tls::config(ca_file, settings.reject_unauthorized)?;
        let https =
            || HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_or_http().enable_http1();
        let direct = pool(settings, https().wrap_connector(dial::tcp()), None);
        let tunnelled = match intercept(&self.matcher, "https") {
            None => None,
            Some(proxy) => {
                // The way to the proxy may itself be TLS, and that is always checked.
                let to_proxy = HttpsConnectorBuilder::new()
                    .with_tls_config(tls::config(ca_file, true)?)
                    .https_or_http()
                    .enable_http1()
                    .wrap_connector(dial::tcp());
                let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                Some(pool(settings, https().wrap_connector(tunnel), Some(proxy.uri())))
            }
        };
        let made = Secure { direct, tunnelled };
        *secure = Some(made.clone());
        Ok(made)
    }

    /// Only AWS numbers its requests so, and what a cache or a captive portal thinks of the time is of no use.
    fn note_time(&self, headers: &http::HeaderMap) {
        let from_aws = headers.contains_key("x-amzn-requestid") && !headers.contains_key(http::header::AGE);
        if let Some(date) =
            headers.get(http::header::DATE).filter(|_| from_aws).and_then(|date| date.to_str().ok())
        {
            self.clock.note(date);
        }
    }

    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (pool, proxy_auth) = self.route(request.uri()).map_err(to_connector_error)?;
        if let Some(auth) = proxy_auth {
            request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, auth);
        }
        let connection = capture_connection(&mut request);
        let response = pool.exchange(request).await.map_err(|error| to_connector_error(explain(error)))?;
        self.note_time(response.headers());
        if response.status().is_server_error() {
            // Behind another connection there may be another, healthier host.
            if let Some(connection) = connection.connection_metadata().as_ref() {
                connection.poison();
            }
        }
        let response = collect(response).await.map_err(to_connector_error)?;
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

/// Reads the whole answer, up to a limit.
async fn collect(response: http::Response<Incoming>) -> Result<http::Response<SdkBody>, NetError> {
    let (head, body) = response.into_parts();
    match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(body) => Ok(http::Response::from_parts(head, SdkBody::from(body.to_bytes()))),
        Err(error) if error.is::<LengthLimitError>() => Err(NetError {
            cause: Cause::NotKinesis,
            what: format!("the answer has more than {ANSWER_BYTES_MAX} bytes, so it is not from AWS"),
            may_have_arrived: true,
        }),
        Err(error) => Err(NetError {
            cause: Cause::Reset,
            what: format!(
                "the answer (status {}) was cut off: {}",
                head.status.as_u16(),
                deepest(error.as_ref())
            ),
            may_have_arrived: true,
        }),
    }
}

/// Names the cause of a call that brought no answer.
fn explain(error: ClientError) -> NetError {
    let dialled = error_chain(&error).find_map(|error| error.downcast_ref::<NetError>());
    if let Some(dialled) = dialled {
        return NetError { cause: dialled.cause, what: dialled.what.clone(), may_have_arrived: false };
    }
    let protocol = error_chain(&error).find_map(|error| error.downcast_ref::<hyper::Error>());
    let (cause, what) = match protocol {
        Some(hyper) if hyper.is_parse() => (Cause::NotKinesis, "the answer is not HTTP".to_owned()),
        Some(hyper) if hyper.is_incomplete_message() => {
            (Cause::Reset, "the connection was closed before an answer came".to_owned())
        }
        _ => (Cause::Reset, format!("the connection broke: {}", deepest(&error))),
    };
    NetError { cause, what, may_have_arrived: !error.is_connect() }
}

fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    error_chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn to_connector_error(error: NetError) -> ConnectorError {
    if error.may_have_arrived {
        ConnectorError::other(error.into(), Some(ErrorKind::TransientError))
    } else {
        ConnectorError::io(error.into()).never_connected()
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let shared = Arc::clone(&self.shared);
        HttpConnectorFuture::new(async move { shared.call(request).await })
    }
}

impl HttpClient for Http {
    /// Connections have their own time limit, and calls get theirs from the outside: the SDK's
    /// settings say nothing more.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_never_asked_through_a_proxy() {
        let proxy =
            Proxy::Url { url: super::super::Secret::new("http://proxy:3128".to_owned()), no_proxy: None };
        let settings = HttpSettings {
            connect_timeout: Duration::from_secs(1),
            reuse_connections: true,
            reject_unauthorized: true,
            ca_file: None,
            proxy,
        };
        let http = Http::new(settings, Arc::new(Clock::new())).unwrap();
        let check = |uri: &str, proxied: bool| {
            let (pool, _) = http.shared.route(&uri.parse().unwrap()).unwrap();
            assert_eq!(!Arc::ptr_eq(&pool, &http.shared.plain), proxied, "{uri}");
        };
        check("http://169.254.169.254/latest/api/token", false);
        check("http://169.254.170.2/v2/credentials", false);
        check("http://[fd00:ec2::254]/latest/api/token", false);
        check("http://169.254.169.25/", true);
        check("http://kinesis.example/", true);
    }
}
