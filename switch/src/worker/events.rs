//! What a thread tells the control thread of its ports. That one may be slower than a peer that takes its link up and down,
//! so what finds the channel full waits here: of each port its error, and the last state of its link.

use super::Running;
use crate::port::{PortError, PortEvent, PortId};
use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, TrySendError};

/// Changes of ports that wait for the control thread.
pub const EVENTS: usize = 1024;
/// Time between two tries to tell what the channel had no room for, nanoseconds.
pub(super) const EVENT_RETRY_NS: u64 = 1_000_000;

/// The sending end of the channel, and what it has no room for.
pub(super) struct EventSender {
    to: SyncSender<PortEvent>,
    waiting: BTreeMap<PortId, WaitingEvents>,
}

/// What is to be told of a port, in this order.
#[derive(Default)]
struct WaitingEvents {
    link: Option<bool>,
    error: Option<PortError>,
}

impl EventSender {
    pub(super) fn new(to: SyncSender<PortEvent>) -> Self {
        Self { to, waiting: BTreeMap::new() }
    }

    /// Whether something waits for room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Tells an event, or has it wait.
    pub(super) fn report(&mut self, event: PortEvent) {
        if !self.waiting.is_empty() {
            return self.keep(event);
        }
        // Nobody is left to be told only when the whole switch ends.
        if let Err(TrySendError::Full(event)) = self.to.try_send(event) {
            self.keep(event);
        }
    }

    fn keep(&mut self, event: PortEvent) {
        match event {
            PortEvent::Link(port, up) => self.waiting.entry(port).or_default().link = Some(up),
            PortEvent::PortError(port, why) => self.waiting.entry(port).or_default().error = Some(why),
        }
    }

    /// Tells what waits, as far as there is room.
    pub(super) fn retry(&mut self) {
        for (port, WaitingEvents { link, error }) in std::mem::take(&mut self.waiting) {
            let events =
                [link.map(|up| PortEvent::Link(port, up)), error.map(|e| PortEvent::PortError(port, e))];
            for event in events.into_iter().flatten() {
                match self.to.try_send(event) {
                    Err(TrySendError::Full(event)) => self.keep(event),
                    Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                }
            }
        }
    }
}

impl Running {
    pub(super) fn report(&mut self, event: PortEvent) {
        self.events_out.report(event);
        self.manager_wakeup_due = true;
    }

    /// Tells what the channel had no room for.
    pub(super) fn retry_events(&mut self) {
        if self.events_out.is_waiting() {
            self.events_out.retry();
            self.manager_wakeup_due = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn a_link_that_flaps_takes_no_memory_and_its_last_state_is_told() {
        let (to, told) = sync_channel(4);
        let mut sender = EventSender::new(to);
        for turn in 0..10_001 {
            sender.report(PortEvent::Link(PortId(0), turn % 2 == 0));
        }
        sender.report(PortEvent::PortError(PortId(0), PortError::Closed));
        assert_eq!(sender.waiting.len(), 1);
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.extend(told.try_iter());
            sender.retry();
        }
        assert!(!sender.is_waiting());
        assert_eq!(seen.len(), 6);
        assert!(matches!(seen[4..], [PortEvent::Link(_, true), PortEvent::PortError(_, PortError::Closed)]));
    }
}
