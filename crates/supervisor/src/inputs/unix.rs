//! Messages over Unix sockets: connections or datagrams.
//!
//! There is no acknowledgement. While the outputs take nothing, nothing is read and those who write wait: the kernel
//! drops nothing here, datagrams included.

use std::io;
use std::sync::Arc;

use rustix::net::SocketType;
use tokio::net::{UnixDatagram, UnixListener};

use super::net::accept::{Listener, serve};
use super::net::bind;
use super::net::datagrams::{Socket, receive};
use super::net::handover::{Handover, Shape};
use super::{InputContext, InputError};
use crate::config::checked::{DatagramFraming, UnixInput, UnixSocket};

/// Takes messages from a Unix socket until told to stop.
///
/// # Errors
/// When the socket cannot be made, or no output takes events any more.
pub async fn run_unix(config: UnixInput, ctx: InputContext) -> Result<(), InputError> {
    let input = Arc::clone(&ctx.input);
    let unusable = |source: io::Error| InputError::Thread { input: Arc::clone(&input), source };
    let (max_message, stop) = (ctx.max_line, ctx.stop.clone());
    let kind = match config.socket {
        UnixSocket::Stream(_) => SocketType::STREAM,
        UnixSocket::Datagram => SocketType::DGRAM,
    };
    let (socket, path) = bind::unix(&input, &config.path, config.mode, kind)?;
    let handover = Handover::new(ctx, &format!("unix:{}", config.path.display()), Shape::AsItIs);
    let result = match config.socket {
        UnixSocket::Stream(stream) => {
            let listener = UnixListener::from_std(socket.into()).map_err(unusable)?;
            serve(Listener::Unix(listener), &stream, max_message, handover, stop).await
        }
        UnixSocket::Datagram => {
            let socket = Socket::Unix(UnixDatagram::from_std(socket.into()).map_err(unusable)?);
            receive(socket, DatagramFraming::Message, max_message, handover, stop).await
        }
    };
    drop(path);
    result
}
