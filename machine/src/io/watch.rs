//! Which descriptors the I/O thread waits for, and what it has to look at in a round.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

/// Events taken from the kernel in a round.
const ROUND: usize = 32;

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Input.
    Read,
    /// Output.
    Write,
    /// Both.
    ReadWrite,
}

impl Interest {
    fn events(self) -> EventSet {
        match self {
            Interest::Read => EventSet::IN,
            Interest::Write => EventSet::OUT,
            Interest::ReadWrite => EventSet::IN | EventSet::OUT,
        }
    }
}

/// Descriptors that are waited for, each under a token, and tokens with work left over. All registrations with epoll
/// are made here, from what was last asked for: no caller has to know what is registered.
pub struct WatchSet {
    epoll: Epoll,
    registered: BTreeMap<u64, (RawFd, Interest)>,
    /// Tokens to look at again in the next round, whether the kernel names them or not.
    marked: BTreeSet<u64>,
    /// Tokens of the round, kept for its capacity.
    round: Vec<u64>,
}

impl WatchSet {
    /// An empty set. Errors: no epoll can be made.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            registered: BTreeMap::new(),
            marked: BTreeSet::new(),
            round: Vec::with_capacity(ROUND),
        })
    }

    /// Waits for a descriptor under a token, for this from now on. Errors: it cannot be waited for, as a regular file.
    pub fn set(&mut self, token: u64, fd: &impl AsRawFd, interest: Interest) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let operation = match self.registered.get(&token) {
            Some(registered) if *registered == (fd, interest) => return Ok(()),
            Some((registered, _)) if *registered == fd => ControlOperation::Modify,
            Some(_) => {
                self.remove(token);
                ControlOperation::Add
            }
            None => ControlOperation::Add,
        };
        self.epoll.ctl(operation, fd, EpollEvent::new(interest.events(), token))?;
        self.registered.insert(token, (fd, interest));
        Ok(())
    }

    /// Waits for a descriptor no longer. It has to be open still: a closed one's number may be another's already.
    pub fn remove(&mut self, token: u64) {
        self.marked.remove(&token);
        if let Some((fd, _)) = self.registered.remove(&token) {
            // It was registered, and is open.
            let _ = self.epoll.ctl(ControlOperation::Delete, fd, EpollEvent::default());
        }
    }

    /// Has the next round return a token, and not wait.
    pub fn mark_ready(&mut self, token: u64) {
        self.marked.insert(token);
    }

    /// Waits for at most so many milliseconds (-1: for ever), and returns the tokens to look at, each once. A token
    /// that was removed since the kernel named it may be among them.
    pub fn wait(&mut self, timeout_ms: i32) -> Vec<u64> {
        let mut events = [EpollEvent::default(); ROUND];
        let timeout_ms = if self.marked.is_empty() { timeout_ms } else { 0 };
        // An interrupted wait is a round without events.
        let n = self.epoll.wait(timeout_ms, &mut events).unwrap_or(0);
        let mut round = std::mem::take(&mut self.round);
        round.clear();
        round.extend(&self.marked);
        for event in &events[..n] {
            if !self.marked.contains(&event.data()) {
                round.push(event.data());
            }
        }
        self.marked.clear();
        round
    }

    /// Gives a round's list back, so that the next needs no memory.
    pub fn recycle(&mut self, round: Vec<u64>) {
        self.round = round;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventfd::EventFd;

    fn signalled() -> EventFd {
        let event = EventFd::new().unwrap();
        event.signal();
        event
    }

    #[test]
    fn interest_dropped_and_set_again_is_in_force() {
        let mut watch = WatchSet::new().unwrap();
        let file = signalled();
        for _ in 0..10_000 {
            watch.set(7, &file, Interest::Read).unwrap();
            watch.set(7, &file, Interest::Read).unwrap();
            assert_eq!(watch.wait(0), [7]);
            watch.remove(7);
            watch.remove(7);
            assert!(watch.wait(0).is_empty());
        }
    }

    #[test]
    fn a_token_is_returned_once_a_round() {
        let mut watch = WatchSet::new().unwrap();
        let file = signalled();
        watch.set(7, &file, Interest::Read).unwrap();
        for _ in 0..10_000 {
            watch.mark_ready(7);
            watch.mark_ready(7);
            let round = watch.wait(0);
            assert_eq!(round, [7]);
            watch.recycle(round);
        }
        assert_eq!(watch.wait(0), [7]);
    }

    #[test]
    fn a_removed_token_is_not_looked_at_again() {
        let mut watch = WatchSet::new().unwrap();
        watch.mark_ready(7);
        watch.remove(7);
        assert!(watch.wait(0).is_empty());
    }

    #[test]
    fn a_token_may_get_another_descriptor() {
        let mut watch = WatchSet::new().unwrap();
        let first = signalled();
        let second = EventFd::new().unwrap();
        watch.set(7, &first, Interest::Read).unwrap();
        watch.set(7, &second, Interest::Read).unwrap();
        assert!(watch.wait(0).is_empty());
        watch.set(7, &second, Interest::Write).unwrap();
        assert_eq!(watch.wait(0), [7]);
    }

    #[test]
    fn what_cannot_be_waited_for_is_not_registered() {
        let mut watch = WatchSet::new().unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(watch.set(7, &file, Interest::Read).is_err());
        watch.remove(7);
    }
}
