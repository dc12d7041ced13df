//! Peers that have begun a message and do not finish it are let go when their time is over.

use super::Running;
use crate::port::{PortError, PortId};
use std::time::Instant;

/// Time between two looks for such peers, while one is in a message, nanoseconds.
pub(super) const MESSAGE_CHECK_NS: u64 = 250_000_000;

impl Running {
    /// A port's peer has spoken, perhaps not to the end.
    pub(super) fn note_message(&mut self, port: PortId) {
        let state = self.ports.get(port.index()).and_then(Option::as_ref);
        let is_in_message = state.is_some_and(|s| s.device.message_deadline().is_some());
        if is_in_message && !self.in_message.contains(&port) {
            self.in_message.push(port);
        }
    }

    /// Lets peers go whose time is over.
    pub(super) fn check_messages(&mut self) {
        if self.in_message.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut ports = std::mem::take(&mut self.in_message);
        ports.retain(|&port| {
            let state = self.ports.get(port.index()).and_then(Option::as_ref);
            let Some(deadline) = state.and_then(|s| s.device.message_deadline()) else { return false };
            if now >= deadline {
                self.failed.push((port, PortError::Unfinished));
            }
            now < deadline
        });
        self.in_message = ports;
    }
}
