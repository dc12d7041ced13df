//! What happens, written down and told to who listens.

use crate::model::Event;
use crate::store::Store;
use std::sync::Arc;
use tokio::sync::broadcast;
use vmm::clock::unix_ns;

/// Events that a slow listener may be behind before it loses some.
const BEHIND: usize = 4096;

/// Where events go.
pub struct Events {
    store: Arc<Store>,
    kept: u64,
    to: broadcast::Sender<Event>,
}

impl Events {
    /// Into a store, of which so many are kept.
    pub fn new(store: Arc<Store>, kept: u64) -> Self {
        Self { store, kept, to: broadcast::channel(BEHIND).0 }
    }

    /// Something happened.
    pub fn tell(&self, kind: &str, subject: &str, detail: serde_json::Value) {
        let event =
            Event { seq: 0, at_unix_ns: unix_ns(), kind: kind.into(), subject: subject.into(), detail };
        match self.store.add_event(event, self.kept) {
            // Without a listener there is nobody to tell.
            Ok(event) => _ = self.to.send(event),
            Err(e) => tracing::error!(kind, subject, "an event is lost: {e}"),
        }
    }

    /// What happens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.to.subscribe()
    }
}
