//! Net devices over vhost-user: another process, a switch, moves the packets. This side owns the guest's memory and
//! speaks for it.
//!
//! [`endpoint`] comes by connections, with a [`connector`] where that takes a privilege that this process has given
//! up; `requests` asks and tells within a deadline; [`negotiation`] holds the order of the messages; [`thread`] sees
//! that a back end is there for as long as the guest runs, [`managed`] the same for a device whose driver comes and goes.
//! Packets pass none of them: the guest's doorbells are the back end's kicks, and its calls wake the guest.
//!
//! A back end may end and come back at any time. What the guest was given at entry stays: a back end that offers less
//! takes the port down. Where the rings had come to is read from the guest's used indices: a chain that the old back
//! end had not given back is handed to the new one again, so no packet is lost half way, and one may come twice.

pub mod connector;
pub mod endpoint;
pub mod managed;
pub mod negotiation;
mod requests;
pub mod thread;
mod watchdog;

use crate::memory::GuestPhys;
use crate::net::FEATURES;
use std::io;
use std::path::PathBuf;
use vhost_user::message::Malformed;

/// Why a back end cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VhostError {
    /// Nobody is there.
    #[error("nobody answers at {}: {source}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// Nobody has connected in time.
    #[error("nobody has connected to {} in {seconds} s", path.display())]
    NoConnection {
        /// The socket.
        path: PathBuf,
        /// How long this waited.
        seconds: u64,
    },
    /// This side was asked to stop while it waited.
    #[error("stopped by signal {0}")]
    Stopped(u8),
    /// The other side does not answer.
    #[error("the back end does not answer {0}")]
    NoAnswer(&'static str),
    /// The other side does not read.
    #[error("the back end does not read what it is sent")]
    NotReading,
    /// The other side has hung up.
    #[error("the back end has closed the connection")]
    Closed,
    /// The other side answered something else.
    #[error("the back end answers {0} with something else")]
    UnexpectedAnswer(&'static str),
    /// The other side says no.
    #[error("the back end refuses {0}")]
    Refused(&'static str),
    /// The other side does not speak the protocol.
    #[error("the back end: {0}")]
    Malformed(#[from] Malformed),
    /// The socket failed.
    #[error("the back end: {0}")]
    Socket(io::Error),
    /// A back end without what every guest needs.
    #[error("the back end does not offer virtio 1.x")]
    NoVersion1,
    /// A back end that has come back with less.
    #[error("the back end lacks features that the guest was given: {0}")]
    MissingFeatures(String),
    /// A ring that cannot be read.
    #[error("the ring at {0} cannot be read")]
    Ring(GuestPhys),
}

impl VhostError {
    /// Whether the other side went away while it was spoken to, as one does that ends.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Closed | Self::Socket(_))
    }
}

impl From<vhost_user::socket::Error> for VhostError {
    fn from(e: vhost_user::socket::Error) -> Self {
        match e {
            vhost_user::socket::Error::Closed => Self::Closed,
            vhost_user::socket::Error::Malformed(m) => Self::Malformed(m),
            vhost_user::socket::Error::TableFull => Self::Socket(io::Error::from_raw_os_error(libc::EMFILE)),
            vhost_user::socket::Error::Socket(e) => match e.kind() {
                io::ErrorKind::WouldBlock => Self::NotReading,
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Socket(e),
            },
        }
    }
}

/// Feature bits that the monitor settles by itself: a back end is not asked for them.
const MONITOR_FEATURES: u64 = abi::net::FEATURE_MAC | abi::net::FEATURE_MTU;

/// Feature bits that MicroVisor's own switch offers, for a guest that is entered before its back end is met.
pub const SWITCH_FEATURES: u64 = FEATURES & !MONITOR_FEATURES;

/// Feature bits that a guest can have of a back end that offers `offered`.
pub fn usable(offered: u64) -> u64 {
    FEATURES & (offered | MONITOR_FEATURES)
}
