//! Syslog messages, RFC 5424 and RFC 3164, in UDP datagrams or over TCP connections, with or without TLS.
//!
//! There is no acknowledgement, as with `tcp` and `udp`, which do the reading.

mod event;
mod time;

use std::sync::Arc;

use super::net::handover::Shape;
use super::net::opened::NetInput;
use super::{InputError, tcp, udp};
use crate::config::checked::{DatagramFraming, SyslogInput, SyslogTransport};

pub(super) use event::SyslogEvents;

/// Takes the address of an input.
///
/// # Errors
/// [`InputError::Listen`] and [`InputError::Tls`]
pub(super) fn open(input: &Arc<str>, config: SyslogInput) -> Result<NetInput, InputError> {
    let SyslogInput { listen, transport, timezone } = config;
    let shape = Shape::Syslog(SyslogEvents::new(timezone));
    match transport {
        SyslogTransport::Udp { receive_buffer } => {
            udp::open_as(shape, input, listen, receive_buffer, DatagramFraming::Message)
        }
        SyslogTransport::Tcp { stream, tls } => tcp::open_as(shape, input, listen, tls, stream),
    }
}
