//! Messages in UDP datagrams.
//!
//! There is no acknowledgement, and no window to close: what is not read in time is dropped by the kernel. It is counted
//! as far as the kernel tells.

use super::net::bind;
use super::net::datagrams::{Socket, receive};
use super::net::handover::{Handover, Shape};
use super::{InputContext, InputError};
use crate::config::checked::{DatagramFraming, UdpInput};

/// Takes datagrams until told to stop.
///
/// # Errors
/// When the address cannot be used, or no output takes events any more.
pub async fn run_udp(config: UdpInput, ctx: InputContext) -> Result<(), InputError> {
    run(config.listen, config.receive_buffer, config.framing, Shape::AsItIs, ctx).await
}

/// The same for messages of any shape.
pub(super) async fn run(
    listen: std::net::SocketAddr,
    receive_buffer: usize,
    framing: DatagramFraming,
    shape: Shape,
    ctx: InputContext,
) -> Result<(), InputError> {
    let socket = Socket::Udp(bind::udp(&ctx.input, listen, receive_buffer).await?);
    let (max_message, stop) = (ctx.max_line, ctx.stop.clone());
    let handover = Handover::new(ctx, &format!("udp:{}", listen.port()), shape);
    receive(socket, framing, max_message, handover, stop).await
}
