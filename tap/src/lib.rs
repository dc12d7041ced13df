//! TAP devices (Linux `Documentation/networking/tuntap.rst`): opened with a virtio-net header ahead of each packet, and
//! left as they were found.
//!
//! A persistent TAP belongs to whoever made it, and the next program that opens it may take its settings for granted.
//! Dropping [`SavedSettings`] restores them.

mod ethtool;
mod kernel;
mod saved;

pub use kernel::{interface_request, set_offloads};
pub use saved::SavedSettings;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Longest name of an interface, bytes.
pub const NAME_MAXIMUM: usize = libc::IFNAMSIZ - 1;

/// What the kernel may leave to whoever reads a TAP: `TUN_F_CSUM`, `TUN_F_TSO4`, `TUN_F_TSO6` of `linux/if_tun.h`.
pub type Offloads = u32;

/// An open TAP.
#[derive(Debug)]
pub struct Tap {
    /// Reads and writes packets, each behind a header; non-blocking.
    pub fd: OwnedFd,
    /// What it was like before. None for one that goes away with its descriptor.
    pub saved: Option<SavedSettings>,
}

impl Tap {
    /// The descriptor alone, in a process that will not be able to restore anything.
    pub fn into_fd(self) -> OwnedFd {
        std::mem::forget(self.saved);
        self.fd
    }
}

/// Why a TAP cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// No interface can have this name.
    Name(String),
    /// `/dev/net/tun` cannot be opened.
    Device(io::Error),
    /// The kernel does not give the TAP (`TUNSETIFF`): EBUSY if another process has it open, EINVAL if it is no TAP, or
    /// one with `multi_queue`, EPERM if this process may not.
    Attach(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?} cannot name a TAP: 1 to {NAME_MAXIMUM} characters"),
            Self::Device(e) => write!(f, "/dev/net/tun: {e}"),
            Self::Attach(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

/// Opens the TAP `name` in this thread's network namespace, made if absent.
pub fn open(name: &str) -> Result<Tap, OpenError> {
    if !is_name(name) {
        return Err(OpenError::Name(name.to_owned()));
    }
    let fd = kernel::device().map_err(OpenError::Device)?;
    let mut before = SavedSettings::of(name);
    kernel::attach(fd.as_fd(), name, kernel::FLAGS).map_err(OpenError::Attach)?;
    // How packets of it begin can be asked of whoever has it open alone.
    if let Some(before) = &mut before {
        before.header = Some(kernel::header(fd.as_fd()).map_err(OpenError::Attach)?);
    }
    Ok(Tap { fd, saved: before })
}

/// Whether an interface may have this name.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_MAXIMUM).contains(&name.len()) && !name.contains(['/', '\0', ' '])
}
