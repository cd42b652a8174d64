//! Gets the address or the socket that an input listens on.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};
use rustix::net::sockopt::{set_socket_recv_buffer_size, socket_recv_buffer_size};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::inputs::InputError;
use crate::inputs::listen::refused;

/// Connections that wait to be let in.
const BACKLOG: i32 = 1024;

/// Listens for UDP datagrams; `receive_buffer` is how many bytes of them the kernel shall hold, 0 for what it likes.
///
/// # Errors
/// [`InputError::Listen`]
pub(in crate::inputs) fn udp(
    input: &Arc<str>,
    address: SocketAddr,
    receive_buffer: usize,
) -> Result<UdpSocket, InputError> {
    let refused = |error: io::Error| refused(input, address, error);
    let socket = UdpSocket::bind(address).map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    if receive_buffer > 0 {
        set_socket_recv_buffer_size(&socket, receive_buffer).map_err(|errno| refused(errno.into()))?;
        let got = usable(socket_recv_buffer_size(&socket).unwrap_or_default());
        if got < receive_buffer {
            tracing::warn!(
                input = &**input,
                wanted = receive_buffer,
                got,
                "the kernel allows a receive buffer of {got} bytes only: raise it with `sysctl net.core.rmem_max={receive_buffer}`, \
                 or lower `receive_buffer`"
            );
        }
    }
    Ok(socket)
}

/// Linux doubles what it is asked for, and tells the double: the other half is for what it needs itself.
fn usable(told: usize) -> usize {
    if cfg!(target_os = "linux") { told / 2 } else { told }
}

/// A Unix socket at a path; the path is freed again when it is dropped.
#[derive(Debug)]
pub(in crate::inputs) struct UnixPath {
    path: PathBuf,
    /// Device and inode: somebody else may have put another socket there.
    key: (u64, u64),
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        let is_ours = key_of(&self.path).is_ok_and(|key| key == self.key);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket is left behind");
        }
    }
}

/// Makes a Unix socket at a path, for connections or for datagrams, that those may write to whom `mode` lets. Takes the
/// place of the socket of a process that is gone, and of nothing else.
///
/// # Errors
/// [`InputError::Socket`]
pub(in crate::inputs) fn unix(
    input: &Arc<str>,
    path: &Path,
    mode: u32,
    kind: SocketType,
) -> Result<(OwnedFd, UnixPath), InputError> {
    let refused = |message: String, remedy| InputError::Socket {
        input: Arc::clone(input),
        path: path.to_owned(),
        message,
        remedy,
    };
    make_way(path).map_err(|(message, remedy)| refused(message, remedy))?;
    make(path, mode, kind).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "create its directory",
            io::ErrorKind::InvalidInput => "a path of a socket has at most 107 bytes: choose a shorter one",
            _ => "let the user that runs millpond write to its directory, or choose another path",
        };
        refused(error.to_string(), remedy)
    })
}

/// Frees a path of the socket of a process that is gone. Otherwise: what is in the way, and what to do.
fn make_way(path: &Path) -> Result<(), (String, &'static str)> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err((error.to_string(), "let the user that runs millpond look at it")),
    };
    if !metadata.file_type().is_socket() {
        return Err((
            "something else than a socket is there".to_owned(),
            "move it away, or choose another path",
        ));
    }
    let probe = std::os::unix::net::UnixDatagram::unbound().and_then(|probe| probe.connect(path));
    match probe {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| {
                (
                    format!("the socket of a process that is gone cannot be removed: {error}"),
                    "remove it, or let the user that runs millpond write to its directory",
                )
            })
        }
        // A socket for connections answers that it is of another type.
        _ => Err(("another process listens there".to_owned(), "stop it, or choose another path")),
    }
}

fn make(path: &Path, mode: u32, kind: SocketType) -> io::Result<(OwnedFd, UnixPath)> {
    let address = SocketAddrUnix::new(path).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
    // IMPORTANT: before it has a path, so that at no time more than `mode` may write to it.
    fchmod(&socket, Mode::from_raw_mode(mode))?;
    rustix::net::bind(&socket, &address)?;
    let path = UnixPath { key: key_of(path)?, path: path.to_owned() };
    // What the umask took away is allowed after all.
    fs::set_permissions(&path.path, Permissions::from_mode(mode))?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok((socket, path))
}

fn key_of(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
