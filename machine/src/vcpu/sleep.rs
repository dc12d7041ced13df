//! How a vCPU thread sleeps: until its guest's deadline, a signal of this process, or a call of another.
#![allow(unsafe_code)]

use super::VcpuState;
use crate::error::Error;
use std::os::fd::AsRawFd;
use std::time::Duration;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;

/// Calls of other processes (vhost-user's word): eventfds that end the guest's sleep. They are watched for edges and
/// never read: what another process shares with this one it can read empty, or make blocking, at any time.
pub struct Calls(Epoll);

impl Calls {
    /// No call yet. Errors: no epoll can be made.
    pub fn new() -> Result<Self, Error> {
        Epoll::new().map(Self).map_err(|source| Error::System { doing: "make an epoll", source })
    }

    /// Listens to an eventfd for good.
    pub fn listen(&self, event: &EventFd) -> Result<(), Error> {
        let edge = EpollEvent::new(EventSet::IN | EventSet::EDGE_TRIGGERED, 0);
        self.0
            .ctl(ControlOperation::Add, event.as_raw_fd(), edge)
            .map_err(|source| Error::System { doing: "wait for calls", source })
    }

    /// Forgets all edges so far.
    fn clear(&self) {
        let mut events = [EpollEvent::default(); 16];
        let _ = self.0.wait(0, &mut events);
    }
}

/// Sleeps until something for the guest is signalled, or for so long; without a timeout, until then.
pub fn sleep(state: &VcpuState, calls: Option<&Calls>, timeout: Option<Duration>) {
    let timeout =
        timeout.map(|d| libc::timespec { tv_sec: d.as_secs() as i64, tv_nsec: i64::from(d.subsec_nanos()) });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let wait = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut polls = [wait(state.wake.as_raw_fd()), wait(calls.map_or(-1, |calls| calls.0.as_raw_fd()))];
    // SAFETY: two valid `pollfd`s, the second of which is passed over if it has no descriptor; a valid timeout or
    // none, no signal mask.
    if unsafe { libc::ppoll(polls.as_mut_ptr(), 2, timeout, std::ptr::null()) } > 0 {
        if polls[0].revents != 0 {
            let _ = state.wake.read();
        }
        if let Some(calls) = calls.filter(|_| polls[1].revents != 0) {
            calls.clear();
        }
    }
}
