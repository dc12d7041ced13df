//! What happens: sent to who listens, and written down by a thread of its own a little later, several at a time, so that
//! nobody waits for the store.

use crate::store::Store;
use api::Problem;
use api::event::Event;
use machine::timeline::unix_ns;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;

/// Events that a slow listener may be behind before it loses some.
const SUBSCRIBER_BACKLOG: usize = 4096;
/// Numbers that are reserved at a time, so that the store is not written to for each.
const BLOCK: u64 = 1000;
/// The fact that says up to which number they are reserved.
const RESERVED: &str = "events reserved";
/// How long an event may wait for others before it is written down, unless somebody asks for it: what causes one is still
/// at work.
const DELAY: Duration = Duration::from_millis(20);
/// With so many none waits.
const BATCH: usize = 256;

/// Events on their way into the store.
#[derive(Default)]
struct EventQueue {
    /// The number of the last event.
    last: u64,
    /// Numbers up to this one are reserved in the store: a later daemon gives none of them again.
    reserved: u64,
    /// Those that are not written, in order.
    waiting: Vec<Event>,
    /// The number of the last that is.
    written: u64,
    /// Somebody waits until all are.
    urgent: bool,
    /// No more follow.
    closed: bool,
}

/// What all threads that emit share with the one that writes.
struct Shared {
    store: Arc<Store>,
    queue: Mutex<EventQueue>,
    /// There is something to write, or it has become urgent.
    pending: Condvar,
    /// Something was written.
    done: Condvar,
}

/// Where events go.
pub struct Events {
    shared: Arc<Shared>,
    to: broadcast::Sender<Event>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, EventQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, until no more follow.
    fn write(&self, kept: u64) {
        loop {
            let idle = |line: &mut EventQueue| line.waiting.is_empty() && !line.closed;
            let line = self.pending.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            let early = |line: &mut EventQueue| line.waiting.len() < BATCH && !line.urgent && !line.closed;
            let waited = self.pending.wait_timeout_while(line, DELAY, early);
            let mut line = waited.unwrap_or_else(PoisonError::into_inner).0;
            let events = std::mem::take(&mut line.waiting);
            drop(line);
            let Some(last) = events.last().map(|event| event.seq) else { return };
            if let Err(e) = self.store.add_events(&events, kept) {
                tracing::error!(count = events.len(), "events are lost: {e}");
            }
            let mut line = self.lock();
            (line.written, line.urgent) = (last, false);
            self.done.notify_all();
        }
    }
}

impl Events {
    /// Into a store, of which so many are kept.
    pub fn new(store: Arc<Store>, kept: u64) -> Result<Self, Problem> {
        // Those that a killed daemon has emitted and not written are not given again.
        let last = store.last_event()?.max(store.fact(RESERVED)?.unwrap_or(0));
        let line = Mutex::new(EventQueue { last, reserved: last, written: last, ..EventQueue::default() });
        let shared = Arc::new(Shared { store, queue: line, pending: Condvar::new(), done: Condvar::new() });
        let writing = shared.clone();
        std::thread::spawn(move || writing.write(kept));
        Ok(Self { shared, to: broadcast::channel(SUBSCRIBER_BACKLOG).0 })
    }

    /// Something happened.
    pub fn emit(&self, kind: &str, subject: &str, detail: serde_json::Value) {
        let mut line = self.shared.lock();
        line.last += 1;
        if line.last > line.reserved {
            let next = line.last + BLOCK;
            match self.shared.store.set_fact(RESERVED, &next) {
                Ok(()) => line.reserved = next,
                Err(e) => tracing::error!("numbers of events are not reserved: {e}"),
            }
        }
        let event = Event {
            seq: line.last,
            at_unix_ns: unix_ns(),
            kind: kind.into(),
            subject: subject.into(),
            detail,
        };
        line.waiting.push(event.clone());
        if line.waiting.len() == 1 || line.waiting.len() == BATCH {
            self.shared.pending.notify_one();
        }
        // In the order of their numbers. Without a listener there is nobody to tell.
        let _ = self.to.send(event);
    }

    /// Waits until all that happened is written down.
    pub fn flush(&self) {
        let mut line = self.shared.lock();
        let last = line.last;
        while line.written < last {
            line.urgent = true;
            self.shared.pending.notify_one();
            line = self.shared.done.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What happened after an event, oldest first, at most `most`.
    pub fn after(&self, event: u64, most: usize) -> Result<Vec<Event>, Problem> {
        self.flush();
        Ok(self.shared.store.events(event, most)?)
    }

    /// What happens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.to.subscribe()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.pending.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_were_told_are_not_given_again_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let seq = || {
            let store = Arc::new(Store::open(folder.path()).unwrap());
            let events = Events::new(store, 100).unwrap();
            let mut listening = events.listen();
            events.emit("a", "b", serde_json::Value::Null);
            let emitted = listening.try_recv().unwrap().seq;
            // As if it were killed before it was written.
            events.flush();
            events.shared.store.forget_events().unwrap();
            // The writer ends, and with it the last user of the store.
            drop(events);
            emitted
        };
        let first = seq();
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(seq() > first);
    }

    #[test]
    fn events_are_written_together_or_when_somebody_asks() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let events = Events::new(store.clone(), 10 * BATCH as u64).unwrap();
        let emit = |count: usize| (0..count).for_each(|_| events.emit("a", "b", serde_json::Value::Null));
        for count in [1, BATCH - 1, BATCH, 3 * BATCH + 1] {
            let before = store.last_event().unwrap();
            emit(count);
            assert_eq!(events.after(before, 10 * BATCH).unwrap().len(), count);
        }
        emit(2);
        let last = store.last_event().unwrap();
        drop(events);
        // What was not asked for is written when nobody can ask any more.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while store.last_event().unwrap() == last && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(store.last_event().unwrap(), last + 2);
    }
}
