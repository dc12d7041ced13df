//! Sleep of a vCPU thread: until the guest's deadline, a signal of this process, or a call of another process.

use super::VcpuState;
use crate::error::Error;
use crate::eventfd::{EventFd, timespec};
use rustix::event::{PollFd, PollFlags, epoll, poll};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Calls (vhost-user) of other processes: eventfds that end the guest's sleep. They are watched edge-triggered and never read,
/// because another process that shares an eventfd can read it or make it blocking at any time.
pub struct Calls(OwnedFd);

impl Calls {
    /// An empty set. Errors: epoll_create(2) failed.
    pub fn new() -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        epoll.map(Self).map_err(|e| Error::System { doing: "make an epoll", source: e.into() })
    }

    /// Adds an eventfd.
    pub fn listen(&self, event: &EventFd) -> Result<(), Error> {
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.0, event, epoll::EventData::new_u64(0), edges)
            .map_err(|e| Error::System { doing: "wait for calls", source: e.into() })
    }

    /// Clears all edges so far.
    fn clear(&self) {
        let mut events = [const { MaybeUninit::uninit() }; 16];
        let _ = epoll::wait(&self.0, &mut events, Some(&timespec(Duration::ZERO)));
    }
}

/// Sleeps until the guest is signalled, or until the timeout, if there is one.
pub fn sleep(state: &VcpuState, calls: Option<&Calls>, timeout: Option<Duration>) {
    let timeout = timeout.map(timespec);
    let wake = PollFd::new(&state.wake, PollFlags::IN);
    let mut polls = [wake.clone(), wake];
    let count = match calls {
        Some(calls) => {
            polls[1] = PollFd::new(&calls.0, PollFlags::IN);
            2
        }
        None => 1,
    };
    if poll(&mut polls[..count], timeout.as_ref()).is_ok_and(|n| n > 0) {
        if !polls[0].revents().is_empty() {
            state.wake.clear();
        }
        if let Some(calls) = calls.filter(|_| !polls[1].revents().is_empty()) {
            calls.clear();
        }
    }
}
