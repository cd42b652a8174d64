//! What the service manager is told: the datagrams of `sd_notify(3)`.
//!
//! Abstract sockets (`@name`), which some managers of containers use, are why this is no crate.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

/// A busy manager gets this long to take a datagram.
const SEND_MAX: Duration = Duration::from_secs(2);

/// Something that has changed about the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State<'a> {
    /// The inputs accept events, at the start or again after a reload.
    Ready,
    /// The configuration is read again; the monotonic time of that, in microseconds.
    Reloading(u64),
    /// A stop has begun.
    Stopping,
    /// The stop may take that long from now.
    ExtendTimeout(Duration),
    /// It is alive.
    Watchdog,
    /// What it does, in one line.
    Status(&'a str),
}

/// The text of one datagram. Pure.
pub(super) fn datagram(states: &[State<'_>]) -> String {
    let mut text = String::new();
    for state in states {
        let written = match state {
            State::Ready => writeln!(text, "READY=1"),
            State::Reloading(usec) => writeln!(text, "RELOADING=1\nMONOTONIC_USEC={usec}"),
            State::Stopping => writeln!(text, "STOPPING=1"),
            State::ExtendTimeout(by) => writeln!(text, "EXTEND_TIMEOUT_USEC={}", by.as_micros()),
            State::Watchdog => writeln!(text, "WATCHDOG=1"),
            // A line feed would begin another assignment.
            State::Status(line) => writeln!(text, "STATUS={}", line.replace(char::is_control, " ")),
        };
        written.expect("a String takes everything");
    }
    text
}

/// Where the service manager listens.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UnixDatagram,
    address: SocketAddr,
    name: OsString,
}

impl Socket {
    /// `name`: what `NOTIFY_SOCKET` says, an absolute path or an abstract name behind `@`.
    pub(super) fn new(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
            [b'/', ..] => SocketAddr::from_pathname(Path::new(name))?,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an @name")),
        };
        let socket = UnixDatagram::unbound()?;
        // IMPORTANT: a manager that does not read must not hold up what forwards.
        socket.set_write_timeout(Some(SEND_MAX))?;
        Ok(Self { socket, address, name: name.to_owned() })
    }

    pub(super) fn send(&self, states: &[State<'_>]) -> io::Result<()> {
        self.socket.send_to_addr(datagram(states).as_bytes(), &self.address)?;
        Ok(())
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_an_assignment_on_a_line_of_its_own() {
        let text =
            datagram(&[State::Stopping, State::ExtendTimeout(Duration::from_millis(15)), State::Ready]);
        assert_eq!(text, "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000\nREADY=1\n");
        assert_eq!(datagram(&[State::Reloading(7)]), "RELOADING=1\nMONOTONIC_USEC=7\n");
        assert_eq!(datagram(&[State::Watchdog]), "WATCHDOG=1\n");
    }

    #[test]
    fn a_status_cannot_assign_anything_else() {
        assert_eq!(datagram(&[State::Status("a\nWATCHDOG=trigger\0")]), "STATUS=a WATCHDOG=trigger \n");
    }

    #[test]
    fn abstract_names_and_paths_are_reached_and_nothing_else_is_tried() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        Socket::new(path.as_os_str()).unwrap().send(&[State::Ready]).unwrap();
        let name = format!("millpond-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Socket::new(OsStr::new(&format!("@{name}"))).unwrap().send(&[State::Ready]).unwrap();
        for manager in [by_path, by_name] {
            let mut buffer = [0; 64];
            let len = manager.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], b"READY=1\n");
        }
        assert!(Socket::new(OsStr::new("relative")).is_err());
    }
}
