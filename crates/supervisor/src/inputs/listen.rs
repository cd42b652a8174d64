//! Taking an address to listen on.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::InputError;

/// Listens for TCP connections. The port can be taken again at once when this ends, even where connections linger.
///
/// # Errors
/// [`InputError::Listen`], with what to do.
pub(super) fn tcp(input: &Arc<str>, address: SocketAddr) -> Result<TcpListener, InputError> {
    // The standard library sets SO_REUSEADDR.
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| refused(input, address, source))
}

/// An address cannot be had.
pub(super) fn refused(input: &Arc<str>, address: SocketAddr, source: io::Error) -> InputError {
    let remedy = remedy(address, &source);
    InputError::Listen { input: Arc::clone(input), address, source, remedy }
}

/// What to do when an address cannot be had.
pub(crate) fn remedy(address: SocketAddr, error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "another program has it (`ss -lntup` shows which): stop it, or choose another port"
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            "ports below 1024 are for those with CAP_NET_BIND_SERVICE (`AmbientCapabilities=` of the systemd unit): \
             choose a higher port, or grant it"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address (`ip address` shows those it has): correct `listen`, or write 0.0.0.0"
        }
        _ => "choose another address in `listen`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_and_is_free_again_at_once() {
        let input: Arc<str> = "web".into();
        let first = tcp(&input, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        let error = tcp(&input, address).unwrap_err().to_string();
        assert!(error.starts_with(&format!("input web: cannot listen on {address}: ")), "{error}");
        assert!(error.ends_with("stop it, or choose another port"), "{error}");
        let client = std::net::TcpStream::connect(address).unwrap();
        first.set_nonblocking(false).unwrap();
        // The server's side closes first, so that the connection lingers there.
        drop((first.accept().unwrap(), first));
        drop(client);
        tcp(&input, address).unwrap();
    }
}
