//! Waits for files and sockets: each element watches its own, the driver waits for all at once.
//!
//! A [`Watch`] says whether there may be something to read or room to write. Who finds nothing there says so, and the
//! next wait looks again; so a busy router asks the system once in many rounds.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::time::Duration;

struct Entry {
    file: OwnedFd,
    wants_write: Cell<bool>,
    paused: Cell<bool>,
    readable: Cell<bool>,
    writable: Cell<bool>,
}

thread_local! {
    static ALL: RefCell<Vec<Weak<Entry>>> = const { RefCell::new(Vec::new()) };
}

/// A file or socket that is watched as long as this exists.
pub struct Watch(Rc<Entry>);

impl Watch {
    /// Watches for something to read.
    pub fn new(file: impl AsFd) -> io::Result<Self> {
        let entry = Rc::new(Entry {
            file: file.as_fd().try_clone_to_owned()?,
            wants_write: Cell::new(false),
            paused: Cell::new(false),
            readable: Cell::new(false),
            writable: Cell::new(false),
        });
        ALL.with_borrow_mut(|all| all.push(Rc::downgrade(&entry)));
        Ok(Self(entry))
    }

    /// Whether there may be something to read.
    pub fn is_readable(&self) -> bool {
        self.0.readable.get()
    }

    /// There was nothing more to read.
    pub fn was_empty(&self) {
        self.0.readable.set(false);
    }

    /// Does not look for something to read for a while, or does again.
    pub fn pause(&self, paused: bool) {
        self.0.paused.set(paused);
        self.0.readable.set(self.0.readable.get() && !paused);
    }

    /// There was no room to write: the driver wakes up when there is some.
    pub fn was_full(&self) {
        self.0.writable.set(false);
        self.0.wants_write.set(true);
    }

    /// Whether nobody waits for room, or there is some now.
    pub fn has_room(&self) -> bool {
        if self.0.writable.get() {
            self.0.wants_write.set(false);
        }
        !self.0.wants_write.get()
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Not at all.
    Now,
    /// Until something happens, or this much time has passed.
    Passed(Duration),
    /// Until something happens.
    Forever,
}

/// Waits until one of all watched files has something to read or room, and notes which.
pub fn wait(until: Until) -> io::Result<()> {
    let entries: Vec<Rc<Entry>> = ALL.with_borrow_mut(|all| {
        all.retain(|entry| entry.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    });
    if entries.is_empty() && until == Until::Now {
        return Ok(());
    }
    let mut files: Vec<PollFd<'_>> = entries.iter().map(|e| PollFd::new(&e.file, wanted(e))).collect();
    let timeout = match until {
        Until::Now => Some(Timespec::default()),
        Until::Passed(time) => Some(Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        }),
        Until::Forever => None,
    };
    match poll(&mut files, timeout.as_ref()) {
        // A signal came: the driver looks for it.
        Err(rustix::io::Errno::INTR) => return Ok(()),
        other => other?,
    };
    for (entry, file) in entries.iter().zip(&files) {
        let ends = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        let happened = file.revents();
        entry.readable.set(!entry.paused.get() && happened.intersects(PollFlags::IN | ends));
        entry.writable.set(happened.intersects(PollFlags::OUT | ends));
    }
    Ok(())
}

fn wanted(entry: &Entry) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, !entry.paused.get());
    flags.set(PollFlags::OUT, entry.wants_write.get());
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_arrives_is_noticed_until_it_was_read() {
        let (mut a, b) = UnixStream::pair().unwrap();
        let watch = Watch::new(&b).unwrap();
        wait(Until::Now).unwrap();
        assert!(!watch.is_readable() && watch.has_room());
        a.write_all(b"x").unwrap();
        wait(Until::Forever).unwrap();
        assert!(watch.is_readable());
        watch.was_empty();
        assert!(!watch.is_readable());
        watch.was_full();
        assert!(!watch.has_room());
        wait(Until::Forever).unwrap();
        assert!(watch.has_room());
    }
}
