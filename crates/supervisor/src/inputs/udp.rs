//! Messages in UDP datagrams.
//!
//! There is no acknowledgement, and no window to close: what is not read in time is dropped by the kernel. It is counted
//! as far as the kernel tells.

use std::net::SocketAddr;
use std::sync::Arc;

use super::InputError;
use super::net::bind;
use super::net::handover::Shape;
use super::net::opened::{NetInput, Way};
use crate::config::checked::{DatagramFraming, UdpInput};

/// Takes the address of an input.
///
/// # Errors
/// [`InputError::Listen`]
pub(super) fn open(input: &Arc<str>, config: &UdpInput) -> Result<NetInput, InputError> {
    open_as(Shape::AsItIs, input, config.listen, config.receive_buffer, config.framing)
}

/// The same for messages of any shape.
pub(super) fn open_as(
    shape: Shape,
    input: &Arc<str>,
    listen: SocketAddr,
    receive_buffer: usize,
    framing: DatagramFraming,
) -> Result<NetInput, InputError> {
    let socket = bind::udp(input, listen, receive_buffer)?;
    let address = socket.local_addr().unwrap_or(listen);
    Ok(NetInput {
        source: format!("{}://{address}", shape.scheme("udp")),
        shape,
        way: Way::Udp(socket, framing),
    })
}
