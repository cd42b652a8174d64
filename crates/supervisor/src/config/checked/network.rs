//! Inputs that other programs write to without being answered.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::TlsFiles;

/// Where a message ends in a stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamFraming {
    /// At a line feed.
    #[default]
    Lines,
    /// After as many bytes as the number says that stands before it.
    OctetCounted,
    /// Each message may be framed in either way, as RFC 6587 has it for syslog.
    Auto,
}

/// Where a message ends in a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DatagramFraming {
    /// Where the datagram does.
    #[default]
    Message,
    /// At a line feed, and where the datagram does.
    Lines,
}

/// How connections are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    /// Where a message ends.
    pub framing: StreamFraming,
    /// Connections at once; one more is refused.
    pub connections_max: usize,
    /// A connection is closed when nothing comes for so long; `None`: never.
    pub idle_timeout: Option<Duration>,
}

/// An input of type `tcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpInput {
    /// Where it listens.
    pub listen: SocketAddr,
    /// `None`: not encrypted.
    pub tls: Option<TlsFiles>,
    /// How connections are read.
    pub stream: StreamSettings,
}

/// An input of type `udp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpInput {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where a message ends.
    pub framing: DatagramFraming,
    /// Bytes of datagrams that the kernel shall hold; 0 for what it likes.
    pub receive_buffer: usize,
}

/// An input of type `syslog`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogInput {
    /// Where it listens.
    pub listen: SocketAddr,
    /// By what messages come.
    pub transport: SyslogTransport,
    /// The time zone of senders that do not say theirs.
    pub timezone: Zone,
}

/// By what syslog messages come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogTransport {
    /// In datagrams, each of which is a message.
    Udp {
        /// Bytes of datagrams that the kernel shall hold; 0 for what it likes.
        receive_buffer: usize,
    },
    /// Over connections.
    Tcp {
        /// How they are read.
        stream: StreamSettings,
        /// `None`: not encrypted.
        tls: Option<TlsFiles>,
    },
}

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// That of this machine, with its summer time.
    Local,
    /// So far from UTC all the year.
    Fixed {
        /// Minutes that its clocks are ahead of UTC; less than a day either way.
        minutes_east: i16,
    },
}

/// An input of type `unix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixInput {
    /// Path of the socket.
    pub path: PathBuf,
    /// Permissions of the socket: who may write to it.
    pub mode: u32,
    /// What kind of socket it is.
    pub socket: UnixSocket,
}

/// A kind of Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnixSocket {
    /// Connections.
    Stream(StreamSettings),
    /// Datagrams, each of which is a message.
    Datagram,
}
