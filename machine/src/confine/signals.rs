//! Signals: those that ask the instance to stop arrive on a descriptor, one wakes the vCPU thread out of the guest.
#![allow(unsafe_code)]

use crate::error::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Interrupts a system call of the thread that it is sent to, and does nothing else.
pub const KICK: i32 = libc::SIGUSR1;

extern "C" fn no_op(_: i32) {}

/// Blocks the stop signals in this thread and those it starts, and returns the descriptor they arrive on.
pub fn stop_requests() -> Result<OwnedFd, Error> {
    // SAFETY: plain calls on a local signal set; `nothing` is async-signal-safe.
    let fd = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        // A shell starts what it has in the background with SIGINT ignored, which is inherited, and no descriptor tells of
        // what is ignored. SIGHUP stays as it was, for `nohup`.
        for signal in [libc::SIGINT, libc::SIGTERM] {
            libc::signal(signal, libc::SIG_DFL);
        }
        // A starter may have blocked it, and blocked signals are inherited.
        let mut kick: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut kick);
        libc::sigaddset(&mut kick, KICK);
        libc::sigprocmask(libc::SIG_UNBLOCK, &kick, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::signal(libc::SIGTTIN, libc::SIG_IGN);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = no_op as *const () as usize;
        libc::sigaction(KICK, &action, std::ptr::null_mut());
        libc::signalfd(-1, &set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
    };
    if fd < 0 {
        return Err(Error::system("receive signals"));
    }
    // SAFETY: the kernel just returned this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next signal from [`stop_requests`]' descriptor.
pub fn next(fd: &OwnedFd) -> Option<i32> {
    // SAFETY: an all-zero structure is valid, and the kernel fills in its size or nothing.
    unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of_val(&info);
        let n = libc::read(fd.as_raw_fd(), (&raw mut info).cast(), size);
        (n == size as isize).then_some(info.ssi_signo as i32)
    }
}

/// This thread, for [`kick`].
pub fn this_thread() -> i32 {
    // SAFETY: cannot fail. Not by the C library's function: std refers to it weakly, and a static program lacks it then.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Interrupts a thread's system call.
pub fn kick(thread: i32) {
    // SAFETY: signals a thread of this process; its handler does nothing.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, KICK) };
}
