//! Listening Unix sockets: at paths where an earlier process may have left its socket, and in processes that may run out of
//! descriptors. A process that ends leaves the file of its socket behind, and the next process at the same path has to remove
//! it. This crate removes only sockets that nobody listens on: never a regular file, and never the socket of a running
//! process. `client` is the connecting side.

#![forbid(unsafe_code)]

mod client;

pub use client::{CONNECT_TIMEOUT, connect, request, try_connect};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

/// Pause after accepting has failed for a persistent reason ([`is_persistent`]).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Whether accepting failed for a reason that persists, such as a full descriptor table. The socket stays readable
/// meanwhile, so the caller should pause ([`ACCEPT_PAUSE`]).
pub fn is_persistent(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    ![ConnectionAborted, Interrupted, WouldBlock].contains(&error.kind())
}

/// Listens at `path`. Removes a stale socket there first.
///
/// Errors: `AddrInUse` if another process listens there, `AlreadyExists` if there is a file that is not a socket, or the
/// error of bind(2).
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
}

/// Removes the socket at `path` if nobody listens on it. Does nothing if there is no file. Errors: as for [`bind`].
pub fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file is there that is not a socket"));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    }
    if !is_stale(path)? {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Whether a connection to a socket is refused. Does not wait: a listener with a full backlog is not stale.
fn is_stale(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let mut refused = false;
    // A socket of another kind answers a stream with EPROTOTYPE: somebody has it.
    let address = SocketAddrUnix::new(path)?;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    if let Err(e) = rustix::net::connect(&probe, &address) {
        refused = e == rustix::io::Errno::CONNREFUSED;
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(bind(&path).unwrap());
        assert!(path.exists());
        bind(&path).unwrap();
    }

    #[test]
    fn a_listener_keeps_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        std::os::unix::net::UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_regular_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_link_to_a_stale_socket_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("s"), folder.path().join("l"));
        drop(bind(&path).unwrap());
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(bind(&link).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
