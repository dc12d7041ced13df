//! Waits for files and sockets: each element watches its own, the driver waits for all at once.
//!
//! A [`Watch`] says whether there may be something to read or room to write. Who finds nothing there says so, and the
//! next wait looks again; so a busy router asks the system once in many rounds.

//!
//! Each thread of a router waits for the files that its own elements watch: for what is to be read the thread that last looked
//! for that, and for room the one that last wrote.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

struct Entry {
    file: OwnedFd,
    /// The threads that wait for something to read and for room.
    reader: AtomicUsize,
    writer: AtomicUsize,
    wants_write: AtomicBool,
    paused: AtomicBool,
    readable: AtomicBool,
    writable: AtomicBool,
}

static ALL: Mutex<Vec<Weak<Entry>>> = Mutex::new(Vec::new());

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// Gives this thread a number, which no other that waits has. The first has 0.
pub fn number_thread(number: usize) {
    THREAD.set(number);
}

impl Entry {
    fn is_read_here(&self) -> bool {
        self.reader.load(Relaxed) == THREAD.get()
    }

    fn is_written_here(&self) -> bool {
        self.writer.load(Relaxed) == THREAD.get()
    }
}

/// A file or socket that is watched as long as this exists.
pub struct Watch(Arc<Entry>);

impl Watch {
    /// Watches for something to read.
    pub fn new(file: impl AsFd) -> io::Result<Self> {
        let entry = Arc::new(Entry {
            file: file.as_fd().try_clone_to_owned()?,
            reader: AtomicUsize::new(THREAD.get()),
            writer: AtomicUsize::new(THREAD.get()),
            wants_write: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            readable: AtomicBool::new(false),
            writable: AtomicBool::new(false),
        });
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&entry));
        Ok(Self(entry))
    }

    fn reader(&self) -> &Entry {
        self.0.reader.store(THREAD.get(), Relaxed);
        &self.0
    }

    fn writer(&self) -> &Entry {
        self.0.writer.store(THREAD.get(), Relaxed);
        &self.0
    }

    /// Whether there may be something to read.
    pub fn is_readable(&self) -> bool {
        self.reader().readable.load(Relaxed)
    }

    /// There was nothing more to read.
    pub fn set_not_readable(&self) {
        self.reader().readable.store(false, Relaxed);
    }

    /// Does not look for something to read for a while, or does again.
    pub fn pause(&self, paused: bool) {
        let entry = self.reader();
        entry.paused.store(paused, Relaxed);
        if paused {
            entry.readable.store(false, Relaxed);
        }
    }

    /// There was no room to write: the driver wakes up when there is some.
    pub fn set_not_writable(&self) {
        self.writer().writable.store(false, Relaxed);
        self.writer().wants_write.store(true, Relaxed);
    }

    /// Whether nobody waits for room, or there is some now.
    pub fn has_room(&self) -> bool {
        let entry = self.writer();
        if entry.writable.load(Relaxed) {
            entry.wants_write.store(false, Relaxed);
        }
        !entry.wants_write.load(Relaxed)
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

/// Waits until one of the files that this thread watches has something to read or room, and notes which.
pub fn wait(until: Until) -> io::Result<()> {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|entry| entry.strong_count() > 0);
    let own = |entry: &Arc<Entry>| entry.is_read_here() || entry.is_written_here();
    let entries: Vec<Arc<Entry>> = all.iter().filter_map(Weak::upgrade).filter(own).collect();
    drop(all);
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
        if entry.is_read_here() {
            let readable = !entry.paused.load(Relaxed) && happened.intersects(PollFlags::IN | ends);
            entry.readable.store(readable, Relaxed);
        }
        if entry.is_written_here() {
            entry.writable.store(happened.intersects(PollFlags::OUT | ends), Relaxed);
        }
    }
    Ok(())
}

fn wanted(entry: &Entry) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, entry.is_read_here() && !entry.paused.load(Relaxed));
    flags.set(PollFlags::OUT, entry.is_written_here() && entry.wants_write.load(Relaxed));
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_arrives_is_noticed_until_it_was_read() {
        // Other tests watch in this process.
        number_thread(1000);
        let (mut a, b) = UnixStream::pair().unwrap();
        let watch = Watch::new(&b).unwrap();
        wait(Until::Now).unwrap();
        assert!(!watch.is_readable() && watch.has_room());
        a.write_all(b"x").unwrap();
        wait(Until::Forever).unwrap();
        assert!(watch.is_readable());
        watch.set_not_readable();
        assert!(!watch.is_readable());
        watch.set_not_writable();
        assert!(!watch.has_room());
        wait(Until::Forever).unwrap();
        assert!(watch.has_room());
    }
}
