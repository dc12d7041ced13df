//! State that the vCPU threads share with the other threads of a monitor.
#![allow(unsafe_code)]

use crate::confine::signals;
use crate::ending::Ending;
use crate::error::Error;
use crate::eventfd::EventFd;
use crate::timeline::Tsc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

/// State of the vCPU threads, with the eventfds that signal changes.
pub struct VcpuState {
    /// Ends the sleep of the vCPU thread. Signalled when a queue or the channel has something for the guest.
    pub wake: EventFd,
    /// Wakes vCPU threads of a paused guest: it may continue, or has to end. Signals on `wake` stay pending meanwhile, because
    /// the guest has not handled them yet.
    resumed: Condvar,
    /// Tells the I/O thread that the guest is ready or has ended.
    pub events: EventFd,
    /// The doorbell of the channel, for the I/O thread.
    pub doorbell: EventFd,
    /// Time stamp counter when the guest reported that it is ready; 0 before.
    ready: AtomicU64,
    /// The guest reports itself when it is ready.
    sends_ready: AtomicBool,
    /// The guest has to end.
    kill: AtomicBool,
    /// The guest is paused.
    paused: AtomicBool,
    /// The vCPU threads that run the guest.
    threads: Mutex<Vec<Thread>>,
    /// The ending of the instance, once it is known.
    ending: Mutex<Option<Ending>>,
    /// The vCPU thread has left the guest for good.
    has_ended: AtomicBool,
}

/// A vCPU thread.
struct Thread {
    /// Its thread id.
    number: i32,
    /// `immediate_exit` of its vCPU's `kvm_run`.
    immediate_exit: AtomicPtr<u8>,
}

impl VcpuState {
    /// The initial state. Errors: eventfd(2) failed.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            wake: EventFd::new()?,
            resumed: Condvar::new(),
            events: EventFd::new()?,
            doorbell: EventFd::new()?,
            ready: AtomicU64::new(0),
            sends_ready: AtomicBool::new(false),
            kill: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            threads: Mutex::new(Vec::new()),
            ending: Mutex::new(None),
            has_ended: AtomicBool::new(false),
        })
    }

    /// Registers the calling thread as a vCPU thread.
    ///
    /// # Safety
    /// `immediate_exit` points into the vCPU's `kvm_run`, which stays mapped until the process ends.
    pub unsafe fn attach(&self, immediate_exit: *mut u8) {
        let thread =
            Thread { number: signals::this_thread(), immediate_exit: AtomicPtr::new(immediate_exit) };
        self.threads.lock().expect("no thread panics with the lock").push(thread);
    }

    /// Records that the guest is ready.
    pub fn set_ready(&self) {
        self.ready.store(Tsc::now().0, Ordering::Release);
        self.events.signal();
    }

    /// Records that the guest will report itself when it is ready.
    pub fn expect_ready_message(&self) {
        self.sends_ready.store(true, Ordering::Release);
    }

    /// Whether the guest counts as ready with its first packet: it has not reported that it is ready, and is not expected to.
    pub fn awaits_packet(&self) -> bool {
        self.ready().is_none() && !self.sends_ready.load(Ordering::Acquire)
    }

    /// Records that the guest has sent a packet.
    pub fn packet_sent(&self) {
        if self.awaits_packet() {
            self.set_ready();
        }
    }

    /// When the guest became ready.
    pub fn ready(&self) -> Option<Tsc> {
        match self.ready.load(Ordering::Acquire) {
            0 => None,
            stamp => Some(Tsc(stamp)),
        }
    }

    /// Ends the instance, whatever the guest is doing. The first ending counts.
    pub fn end(&self, ending: Ending) {
        self.ending.lock().expect("no thread panics with the lock").get_or_insert(ending);
        self.kill.store(true, Ordering::SeqCst);
        self.interrupt();
        self.resume();
    }

    /// Whether the vCPU thread has to end.
    pub fn is_killed(&self) -> bool {
        self.kill.load(Ordering::SeqCst)
    }

    /// Pauses or resumes the guest.
    pub fn pause(&self, pause: bool) {
        self.paused.store(pause, Ordering::SeqCst);
        if pause {
            self.interrupt();
        } else {
            self.resume();
        }
    }

    /// Wakes waiting vCPU threads.
    fn resume(&self) {
        // With the lock, which they have from their look at the state to their wait.
        let _threads = self.threads.lock().expect("no thread panics with the lock");
        self.resumed.notify_all();
    }

    /// Sleeps while the guest is paused. Called by a vCPU thread.
    pub fn wait_while_paused(&self) {
        let mut threads = self.threads.lock().expect("no thread panics with the lock");
        while self.is_paused() && !self.is_killed() {
            threads = self.resumed.wait(threads).expect("no thread panics with the lock");
        }
    }

    /// Whether the guest is paused.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Makes the vCPU threads leave the guest or end their sleep, and check this state.
    pub fn interrupt(&self) {
        for thread in self.threads.lock().expect("no thread panics with the lock").iter() {
            // SAFETY: points into the vCPU's `kvm_run`, which is mapped until the process ends (`attach`).
            unsafe { thread.immediate_exit.load(Ordering::SeqCst).write_volatile(1) };
            signals::kick(thread.number);
        }
        self.wake.signal();
    }

    /// The vCPU thread has left the guest for good.
    pub fn set_ended(&self, ending: Ending) {
        self.ending.lock().expect("no thread panics with the lock").get_or_insert(ending);
        self.has_ended.store(true, Ordering::SeqCst);
        self.events.signal();
    }

    /// Whether the guest will not run again.
    pub fn is_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// The ending of the instance, once it is known.
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
