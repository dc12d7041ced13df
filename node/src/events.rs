//! What happens: told to who listens, and written down by a thread of its own, so that nobody waits for the store.

use crate::store::Store;
use api::Problem;
use api::event::Event;
use machine::timeline::unix_ns;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Events that a slow listener may be behind before it loses some.
const BEHIND: usize = 4096;

/// What the writer is told.
enum Told {
    Event(Event),
    /// Say when all before is written.
    Flush(SyncSender<()>),
}

/// The number of the last event, and the way to the writer: taken together, so that events are written in order.
struct Line {
    last: u64,
    to: Sender<Told>,
}

/// Where events go.
pub struct Events {
    store: Arc<Store>,
    line: Mutex<Line>,
    to: broadcast::Sender<Event>,
}

impl Events {
    /// Into a store, of which so many are kept.
    pub fn new(store: Arc<Store>, kept: u64) -> Result<Self, Problem> {
        let (to, told) = channel();
        let line = Mutex::new(Line { last: store.last_event()?, to });
        let writing = store.clone();
        std::thread::spawn(move || write(&writing, kept, &told));
        Ok(Self { store, line, to: broadcast::channel(BEHIND).0 })
    }

    /// Something happened.
    pub fn tell(&self, kind: &str, subject: &str, detail: serde_json::Value) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.last += 1;
        let event = Event {
            seq: line.last,
            at_unix_ns: unix_ns(),
            kind: kind.into(),
            subject: subject.into(),
            detail,
        };
        // The writer lives as long as this does. Without a listener there is nobody to tell.
        let _ = line.to.send(Told::Event(event.clone()));
        let _ = self.to.send(event);
    }

    /// Waits until all that happened is written down.
    pub fn flush(&self) {
        let (to, written) = sync_channel(1);
        let asked = self.line.lock().unwrap_or_else(PoisonError::into_inner).to.send(Told::Flush(to));
        if asked.is_ok() {
            // A writer that has ended has nothing left to write.
            let _ = written.recv();
        }
    }

    /// What happened after an event, oldest first, at most `most`.
    pub fn after(&self, event: u64, most: usize) -> Result<Vec<Event>, Problem> {
        self.flush();
        Ok(self.store.events(event, most)?)
    }

    /// What happens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.to.subscribe()
    }
}

/// Writes what comes, as much at a time as there is.
fn write(store: &Store, kept: u64, told: &Receiver<Told>) {
    while let Ok(first) = told.recv() {
        let (mut events, mut waiting) = (Vec::new(), Vec::new());
        for told in std::iter::once(first).chain(told.try_iter()) {
            match told {
                Told::Event(event) => events.push(event),
                Told::Flush(to) => waiting.push(to),
            }
        }
        if !events.is_empty()
            && let Err(e) = store.add_events(&events, kept)
        {
            tracing::error!(count = events.len(), "events are lost: {e}");
        }
        for to in waiting {
            // Who asked may not wait any more.
            let _ = to.send(());
        }
    }
}
