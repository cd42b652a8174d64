//! Messages over Unix sockets: connections or datagrams.
//!
//! There is no acknowledgement. While the outputs take nothing, nothing is read and those who write wait: the kernel
//! drops nothing here, datagrams included.

use std::sync::Arc;

use rustix::net::SocketType;

use super::InputError;
use super::net::bind;
use super::net::handover::Shape;
use super::net::opened::{NetInput, Way};
use crate::config::checked::{UnixInput, UnixSocket};

/// Makes the socket of an input.
///
/// # Errors
/// [`InputError::Socket`]
pub(super) fn open(input: &Arc<str>, config: UnixInput) -> Result<NetInput, InputError> {
    let UnixInput { path, mode, socket } = config;
    let way = match socket {
        UnixSocket::Stream(stream) => {
            let (socket, guard) = bind::unix(input, &path, mode, SocketType::STREAM)?;
            Way::UnixStream(socket, guard, stream)
        }
        UnixSocket::Datagram => {
            let (socket, guard) = bind::unix(input, &path, mode, SocketType::DGRAM)?;
            Way::UnixDatagram(socket, guard)
        }
    };
    Ok(NetInput { source: format!("unix://{}", path.display()), shape: Shape::AsItIs, way })
}
