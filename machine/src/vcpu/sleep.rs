//! How a vCPU thread sleeps: until its guest's deadline, a signal of this process, or a call of another.

use super::VcpuState;
use crate::error::Error;
use crate::eventfd::{EventFd, timespec};
use rustix::event::{PollFd, PollFlags, epoll, poll};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Calls of other processes (vhost-user's word): eventfds that end the guest's sleep. They are watched for edges and
/// never read: what another process shares with this one it can read empty, or make blocking, at any time.
pub struct Calls(OwnedFd);

impl Calls {
    /// No call yet. Errors: no epoll can be made.
    pub fn new() -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        epoll.map(Self).map_err(|e| Error::System { doing: "make an epoll", source: e.into() })
    }

    /// Listens to an eventfd for good.
    pub fn listen(&self, event: &EventFd) -> Result<(), Error> {
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.0, event, epoll::EventData::new_u64(0), edges)
            .map_err(|e| Error::System { doing: "wait for calls", source: e.into() })
    }

    /// Forgets all edges so far.
    fn clear(&self) {
        let mut events = [const { MaybeUninit::uninit() }; 16];
        let _ = epoll::wait(&self.0, &mut events, Some(&timespec(Duration::ZERO)));
    }
}

/// Sleeps until something for the guest is signalled, or for so long; without a timeout, until then.
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
