//! What a thread sleeps on: the descriptors of its ports, and an eventfd by which others wake it.

use crate::port_id::PortId;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec};
use rustix::fs::OFlags;
use std::any::Any;
use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How a descriptor is waited on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Again and again, while it is readable.
    Level,
    /// Whenever it becomes readable. An eventfd need not be read then.
    Edge,
    /// Once; armed again by [`Wake::rearm`].
    Once,
    /// Not yet; armed by [`Wake::rearm`].
    Idle,
}

/// What woke the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose descriptor it is; `None` for the thread's own eventfd.
    pub port: Option<PortId>,
    /// Which of its descriptors.
    pub token: u16,
}

const WAKEUP: u64 = u64::MAX;
const EVENTS: usize = 128;

/// What a thread sleeps on.
pub struct Wake {
    epoll: OwnedFd,
    event: OwnedFd,
    /// Whose device is being called.
    port: Cell<PortId>,
    retired: Sender<Box<dyn Any + Send>>,
}

/// An eventfd that does not block.
pub fn event_fd() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Bit of what a thread notes of its calls: it is in one.
pub const IN_CALL: u64 = 1;

/// Adds one to an eventfd of a peer, which wakes it. Whoever watches over threads finds in `notifying` that this one may be
/// stuck here, if the peer made its eventfd full and blocking, and interrupts it.
pub fn notify(fd: &OwnedFd, notifying: &AtomicU64) -> io::Result<()> {
    let turn = notifying.load(Ordering::Relaxed) & !IN_CALL;
    notifying.store(turn | IN_CALL, Ordering::Relaxed);
    let result = signal(fd);
    notifying.store(turn.wrapping_add(2), Ordering::Relaxed);
    match result {
        // Full: the peer has not looked for a very long time, and still need not be told twice.
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

/// Adds one to an eventfd of our own.
pub fn signal(fd: &OwnedFd) -> io::Result<()> {
    rustix::io::write(fd, &1u64.to_ne_bytes())?;
    Ok(())
}

/// Asks that calls on a descriptor do not wait.
pub fn set_nonblocking(fd: &OwnedFd) {
    // A descriptor that cannot be asked blocks at most until its thread is interrupted.
    if let Ok(flags) = rustix::fs::fcntl_getfl(fd) {
        let _ = rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK);
    }
}

impl Wake {
    /// A thread's own. What takes long to let go is sent to `retired`.
    pub fn new(retired: Sender<Box<dyn Any + Send>>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = Self { epoll, event: event_fd()?, port: Cell::new(PortId(0)), retired };
        epoll::add(&wake.epoll, &wake.event, EventData::new_u64(WAKEUP), flags(Interest::Edge))?;
        Ok(wake)
    }

    /// A copy of the eventfd that wakes the thread.
    pub fn wakeup(&self) -> io::Result<OwnedFd> {
        self.event.try_clone()
    }

    /// Whose device is being called.
    pub fn port(&self) -> PortId {
        self.port.get()
    }

    /// A device is about to be called.
    #[inline]
    pub fn for_port(&self, port: PortId) -> &Self {
        self.port.set(port);
        self
    }

    /// Lets something go elsewhere: what takes long, or what a thread of the data plane may not do.
    pub fn retire(&self, what: Box<dyn Any + Send>) {
        // If nobody is left to take it, it is dropped here.
        let _ = self.retired.send(what);
    }

    /// Waits on a port's descriptor from now on.
    pub fn add(&self, fd: BorrowedFd<'_>, interest: Interest, port: PortId, token: u16) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, data(port, token), flags(interest))?)
    }

    /// Waits once more on a descriptor that is waited on once.
    pub fn rearm(&self, fd: BorrowedFd<'_>, port: PortId, token: u16) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, data(port, token), flags(Interest::Once))?)
    }

    /// Waits on it no longer. Needed before it is closed: the peer may keep it open.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // It may not be waited on.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits, no longer than `timeout`; what happened, appended to `events`.
    pub fn wait(&self, timeout: Option<Duration>, events: &mut Vec<Event>) {
        let mut ready = [const { MaybeUninit::uninit() }; EVENTS];
        let timeout = timeout
            .map(|t| Timespec { tv_sec: t.as_secs().min(86400) as i64, tv_nsec: t.subsec_nanos().into() });
        // Interrupted: there is nothing yet.
        let Ok((ready, _)) = epoll::wait(&self.epoll, &mut ready[..], timeout.as_ref()) else { return };
        events.extend(ready.iter().map(|event| match event.data.u64() {
            WAKEUP => Event { port: None, token: 0 },
            data => Event { port: Some(PortId((data >> 16) as u16)), token: data as u16 },
        }));
    }
}

fn data(port: PortId, token: u16) -> EventData {
    EventData::new_u64(u64::from(port.0) << 16 | u64::from(token))
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::Level => EventFlags::IN,
        Interest::Edge => EventFlags::IN | EventFlags::ET,
        Interest::Once => EventFlags::IN | EventFlags::ONESHOT,
        Interest::Idle => EventFlags::ONESHOT,
    }
}
