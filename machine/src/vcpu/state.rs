//! What the vCPU thread and the other threads of a monitor share.
#![allow(unsafe_code)]

use crate::confine::signals;
use crate::ending::Ending;
use crate::error::Error;
use crate::eventfd::{EventFd, ready};
use crate::timeline::Tsc;
use rustix::event::PollFlags;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};

/// State of the vCPU thread, and how the other threads reach it.
pub struct VcpuState {
    /// To the vCPU thread: ends its sleep. Signalled when a queue or the channel has something for the guest.
    pub wake: EventFd,
    /// To the vCPU thread while the guest is paused: it may run on, or has to end. Signals on `wake` stay there
    /// meanwhile: the guest has not seen yet what they are about.
    resumed: EventFd,
    /// To the I/O thread: the guest is ready, or has ended.
    pub events: EventFd,
    /// To the I/O thread: doorbell of the channel between guest and monitor.
    pub doorbell: EventFd,
    /// Time stamp counter when the guest said that it is ready; 0 before.
    ready: AtomicU64,
    /// The guest shall not run again.
    kill: AtomicBool,
    /// The guest shall not run for now.
    paused: AtomicBool,
    /// Kernel's number of the vCPU thread; 0 before it runs the guest.
    thread: AtomicI32,
    /// `immediate_exit` of the vCPU's `kvm_run`; null before the thread runs the guest.
    immediate_exit: AtomicPtr<u8>,
    /// How the instance ended, once it is known.
    ending: Mutex<Option<Ending>>,
    /// The vCPU thread has left the guest for good.
    left: AtomicBool,
}

impl VcpuState {
    /// State before any thread works. Errors: no eventfd can be made.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            wake: EventFd::new()?,
            resumed: EventFd::new()?,
            events: EventFd::new()?,
            doorbell: EventFd::new()?,
            ready: AtomicU64::new(0),
            kill: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            thread: AtomicI32::new(0),
            immediate_exit: AtomicPtr::new(std::ptr::null_mut()),
            ending: Mutex::new(None),
            left: AtomicBool::new(false),
        })
    }

    /// The calling thread is the vCPU thread from now on.
    ///
    /// # Safety
    /// `immediate_exit` points into the vCPU's `kvm_run`, which stays mapped until the process ends.
    pub unsafe fn attach(&self, immediate_exit: *mut u8) {
        self.thread.store(signals::this_thread(), Ordering::SeqCst);
        self.immediate_exit.store(immediate_exit, Ordering::SeqCst);
    }

    /// The guest has said that it is ready.
    pub fn set_ready(&self) {
        self.ready.store(Tsc::now().0, Ordering::Release);
        self.events.signal();
    }

    /// When the guest said that it is ready.
    pub fn ready(&self) -> Option<Tsc> {
        match self.ready.load(Ordering::Acquire) {
            0 => None,
            stamp => Some(Tsc(stamp)),
        }
    }

    /// Ends the instance, wherever its guest is. The first ending counts.
    pub fn end(&self, ending: Ending) {
        self.ending.lock().expect("no thread panics with the lock").get_or_insert(ending);
        self.kill.store(true, Ordering::SeqCst);
        self.interrupt();
        self.resumed.signal();
    }

    /// Whether the vCPU thread has to end.
    pub fn is_killed(&self) -> bool {
        self.kill.load(Ordering::SeqCst)
    }

    /// Keeps the guest from running, or lets it run on.
    pub fn pause(&self, pause: bool) {
        self.paused.store(pause, Ordering::SeqCst);
        if pause {
            self.interrupt();
        } else {
            self.resumed.signal();
        }
    }

    /// Sleeps until the guest may run on, or has to end. Called by the vCPU thread.
    pub fn wait_while_paused(&self) {
        while self.is_paused() && !self.is_killed() {
            // An interrupted wait looks at the state again.
            let _ = ready(&self.resumed, PollFlags::IN, None);
            self.resumed.clear();
        }
    }

    /// Whether the guest is kept from running.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Has the vCPU thread leave the guest, or end its sleep, and look at this state again.
    fn interrupt(&self) {
        let flag = self.immediate_exit.load(Ordering::SeqCst);
        if !flag.is_null() {
            // SAFETY: points into the vCPU's `kvm_run`, which is mapped until the process ends (`attach`).
            unsafe { flag.write_volatile(1) };
            signals::kick(self.thread.load(Ordering::SeqCst));
        }
        self.wake.signal();
    }

    /// The vCPU thread has left the guest for good.
    pub fn set_left(&self, ending: Ending) {
        self.ending.lock().expect("no thread panics with the lock").get_or_insert(ending);
        self.left.store(true, Ordering::SeqCst);
        self.events.signal();
    }

    /// Whether the guest will not run again.
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// How the instance ended, once it is known.
    pub fn ending(&self) -> Option<Ending> {
        self.ending.lock().expect("no thread panics with the lock").clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sleep;
    use super::*;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    #[test]
    fn a_signal_that_comes_while_the_guest_is_paused_ends_its_next_sleep() {
        let state = Arc::new(VcpuState::new().unwrap());
        for _ in 0..1000 {
            state.pause(true);
            // The pause itself ends a sleep, which is over.
            state.wake.clear();
            let other = state.clone();
            let packets = std::thread::spawn(move || {
                other.wake.signal();
                other.pause(false);
            });
            state.wait_while_paused();
            let begun = Instant::now();
            sleep(&state, None, Some(Duration::from_secs(5)));
            assert!(begun.elapsed() < Duration::from_secs(4));
            packets.join().unwrap();
        }
    }

    #[test]
    fn a_paused_guest_can_be_ended() {
        let state = Arc::new(VcpuState::new().unwrap());
        state.pause(true);
        let other = state.clone();
        let end = std::thread::spawn(move || other.end(Ending::Killed));
        state.wait_while_paused();
        assert!(state.is_killed());
        end.join().unwrap();
    }
}
