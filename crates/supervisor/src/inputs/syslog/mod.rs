//! Syslog messages, RFC 5424 and RFC 3164, in UDP datagrams or over TCP connections, with or without TLS.
//!
//! There is no acknowledgement, as with `tcp` and `udp`, which do the reading.

mod event;
mod time;

use super::net::handover::Shape;
use super::{InputContext, InputError, tcp, udp};
use crate::config::checked::{DatagramFraming, SyslogInput, SyslogTransport};

pub(super) use event::SyslogEvents;

/// Takes syslog messages until told to stop.
///
/// # Errors
/// When the address or the certificate cannot be used, or no output takes events any more.
pub async fn run_syslog(config: SyslogInput, ctx: InputContext) -> Result<(), InputError> {
    let shape = Shape::Syslog(SyslogEvents::new(config.timezone));
    match config.transport {
        SyslogTransport::Udp { receive_buffer } => {
            udp::run(config.listen, receive_buffer, DatagramFraming::Message, shape, ctx).await
        }
        SyslogTransport::Tcp { stream, tls } => tcp::run(config.listen, tls, &stream, shape, ctx).await,
    }
}
