//! What the vCPU threads and the other threads of a monitor share.
#![allow(unsafe_code)]

use crate::confine::signals;
use crate::ending::Ending;
use crate::error::Error;
use crate::eventfd::EventFd;
use crate::timeline::Tsc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

/// State of the vCPU threads, and how the other threads reach it.
pub struct VcpuState {
    /// To the vCPU thread: ends its sleep. Signalled when a queue or the channel has something for the guest.
    pub wake: EventFd,
    /// To the vCPU threads while the guest is paused: it may run on, or has to end. Signals on `wake` stay there
    /// meanwhile: the guest has not seen yet what they are about.
    resumed: Condvar,
    /// To the I/O thread: the guest is ready, or has ended.
    pub events: EventFd,
    /// To the I/O thread: doorbell of the channel between guest and monitor.
    pub doorbell: EventFd,
    /// Time stamp counter when the guest said that it is ready; 0 before.
    ready: AtomicU64,
    /// The guest says itself when it is ready.
    sends_ready: AtomicBool,
    /// The guest shall not run again.
    kill: AtomicBool,
    /// The guest shall not run for now.
    paused: AtomicBool,
    /// The vCPU threads that run the guest.
    threads: Mutex<Vec<Thread>>,
    /// How the instance ended, once it is known.
    ending: Mutex<Option<Ending>>,
    /// The vCPU thread has left the guest for good.
    has_ended: AtomicBool,
}

/// A vCPU thread.
struct Thread {
    /// Kernel's number of it.
    number: i32,
    /// `immediate_exit` of its vCPU's `kvm_run`.
    immediate_exit: AtomicPtr<u8>,
}

impl VcpuState {
    /// State before any thread works. Errors: no eventfd can be made.
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

    /// The calling thread is a vCPU thread from now on. A machine with several has each of them call this.
    ///
    /// # Safety
    /// `immediate_exit` points into the vCPU's `kvm_run`, which stays mapped until the process ends.
    pub unsafe fn attach(&self, immediate_exit: *mut u8) {
        let thread =
            Thread { number: signals::this_thread(), immediate_exit: AtomicPtr::new(immediate_exit) };
        self.threads.lock().expect("no thread panics with the lock").push(thread);
    }

    /// The guest has said that it is ready.
    pub fn set_ready(&self) {
        self.ready.store(Tsc::now().0, Ordering::Release);
        self.events.signal();
    }

    /// The guest is going to say itself when it is ready.
    pub fn expect_ready_message(&self) {
        self.sends_ready.store(true, Ordering::Release);
    }

    /// Whether the guest's first packet says that it is ready: it has not said so, and nothing of it says that it will.
    pub fn awaits_packet(&self) -> bool {
        self.ready().is_none() && !self.sends_ready.load(Ordering::Acquire)
    }

    /// The guest has sent a packet.
    pub fn packet_sent(&self) {
        if self.awaits_packet() {
            self.set_ready();
        }
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
        self.resume();
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
            self.resume();
        }
    }

    /// Ends the wait of the vCPU threads.
    fn resume(&self) {
        // With the lock, which they have from their look at the state to their wait.
        let _threads = self.threads.lock().expect("no thread panics with the lock");
        self.resumed.notify_all();
    }

    /// Sleeps until the guest may run on, or has to end. Called by a vCPU thread.
    pub fn wait_while_paused(&self) {
        let mut threads = self.threads.lock().expect("no thread panics with the lock");
        while self.is_paused() && !self.is_killed() {
            threads = self.resumed.wait(threads).expect("no thread panics with the lock");
        }
    }

    /// Whether the guest is kept from running.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Has the vCPU threads leave the guest, or end their sleep, and look at this state again.
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
