//! Eventfds, by which threads and processes signal each other.
#![allow(unsafe_code)]

use crate::error::Error;
use std::fs::File;
use std::os::fd::{FromRawFd, IntoRawFd};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

/// A new eventfd that never blocks.
pub fn event() -> Result<EventFd, Error> {
    EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC)
        .map_err(|source| Error::System { doing: "make an eventfd", source })
}

/// An eventfd as a file of its own, to be handed to another process.
pub fn event_file(event: &EventFd) -> Result<File, Error> {
    let copy = event.try_clone().map_err(|source| Error::System { doing: "copy an eventfd", source })?;
    // SAFETY: the copy was just made and is given up to the file.
    Ok(unsafe { File::from_raw_fd(copy.into_raw_fd()) })
}

/// Signals an eventfd; its counter cannot overflow within a lifetime.
pub fn signal(event: &EventFd) {
    let _ = event.write(1);
}
