//! An input that has its address or socket, before it runs.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};

use super::accept::{Listener, serve};
use super::bind::UnixPath;
use super::datagrams::{Socket, receive};
use super::handover::{Handover, Shape};
use crate::config::checked::{DatagramFraming, StreamSettings};
use crate::inputs::tls::ServerTls;
use crate::inputs::{InputContext, InputError};

/// An input that has its address or socket, and how it reads what comes there.
pub(in crate::inputs) struct NetInput {
    /// What its events bear as their source, and its messages as the address.
    pub(in crate::inputs) source: String,
    /// What becomes of its messages.
    pub(in crate::inputs) shape: Shape,
    /// By what they come.
    pub(in crate::inputs) way: Way,
}

/// By what messages come. What the operating system has given is not known to an event loop yet.
pub(in crate::inputs) enum Way {
    /// TCP connections.
    Tcp(std::net::TcpListener, Option<ServerTls>, StreamSettings),
    /// UDP datagrams.
    Udp(std::net::UdpSocket, DatagramFraming),
    /// Connections to a Unix socket.
    UnixStream(OwnedFd, UnixPath, StreamSettings),
    /// Datagrams for a Unix socket.
    UnixDatagram(OwnedFd, UnixPath),
}

impl NetInput {
    /// Takes messages until told to stop.
    ///
    /// # Errors
    /// When no output takes events any more, or the event loop cannot watch the socket.
    pub(in crate::inputs) async fn run(self, ctx: InputContext) -> Result<(), InputError> {
        let Self { source, shape, way } = self;
        let input = Arc::clone(&ctx.input);
        let unwatched = |source: io::Error| InputError::Thread { input: Arc::clone(&input), source };
        tracing::info!(input = &*input, address = way.address(&source), source, "listening");
        ctx.started.tell();
        let (max_message, stop) = (ctx.max_line, ctx.stop.clone());
        let handover = Handover::new(ctx, &source, shape);
        match way {
            Way::Tcp(listener, tls, settings) => {
                let listener = TcpListener::from_std(listener).map_err(unwatched)?;
                serve(Listener::Tcp(listener, tls.map(Arc::new)), &settings, max_message, handover, stop)
                    .await
            }
            Way::UnixStream(socket, _path, settings) => {
                let listener = UnixListener::from_std(socket.into()).map_err(unwatched)?;
                serve(Listener::Unix(listener), &settings, max_message, handover, stop).await
            }
            Way::Udp(socket, framing) => {
                let socket = UdpSocket::from_std(socket).map_err(unwatched)?;
                receive(Socket::Udp(socket), framing, max_message, handover, stop).await
            }
            Way::UnixDatagram(socket, _path) => {
                let socket = UnixDatagram::from_std(socket.into()).map_err(unwatched)?;
                receive(Socket::Unix(socket), DatagramFraming::Message, max_message, handover, stop).await
            }
        }
    }

    /// Where it listens, if that is at an address.
    #[cfg(test)]
    pub(in crate::inputs) fn address(&self) -> SocketAddr {
        self.way.socket_address().unwrap()
    }
}

impl Way {
    /// Where it listens; `source` where that is at no address.
    fn address(&self, source: &str) -> String {
        self.socket_address().map_or_else(|| source.to_owned(), |address| address.to_string())
    }

    fn socket_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener, ..) => listener.local_addr().ok(),
            Self::Udp(socket, _) => socket.local_addr().ok(),
            Self::UnixStream(..) | Self::UnixDatagram(..) => None,
        }
    }
}
