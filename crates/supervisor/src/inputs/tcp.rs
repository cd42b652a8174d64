//! Messages over TCP connections.
//!
//! There is no acknowledgement: what a peer has sent may be in its kernel, in ours or in our memory when one of them
//! stops, and nobody tells it. While the outputs take nothing, nothing is read, and the connection's window closes.

use std::net::SocketAddr;
use std::sync::Arc;

use super::net::handover::Shape;
use super::net::opened::{NetInput, Way};
use super::tls::ServerTls;
use super::{InputError, listen};
use crate::config::checked::{StreamSettings, TcpInput, TlsFiles};

/// Takes the address of an input.
///
/// # Errors
/// [`InputError::Listen`] and [`InputError::Tls`]
pub(super) fn open(input: &Arc<str>, config: TcpInput) -> Result<NetInput, InputError> {
    let TcpInput { listen, tls, stream } = config;
    open_as(Shape::AsItIs, input, listen, tls, stream)
}

/// The same for messages of any shape.
pub(super) fn open_as(
    shape: Shape,
    input: &Arc<str>,
    listen: SocketAddr,
    tls: Option<TlsFiles>,
    stream: StreamSettings,
) -> Result<NetInput, InputError> {
    let unusable = |source| InputError::Tls { input: Arc::clone(input), source };
    // Neither lines nor syslog have a name to agree on in the handshake.
    let tls = tls.map(|files| ServerTls::new(Arc::clone(input), files, &[])).transpose().map_err(unusable)?;
    let listener = listen::tcp(input, listen)?;
    let address = listener.local_addr().unwrap_or(listen);
    Ok(NetInput {
        source: format!("{}://{address}", shape.scheme("tcp")),
        shape,
        way: Way::Tcp(listener, tls, stream),
    })
}
