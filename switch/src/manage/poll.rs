//! Descriptors that the control thread waits for.
#![allow(unsafe_code)]

use polling::{Event, PollMode, Poller};
use std::io;
use std::os::fd::RawFd;

/// Waits on a descriptor.
pub fn watch(poller: &Poller, fd: RawFd, event: Event, mode: PollMode) -> io::Result<()> {
    // SAFETY: whoever owns the descriptor removes it from the poller, or lives as long as it.
    unsafe { poller.add_with_mode(fd, event, mode) }
}
