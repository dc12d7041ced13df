//! What happens on the node, for all who wait for something there: one connection, whatever their number.

use super::Node;
use api::event::Event;
use std::time::Duration;
use tokio::sync::broadcast;

/// Events that somebody may be behind before some are lost; who lost some looks itself.
const BEHIND: usize = 1024;
/// Between two tries to reach a node that is away: at first, and at the most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What is told.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// Something happened.
    Event(Event),
    /// The connection is new: look at everything again.
    Connected,
    /// The node is away.
    Disconnected,
}

/// Follows a node for as long as this is there.
pub struct Watch {
    to: broadcast::Sender<WatchEvent>,
    following: tokio::task::JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Watch {
    /// Begins to follow.
    pub fn begin(node: Node) -> Self {
        let to = broadcast::Sender::new(BEHIND);
        let sender = to.clone();
        let following = tokio::spawn(async move {
            let mut pause = PAUSE.0;
            loop {
                let mut heard = false;
                let fault = node
                    .follow(|event| {
                        heard = true;
                        // Nobody may be listening.
                        let _ = sender.send(event.map_or(WatchEvent::Connected, WatchEvent::Event));
                    })
                    .await;
                tracing::debug!("{fault}");
                let _ = sender.send(WatchEvent::Disconnected);
                pause = if heard { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
                tokio::time::sleep(pause).await;
            }
        });
        Self { to, following }
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<WatchEvent> {
        self.to.subscribe()
    }
}
