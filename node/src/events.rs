//! What happens: sent to who listens, and written down by a thread of its own, so that nobody waits for the store.

use crate::store::Store;
use api::Problem;
use api::event::Event;
use machine::timeline::unix_ns;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Events that a slow listener may be behind before it loses some.
const BEHIND: usize = 4096;
/// Numbers that are reserved at a time, so that the store is not written to for each.
const BLOCK: u64 = 1000;
/// The fact that says up to which number they are reserved.
const RESERVED: &str = "events reserved";

/// What the writer is sent.
enum Message {
    Event(Event),
    /// Say when all before is written.
    Flush(SyncSender<()>),
}

/// The number of the last event, and the way to the writer: taken together, so that events are written in order.
struct Line {
    last: u64,
    /// Numbers up to this one are reserved in the store: a later daemon gives none of them again.
    reserved: u64,
    to: Sender<Message>,
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
        let (to, messages) = channel();
        // Those that a killed daemon has emitted and not written are not given again.
        let last = store.last_event()?.max(store.fact(RESERVED)?.unwrap_or(0));
        let line = Mutex::new(Line { last, reserved: last, to });
        let writing = store.clone();
        std::thread::spawn(move || write(&writing, kept, &messages));
        Ok(Self { store, line, to: broadcast::channel(BEHIND).0 })
    }

    /// Something happened.
    pub fn emit(&self, kind: &str, subject: &str, detail: serde_json::Value) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.last += 1;
        if line.last > line.reserved {
            let next = line.last + BLOCK;
            match self.store.set_fact(RESERVED, &next) {
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
        // The writer lives as long as this does. Without a listener there is nobody to tell.
        let _ = line.to.send(Message::Event(event.clone()));
        let _ = self.to.send(event);
    }

    /// Waits until all that happened is written down.
    pub fn flush(&self) {
        let (to, written) = sync_channel(1);
        let sent = self.line.lock().unwrap_or_else(PoisonError::into_inner).to.send(Message::Flush(to));
        if sent.is_ok() {
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
fn write(store: &Store, kept: u64, messages: &Receiver<Message>) {
    while let Ok(first) = messages.recv() {
        let (mut events, mut waiting) = (Vec::new(), Vec::new());
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Event(event) => events.push(event),
                Message::Flush(to) => waiting.push(to),
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
            events.store.forget_events().unwrap();
            // The writer ends, and with it the last user of the store.
            drop(events);
            emitted
        };
        let first = seq();
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(seq() > first);
    }
}
