//! Connects to sockets after the monitor itself can no longer: a process of a few lines, made before the monitor drops
//! its privileges, that does nothing but connect to the paths that it was made with and hand the connections over.
//!
//! It keeps the starter's user, for a switch's sockets may be open to that user alone, and its view of the file
//! system. It has no capability, no descriptor but one end of a socket pair, and a system call filter under which it
//! can receive, make a Unix socket, connect it, send it, and end. It reads one number at a time from the monitor: which of its
//! paths. It ends with the monitor.
#![allow(unsafe_code)]

use super::VhostError;
use crate::confine::seccomp;
use crate::error::Error;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use vhost_user::socket::Connection;

/// The monitor's end.
pub struct Connector {
    paths: Vec<PathBuf>,
    pair: Mutex<Connection>,
}

impl Connector {
    /// Starts the process. This process has one thread yet.
    pub fn start(paths: Vec<PathBuf>) -> Result<Self, Error> {
        for path in &paths {
            address(path)?;
        }
        let failed = |source| Error::System { doing: "make a pair of sockets", source };
        let (own, other) = UnixStream::pair().map_err(failed)?;
        // SAFETY: there is one thread, so the child may do anything; it never returns from `serve`.
        match unsafe { libc::fork() } {
            -1 => Err(Error::system("start the connector")),
            0 => {
                drop(own);
                serve(other, &paths)
            }
            _ => Ok(Self { paths, pair: Mutex::new(Connection::new(own)) }),
        }
    }

    /// A new connection to the `index`-th path.
    pub fn connect(&self, index: usize) -> Result<UnixStream, VhostError> {
        let unreachable = |source| VhostError::Unreachable { path: self.paths[index].clone(), source };
        let mut pair = self.pair.lock().expect("no thread panics with the lock");
        let gone = || unreachable(io::Error::other("the connector has ended"));
        pair.send(index as u32, &[], &[], false).map_err(|_| gone())?;
        loop {
            if let Some(mut answer) = pair.receive().map_err(|_| gone())? {
                let code = answer.payload.first_chunk().map_or(libc::EPROTO, |c| i32::from_ne_bytes(*c));
                return match answer.descriptors.pop() {
                    Some(fd) => Ok(UnixStream::from(fd)),
                    None => Err(unreachable(io::Error::from_raw_os_error(code))),
                };
            }
        }
    }
}

/// A path as the kernel takes it.
fn address(path: &Path) -> Result<(libc::sockaddr_un, libc::socklen_t), Error> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: an all-zero `sockaddr_un` is valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    if bytes.is_empty() || bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        let most = address.sun_path.len() - 1;
        return Err(Error::Configuration(format!(
            "{}: a socket's path has 1 to {most} bytes",
            path.display()
        )));
    }
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok((address, size_of::<libc::sockaddr_un>() as libc::socklen_t))
}

/// The process, to its end.
fn serve(pair: UnixStream, paths: &[PathBuf]) -> ! {
    let addresses: Vec<_> = paths.iter().filter_map(|path| address(path).ok()).collect();
    if confine(&pair).is_ok() {
        let mut pair = Connection::new(pair);
        while let Ok(message) = pair.receive() {
            let Some(message) = message else { continue };
            let made = match addresses.get(message.code as usize) {
                Some(address) => connect(address),
                None => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            };
            let code = made.as_ref().err().and_then(io::Error::raw_os_error).unwrap_or(0).to_ne_bytes();
            let fds: Vec<_> = made.iter().map(OwnedFd::as_fd).collect();
            if pair.reply(message.code, &code, &fds).is_err() {
                break;
            }
        }
    }
    // SAFETY: ends the process; nothing here has to be tidied.
    unsafe { libc::_exit(0) }
}

/// Connects, or says at once why not.
fn connect((address, length): &(libc::sockaddr_un, libc::socklen_t)) -> io::Result<OwnedFd> {
    // SAFETY: plain system calls; the address has the length given.
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = OwnedFd::from_raw_fd(fd);
        if libc::connect(fd.as_raw_fd(), (&raw const *address).cast(), *length) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(fd)
    }
}

/// Version 3 of `capset`'s header, this process; no capability.
#[repr(C)]
struct Capabilities {
    version: u32,
    pid: i32,
    none: [u32; 6],
}

/// Gives up all that connecting does not take.
fn confine(pair: &UnixStream) -> Result<(), Error> {
    let keep = pair.as_raw_fd() as u32;
    let capabilities = Capabilities { version: 0x2008_0522, pid: 0, none: [0; 6] };
    // SAFETY: plain system calls; `capset` reads the header and, behind it, three words for each half of the
    // capabilities. Descriptors are closed that nothing in this process will use again.
    let failed = unsafe {
        if keep > 0 {
            libc::close_range(0, keep - 1, 0);
        }
        libc::close_range(keep + 1, u32::MAX, 0);
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
        libc::prctl(libc::PR_SET_NAME, c"mv-connector".as_ptr());
        libc::syscall(libc::SYS_capset, &raw const capabilities.version, capabilities.none.as_ptr()) < 0
            || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
            || libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) < 0
    };
    if failed {
        return Err(Error::system("give up the connector's privileges"));
    }
    seccomp::connector().and_then(|filter| seccomp::enter(&filter))
}
