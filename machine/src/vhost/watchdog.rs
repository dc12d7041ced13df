//! Bounds a system call on a file that another process shares: that one may have made it blocking.
#![allow(unsafe_code)]

use crate::confine::signals;
use crate::error::Error;
use std::time::Duration;

/// How long a call may take, and how soon it is interrupted again if the first signal came before it began.
const CALL_TIMEOUT: Duration = Duration::from_millis(20);

/// A timer that interrupts the thread that made it.
pub struct Watchdog(libc::timer_t);

impl Watchdog {
    /// A watchdog of this thread, before its system call filter is in force.
    pub fn new() -> Result<Self, Error> {
        // SAFETY: an all-zero `sigevent` is valid; the call reads it and writes the timer.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signals::KICK;
            event.sigev_notify_thread_id = signals::this_thread();
            let mut timer = std::mem::zeroed();
            if libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) < 0 {
                return Err(Error::system("make a timer"));
            }
            Ok(Self(timer))
        }
    }

    /// Makes a call, and has it fail with `Interrupted` if it blocks.
    pub fn bound<T>(&self, call: impl FnOnce() -> T) -> T {
        self.set(CALL_TIMEOUT);
        let result = call();
        self.set(Duration::ZERO);
        result
    }

    fn set(&self, every: Duration) {
        let every = libc::timespec { tv_sec: 0, tv_nsec: i64::from(every.subsec_nanos()) };
        let value = libc::itimerspec { it_interval: every, it_value: every };
        // SAFETY: the timer was made by this and is never deleted; the call reads `value`.
        unsafe { libc::timer_settime(self.0, 0, &value, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventfd::EventFd;
    use std::io::Write;
    use std::time::Instant;

    #[test]
    fn a_full_eventfd_that_was_made_blocking_does_not_hold_up_who_signals_it() {
        let _signals = signals::stop_requests().unwrap();
        let event = EventFd::new().unwrap();
        // What a back end can do with the copy that it was sent.
        let theirs = event.to_file().unwrap();
        rustix::io::ioctl_fionbio(&theirs, false).unwrap();
        (&theirs).write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
        let (watchdog, begun) = (Watchdog::new().unwrap(), Instant::now());
        watchdog.bound(|| event.signal());
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
