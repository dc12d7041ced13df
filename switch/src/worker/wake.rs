//! What a thread sleeps on: the descriptors of its ports, and an eventfd by which others wake it.
#![allow(unsafe_code)]

use crate::port::PortId;
use std::any::Any;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
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
    /// Once; armed again by [`Wake::again`].
    Once,
    /// Not yet; armed by [`Wake::again`].
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

/// An eventfd, nonblocking.
pub fn event_fd() -> io::Result<OwnedFd> {
    // SAFETY: plain system call; the descriptor that it returns has no other owner.
    unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
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
    let one = 1u64.to_ne_bytes();
    // SAFETY: writes 8 bytes from a live buffer.
    let n = unsafe { libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks that calls on a descriptor do not wait.
pub fn set_nonblocking(fd: &OwnedFd) {
    // SAFETY: plain system calls on an owned descriptor.
    unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}

impl Wake {
    /// A thread's own. What takes long to let go is sent to `retired`.
    pub fn new(retired: Sender<Box<dyn Any + Send>>) -> io::Result<Self> {
        // SAFETY: plain system call; the descriptor that it returns has no other owner.
        let epoll = unsafe {
            let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let wake = Self { epoll, event: event_fd()?, port: Cell::new(PortId(0)), retired };
        wake.control(libc::EPOLL_CTL_ADD, wake.event.as_fd(), libc::EPOLLIN | libc::EPOLLET, WAKEUP)?;
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

    /// Lets something go that takes long, elsewhere.
    pub fn retire(&self, what: Box<dyn Any + Send>) {
        // If nobody is left to take it, it is dropped here.
        let _ = self.retired.send(what);
    }

    fn control(&self, operation: i32, fd: BorrowedFd<'_>, events: i32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: data };
        // SAFETY: the event lives through the call.
        let n = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits on a port's descriptor from now on.
    pub fn add(&self, fd: BorrowedFd<'_>, watch: Interest, port: PortId, token: u16) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, flags(watch), data(port, token))
    }

    /// Waits once more on a descriptor that is waited on once.
    pub fn rearm(&self, fd: BorrowedFd<'_>, port: PortId, token: u16) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, flags(Interest::Once), data(port, token))
    }

    /// Waits on it no longer. Needed before it is closed: the peer may keep it open.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // It may not be waited on.
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }

    /// Waits, no longer than `timeout`; what happened, appended to `events`.
    pub fn wait(&self, timeout: Option<Duration>, events: &mut Vec<Event>) {
        let mut raw = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let spec = timeout.map(|t| libc::timespec {
            tv_sec: t.as_secs().min(86400) as i64,
            tv_nsec: t.subsec_nanos().into(),
        });
        let spec_pointer = spec.as_ref().map_or(std::ptr::null(), |s| &raw const *s);
        // SAFETY: `epoll_pwait2` (no wrapper in every C library) fills in at most `EVENTS` events; the timeout lives
        // through the call; no signal mask is passed.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                raw.as_mut_ptr(),
                EVENTS as i32,
                spec_pointer,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        for event in &raw[..n.max(0) as usize] {
            let data = event.u64;
            events.push(if data == WAKEUP {
                Event { port: None, token: 0 }
            } else {
                Event { port: Some(PortId((data >> 16) as u16)), token: data as u16 }
            });
        }
    }
}

fn data(port: PortId, token: u16) -> u64 {
    u64::from(port.0) << 16 | u64::from(token)
}

fn flags(watch: Interest) -> i32 {
    match watch {
        Interest::Level => libc::EPOLLIN,
        Interest::Edge => libc::EPOLLIN | libc::EPOLLET,
        Interest::Once => libc::EPOLLIN | libc::EPOLLONESHOT,
        Interest::Idle => libc::EPOLLONESHOT,
    }
}
