//! TAP devices (Linux `Documentation/networking/tuntap.rst`), opened with a virtio-net header before each packet.
//!
//! A persistent TAP belongs to whoever created it, and the next program that opens it may rely on its settings. Dropping
//! [`SavedSettings`] restores them.

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

/// Offloads that the reader of a TAP supports: `TUN_F_CSUM`, `TUN_F_TSO4`, `TUN_F_TSO6` of `linux/if_tun.h`.
pub type Offloads = u32;

/// An open TAP.
#[derive(Debug)]
pub struct Tap {
    /// Reads and writes packets, each with a header before it; non-blocking.
    pub fd: OwnedFd,
    /// Its earlier settings; `None` for a TAP that disappears with its descriptor.
    pub saved: Option<SavedSettings>,
}

impl Tap {
    /// The descriptor only, for a process that will not be able to restore the settings.
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
    /// `TUNSETIFF` failed: EBUSY if another process has the TAP open, EINVAL if it is not a TAP or has `multi_queue`, EPERM
    /// if this process is not allowed to open it.
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

/// Opens the TAP `name` in this thread's network namespace, and creates it if it does not exist.
pub fn open(name: &str) -> Result<Tap, OpenError> {
    if !is_name(name) {
        return Err(OpenError::Name(name.to_owned()));
    }
    let fd = kernel::device().map_err(OpenError::Device)?;
    let mut before = SavedSettings::of(name);
    kernel::attach(fd.as_fd(), name, kernel::FLAGS).map_err(OpenError::Attach)?;
    // The kernel tells the header's format only on the TAP's own descriptor.
    if let Some(before) = &mut before {
        before.header = Some(kernel::header(fd.as_fd()).map_err(OpenError::Attach)?);
    }
    Ok(Tap { fd, saved: before })
}

/// Whether an interface may have this name.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_MAXIMUM).contains(&name.len()) && !name.contains(['/', '\0', ' '])
}
