//! Messages over TCP connections.
//!
//! There is no acknowledgement: what a peer has sent may be in its kernel, in ours or in our memory when one of them
//! stops, and nobody tells it. While the outputs take nothing, nothing is read, and the connection's window closes.

use std::sync::Arc;

use super::net::accept::{Listener, serve};
use super::net::bind;
use super::net::handover::{Handover, Shape};
use super::tls::ServerTls;
use super::{InputContext, InputError};
use crate::config::checked::{StreamSettings, TcpInput, TlsFiles};

/// Takes messages from TCP connections until told to stop.
///
/// # Errors
/// When the address or the certificate cannot be used, or no output takes events any more.
pub async fn run_tcp(config: TcpInput, ctx: InputContext) -> Result<(), InputError> {
    let TcpInput { listen, tls, stream } = config;
    run(listen, tls, &stream, Shape::AsItIs, ctx).await
}

/// The same for messages of any shape.
pub(super) async fn run(
    listen: std::net::SocketAddr,
    tls: Option<TlsFiles>,
    stream: &StreamSettings,
    shape: Shape,
    ctx: InputContext,
) -> Result<(), InputError> {
    let input = &ctx.input;
    let unusable = |source| InputError::Certificates { input: Arc::clone(input), source };
    let tls = tls.map(|files| ServerTls::new(Arc::clone(input), files, &[])).transpose().map_err(unusable)?;
    let listener = Listener::Tcp(bind::tcp(input, listen).await?, tls.map(Arc::new));
    let (max_message, stop) = (ctx.max_line, ctx.stop.clone());
    let handover = Handover::new(ctx, &format!("tcp:{}", listen.port()), shape);
    serve(listener, stream, max_message, handover, stop).await
}
