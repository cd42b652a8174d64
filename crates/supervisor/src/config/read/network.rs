//! Reads inputs that other programs write to without being answered.

use std::net::SocketAddr;

use super::listen::{address, tls};
use crate::config::checked::{
    StreamFraming, StreamSettings, SyslogInput, SyslogTransport, TcpInput, UdpInput, UnixInput, UnixSocket,
    Zone,
};
use crate::config::listen::{mode, zone};
use crate::config::section::Section;
use crate::config::units::Fault;
use crate::config::words::{SocketKind, Transport};

/// An input of type `tcp`; nothing if it has no address, which is reported.
pub(super) fn tcp(section: &Section<'_>) -> Option<TcpInput> {
    let listen = address(section);
    let (tls, stream) = (tls(section), stream(section, StreamFraming::Lines));
    let listen = listen?;
    warn_of_open_door(section, listen, tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()));
    Some(TcpInput { listen, tls, stream })
}

/// An input of type `udp`; nothing if it has no address, which is reported.
pub(super) fn udp(section: &Section<'_>) -> Option<UdpInput> {
    let listen = address(section);
    let framing = section.word("framing").unwrap_or_default();
    let receive_buffer = receive_buffer(section);
    let listen = listen?;
    warn_of_open_door(section, listen, false);
    Some(UdpInput { listen, framing, receive_buffer })
}

/// An input of type `syslog`; nothing if it has no address, which is reported. That other machines reach it is what it is
/// for, and is no reason for a warning.
pub(super) fn syslog(section: &Section<'_>) -> Option<SyslogInput> {
    let listen = address(section);
    let timezone = section.text("timezone").and_then(|text| zone(&text).ok()).unwrap_or(Zone::Local);
    let of_tcp = ["framing", "tls", "max_connections", "idle_timeout"];
    // All of them are checked, whichever are used.
    let (tls, stream, receive_buffer) =
        (tls(section), stream(section, StreamFraming::Auto), receive_buffer(section));
    let transport = match section.word("transport").unwrap_or_default() {
        Transport::Udp => {
            refuse_unused(
                section,
                &of_tcp,
                "is for connections, and `transport` is `udp`",
                "write `transport: tcp`",
            );
            SyslogTransport::Udp { receive_buffer }
        }
        Transport::Tcp => {
            let what = "is for datagrams, and `transport` is `tcp`";
            refuse_unused(section, &["receive_buffer"], what, "write `transport: udp`");
            SyslogTransport::Tcp { stream, tls }
        }
    };
    Some(SyslogInput { listen: listen?, transport, timezone })
}

/// An input of type `unix`; nothing if it has no path, which is reported.
pub(super) fn unix(section: &Section<'_>) -> Option<UnixInput> {
    let path = section.path("path");
    let mode = section.text("mode").and_then(|text| mode(&text).ok()).unwrap_or_default();
    let stream = stream(section, StreamFraming::Lines);
    let socket = match section.word("socket").unwrap_or_default() {
        SocketKind::Stream => UnixSocket::Stream(stream),
        SocketKind::Datagram => {
            let of_stream = ["framing", "max_connections", "idle_timeout"];
            refuse_unused(
                section,
                &of_stream,
                "is for connections, and `socket` is `datagram`",
                "write `socket: stream`",
            );
            UnixSocket::Datagram
        }
    };
    Some(UnixInput { path: path?, mode, socket })
}

fn stream(section: &Section<'_>, framing: StreamFraming) -> StreamSettings {
    StreamSettings {
        framing: section.word("framing").unwrap_or(framing),
        connections_max: usize::try_from(section.integer("max_connections")).unwrap_or(usize::MAX),
        idle_timeout: Some(section.period("idle_timeout")).filter(|timeout| !timeout.is_zero()),
    }
}

fn receive_buffer(section: &Section<'_>) -> usize {
    usize::try_from(section.size("receive_buffer")).unwrap_or(usize::MAX)
}

/// Settings that would do nothing are a mistake: somebody believes in them.
fn refuse_unused(section: &Section<'_>, keys: &[&str], what: &str, instead: &str) {
    for key in keys.iter().filter(|key| section.is_given(key)) {
        section.problem(key, Fault::new(what, format!("remove it, or {instead}")));
    }
}

fn warn_of_open_door(section: &Section<'_>, listen: SocketAddr, checks_certificates: bool) {
    if listen.ip().is_loopback() || checks_certificates {
        return;
    }
    let fault = Fault::new(
        "can be reached from other machines, and whoever reaches it can send events",
        "listen on 127.0.0.1, or let a firewall choose who may",
    );
    section.warning("listen", fault);
}
