//! Packets for a port whose queue is full wait here, as they would in a network card's transmit queue: a bounded number,
//! for a bounded time, in order.

use super::Running;
use crate::counters::{Reason, Shared};
use crate::frame::{Batch, Outgoing};
use crate::offload::Offload;
use crate::port::PortId;
use std::collections::VecDeque;

/// Most packets that wait for a port; as many as the kernel lets wait for a TAP.
const PACKETS: usize = 1000;
/// Most of their bytes.
const BYTES: usize = 4 << 20;
/// Longest that a port may take nothing while packets wait, nanoseconds; then they are dropped.
const STALL_TIMEOUT_NS: u64 = 250_000_000;

struct Waiting {
    bytes: Vec<u8>,
    offload: Offload,
}

/// What waits for a port.
#[derive(Default)]
pub struct Backlog {
    queue: VecDeque<Waiting>,
    bytes: usize,
    /// When the port last took something.
    last_progress: u64,
}

impl Backlog {
    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lets frames wait; what there is no room for is dropped.
    pub(super) fn keep(&mut self, batch: &Batch, list: &[Outgoing], shared: &Shared, now: u64) {
        if self.queue.is_empty() {
            self.last_progress = now;
        }
        for (i, out) in list.iter().enumerate() {
            let frame = &batch.frames()[usize::from(out.frame)];
            if self.queue.len() >= PACKETS || self.bytes + frame.length() > BYTES {
                shared.count_drops(Reason::Full, (list.len() - i) as u64);
                return;
            }
            let mut bytes = Vec::with_capacity(frame.length() + crate::frame::TAG);
            batch.copy_out(frame, out.vlan, &mut bytes);
            let mut offload = frame.offload;
            if out.vlan != 0 {
                offload.shift(crate::frame::TAG as i32);
            }
            self.bytes += bytes.len();
            self.queue.push_back(Waiting { bytes, offload });
        }
    }

    /// The first of those that wait, as many as a batch has room for.
    fn fill(&self, batch: &mut Batch) {
        batch.clear();
        for w in &self.queue {
            if !batch.push_bytes(&w.bytes, w.offload) {
                break;
            }
        }
    }

    /// The first have been taken.
    fn taken(&mut self, count: usize, now: u64) {
        if count > 0 {
            self.last_progress = now;
        }
        for w in self.queue.drain(..count.min(self.queue.len())) {
            self.bytes -= w.bytes.len();
        }
    }

    /// Drops everything if the port has taken nothing for too long; the first alone if the port has some room, which the
    /// others may fit into. Whether something was dropped.
    fn expire(&mut self, has_some_room: bool, shared: &Shared, now: u64) -> bool {
        let stalled = !self.queue.is_empty() && now.saturating_sub(self.last_progress) > STALL_TIMEOUT_NS;
        if stalled {
            let count = if has_some_room { 1 } else { self.queue.len() };
            shared.count_drops(Reason::Full, count as u64);
            self.taken(count, now);
        }
        stalled
    }
}

impl Running {
    /// Sends what waits, as far as there is room now.
    pub(super) fn drain_backlogs(&mut self) {
        let mut ports = std::mem::take(&mut self.backlogged);
        ports.retain(|&port| self.drain(port));
        self.backlogged = ports;
    }

    /// The same for one port; whether something still waits.
    fn drain(&mut self, port: PortId) -> bool {
        let Some(mut batch) = self.batch.take() else { return true };
        let now = self.now.nanos;
        let mut broken = None;
        let mut waits = false;
        if let (Some(Some(state)), Some(entry)) = (self.ports.get_mut(port.index()), self.tables.port(port)) {
            while !state.backlog.is_empty() && state.device.is_up() {
                state.backlog.fill(&mut batch);
                let list: Vec<Outgoing> =
                    (0..batch.len() as u16).map(|frame| Outgoing { frame, vlan: 0 }).collect();
                match state.device.send(&batch, &list, &entry.shared) {
                    Ok(sent) => {
                        state.backlog.taken(sent, now);
                        if sent > 0 {
                            super::schedule_flush(&mut self.unflushed, state, port);
                        }
                        if sent < list.len() {
                            break;
                        }
                    }
                    Err(e) => {
                        broken = Some(e);
                        break;
                    }
                }
            }
            if !state.device.is_up() || broken.is_some() {
                state.backlog = Backlog::default();
            }
            let has_some_room = (1..usize::MAX).contains(&state.device.room());
            let dropped = state.backlog.expire(has_some_room, &entry.shared, now);
            waits = !state.backlog.is_empty();
            if dropped || !waits {
                state.device.forget_position();
            }
        }
        self.batch = Some(batch);
        if let Some(e) = broken {
            self.port_failed(port, e);
        }
        waits
    }
}
