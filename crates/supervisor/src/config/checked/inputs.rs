//! Inputs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{HttpInput, SyslogInput, SyslogTransport, TcpInput, TlsFiles, UdpInput, UnixInput};
use crate::chunk::Codec;
use crate::processing::Pipeline;

/// One input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name in the configuration; also the name of its position file.
    pub id: String,
    /// How its lines become events.
    pub codec: Codec,
    /// Longest line in bytes; a longer one is cut and counted.
    pub max_line: usize,
    /// Shapes its events before the outputs have them.
    pub pipeline: Option<Arc<Pipeline>>,
    /// Where its lines come from.
    pub kind: InputKind,
}

impl Input {
    /// Would the other one run exactly like this one? What is done to the events that it gives is not its own concern.
    #[must_use]
    pub fn runs_like(&self, other: &Self) -> bool {
        Self { pipeline: None, ..self.clone() } == Self { pipeline: None, ..other.clone() }
    }
}

/// Where an input's lines come from.
#[derive(Debug, Clone, PartialEq)]
pub enum InputKind {
    /// Files that grow.
    File(FileInput),
    /// Bodies of HTTP requests.
    Http(HttpInput),
    /// Messages over TCP connections.
    Tcp(TcpInput),
    /// Messages in UDP datagrams.
    Udp(UdpInput),
    /// Syslog messages.
    Syslog(SyslogInput),
    /// Messages over a Unix socket.
    Unix(UnixInput),
    /// The journal of systemd.
    Journald(JournaldInput),
    /// Standard input, until its end.
    Stdin,
}

impl InputKind {
    /// Where it listens for TCP connections, if it does.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Http(http) => Some(http.listen),
            Self::Tcp(tcp) => Some(tcp.listen),
            Self::Syslog(SyslogInput { listen, transport: SyslogTransport::Tcp { .. }, .. }) => Some(*listen),
            _ => None,
        }
    }

    /// The files of its TLS, if it has any.
    #[must_use]
    pub fn tls_files(&self) -> Option<&TlsFiles> {
        match self {
            Self::Http(http) => http.tls.as_ref(),
            Self::Tcp(tcp) => tcp.tls.as_ref(),
            Self::Syslog(SyslogInput { transport: SyslogTransport::Tcp { tls, .. }, .. }) => tls.as_ref(),
            _ => None,
        }
    }

    /// Where it listens for UDP datagrams, if it does.
    #[must_use]
    pub fn udp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Udp(udp) => Some(udp.listen),
            Self::Syslog(SyslogInput { listen, transport: SyslogTransport::Udp { .. }, .. }) => Some(*listen),
            _ => None,
        }
    }

    /// The word for it: `type` in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
            Self::Syslog(_) => "syslog",
            Self::Unix(_) => "unix",
            Self::Journald(_) => "journald",
            Self::Stdin => "stdin",
        }
    }
}

/// Which files an input reads, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct FileInput {
    /// Patterns of the files to read; at least one.
    pub include: Vec<String>,
    /// Patterns of files to leave out.
    pub exclude: Vec<String>,
    /// Where reading starts in a file that has no position yet.
    pub read_from: ReadFrom,
    /// How often directories and files are looked at where change notices do not arrive.
    pub rescan: Duration,
    /// How events of several lines are told apart; `None`: each line is one.
    pub multiline: Option<MultilineSettings>,
}

/// How events of several lines are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultilineSettings {
    /// A regular expression; a line that it matches begins an event.
    pub start: String,
    /// An event is finished when nothing has come for so long.
    pub timeout: Duration,
}

/// What of the journal an input reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournaldInput {
    /// Units whose entries are read; none for all.
    pub units: Vec<String>,
    /// Where the journal is; `None`: where systemd keeps it.
    pub directory: Option<PathBuf>,
    /// Where reading starts at the first start.
    pub read_from: ReadFrom,
}

/// Where reading starts in a file that has no position yet, or in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadFrom {
    /// At its first byte.
    #[default]
    Beginning,
    /// At its end, as it stands when it is first seen at start-up; files that appear later are read from the beginning.
    End,
}
