//! Eventfds.

use crate::error::Error;
use rustix::event::{EventfdFlags, eventfd};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A non-blocking eventfd. (A process that shares it could make it blocking.)
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new eventfd, not signalled.
    pub fn new() -> Result<Self, Error> {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        fd.map(Self).map_err(|e| Error::System { doing: "make an eventfd", source: e.into() })
    }

    /// Signals it. A full eventfd is signalled already.
    pub fn signal(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Clears all signals so far.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }

    /// A duplicate of the descriptor, for another process.
    pub fn to_file(&self) -> Result<File, Error> {
        let copy = self.0.try_clone().map_err(|source| Error::System { doing: "copy an eventfd", source });
        copy.map(File::from)
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits until a descriptor is ready or the timeout is over. Returns whether it is ready.
pub fn ready(
    fd: &impl AsFd,
    events: rustix::event::PollFlags,
    timeout: Option<std::time::Duration>,
) -> io::Result<bool> {
    let timeout = timeout.map(timespec);
    let mut polls = [rustix::event::PollFd::new(fd, events)];
    Ok(rustix::event::poll(&mut polls, timeout.as_ref())? > 0)
}

/// A duration as a kernel `timespec`.
pub fn timespec(duration: std::time::Duration) -> rustix::event::Timespec {
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    rustix::event::Timespec { tv_sec, tv_nsec: i64::from(duration.subsec_nanos()) }
}
