//! How a connection comes about: name, TCP, proxy, TLS, all within one time limit, and in words
//! when it does not.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use tower_service::Service;

use crate::client::Cause;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;
type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Why a call brought no answer. Travels inside the SDK's errors and is found again in
/// [`super::errors`].
#[derive(Debug)]
pub(super) struct NetError {
    pub(super) cause: Cause,
    /// What happened, with the address in it.
    pub(super) what: String,
    /// The request was under way: the service may have acted on it.
    pub(super) may_have_arrived: bool,
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for NetError {}

/// A TCP connector for flaky links. Idle connections are probed, and data that nobody has
/// acknowledged for 30 s ends the connection: without that, a link that dies during an upload is
/// noticed only when the whole attempt runs out of time.
pub(super) fn tcp() -> HttpConnector<Resolver> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(15)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(5)));
    tcp.set_keepalive_retries(Some(3));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(Duration::from_secs(30)));
    tcp
}

/// The system's resolver; its failures say so.
#[derive(Clone, Debug)]
pub(super) struct Resolver(GaiResolver);

#[derive(Debug)]
struct DnsError {
    host: String,
    source: io::Error,
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name {} cannot be resolved: {}", self.host, self.source)
    }
}

impl Error for DnsError {}

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = BoxError;
    type Future = BoxFuture<GaiAddrs, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        let resolving = self.0.call(name);
        Box::pin(async move { resolving.await.map_err(|source| DnsError { host, source }.into()) })
    }
}

/// Any connector, within a time limit, and with errors that name their cause.
#[derive(Clone, Debug)]
pub(super) struct Dial<C> {
    pub(super) inner: C,
    pub(super) limit: Duration,
    /// The proxy on the way, without its password.
    pub(super) proxy: Option<String>,
}

impl<C> Service<Uri> for Dial<C>
where
    C: Service<Uri, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = C::Response;
    type Error = NetError;
    type Future = BoxFuture<C::Response, NetError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        let proxy = self.proxy.clone();
        self.inner.poll_ready(cx).map_err(|error| explain(error.into(), "", proxy.as_deref()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let target = uri.authority().map_or_else(String::new, ToString::to_string);
        let connecting = self.inner.call(uri);
        let (limit, proxy) = (self.limit, self.proxy.clone());
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(error)) => Err(explain(error.into(), &target, proxy.as_deref())),
                Err(_) => Err(NetError {
                    cause: Cause::Connect,
                    what: format!("no connection to {} within {limit:?}", through(&target, proxy.as_deref())),
                    may_have_arrived: false,
                }),
            }
        })
    }
}

fn through(target: &str, proxy: Option<&str>) -> String {
    match proxy {
        Some(proxy) => format!("{target} through the proxy {proxy}"),
        None => target.to_owned(),
    }
}

/// Names the cause of a connection that did not come about.
fn explain(error: BoxError, target: &str, proxy: Option<&str>) -> NetError {
    let chain = || error_chain(error.as_ref());
    let deepest = chain().last().map(ToString::to_string).unwrap_or_default();
    let tunnel = chain().map(ToString::to_string).find(|text| text.starts_with("tunnel error"));
    let (cause, what) = if let Some(dns) = chain().find_map(|error| error.downcast_ref::<DnsError>()) {
        (Cause::Dns, dns.to_string())
    } else if let Some(tls) = chain().find_map(|error| error.downcast_ref::<rustls::Error>()) {
        (Cause::Tls, format!("TLS with {} failed: {tls}", through(target, proxy)))
    } else if let (Some(tunnel), Some(proxy)) = (tunnel, proxy) {
        let said = tunnel.trim_start_matches("tunnel error: ");
        (Cause::Proxy, format!("the proxy {proxy} gives no way to {target}: {said} ({deepest})"))
    } else {
        (Cause::Connect, format!("no connection to {}: {deepest}", through(target, proxy)))
    };
    NetError { cause, what, may_have_arrived: false }
}

/// The error and what is behind it. An `io::Error` hides what it wraps from `source()`.
pub(super) fn error_chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// Plain HTTP through a proxy: the connection goes to the proxy, and the request names the whole
/// URL, which the HTTP client does once the connection says that it is a proxy's.
#[derive(Clone, Debug)]
pub(super) struct Forward<C> {
    pub(super) inner: C,
    pub(super) proxy: Uri,
}

impl<C> Service<Uri> for Forward<C>
where
    C: Service<Uri, Future: Send + 'static>,
{
    type Response = Forwarded<C::Response>;
    type Error = C::Error;
    type Future = BoxFuture<Self::Response, C::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connecting = self.inner.call(self.proxy.clone());
        Box::pin(async move { Ok(Forwarded(connecting.await?)) })
    }
}

/// A connection to a proxy that forwards plain HTTP.
#[derive(Debug)]
pub(super) struct Forwarded<S>(S);

impl<S: Connection> Connection for Forwarded<S> {
    fn connected(&self) -> Connected {
        self.0.connected().proxy(true)
    }
}

impl<S: hyper::rt::Read + Unpin> hyper::rt::Read for Forwarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl<S: hyper::rt::Write + Unpin> hyper::rt::Write for Forwarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
