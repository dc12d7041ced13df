//! The way out: frames to the ports that they leave by, this thread's or another's, and what other threads hand over.

use super::handoff::{Handoff, HandoffKind};
use super::{Running, schedule_flush};
use crate::counters::{Reason, Shared};
use crate::forward::tables::Tables;
use crate::frame::{BATCH, Batch, Outgoing};
use crate::port::PortId;
use std::sync::Arc;

impl Running {
    pub(super) fn send_lists(&mut self, tables: &Tables, batch: &Batch) {
        while let Some((port, list)) = self.forwarder.next_out() {
            self.send(tables, batch, port, &list);
            self.forwarder.recycle(port, list);
        }
    }

    pub(super) fn send_answers(&mut self, tables: &Tables) {
        if self.forwarder.answers_out.is_empty() {
            return;
        }
        let list = std::mem::take(&mut self.forwarder.answers_out);
        let Some(mut answers) = self.forwarder.answers.take() else { return };
        for &(port, out) in &list {
            self.send(tables, &answers, port, &[out]);
        }
        answers.clear();
        self.forwarder.answers = Some(answers);
    }

    /// Sends frames at a port, this thread's or another's.
    pub(super) fn send(&mut self, tables: &Tables, batch: &Batch, to: PortId, list: &[Outgoing]) {
        let Some(entry) = tables.port(to) else { return };
        let shared = &entry.shared;
        if entry.thread != self.worker.index {
            self.hand_over(entry.thread, batch, to, list, shared);
            return;
        }
        let Some(Some(state)) = self.ports.get_mut(to.index()) else { return };
        if !state.device.is_up() {
            shared.count_drops(Reason::Down, list.len() as u64);
            return;
        }
        let forwarding = &mut self.forwarder.ports[to.index()];
        let fits = |o: &Outgoing| batch.frames()[usize::from(o.frame)].fits(usize::from(entry.mtu));
        let plain = forwarding.limit_out.is_none() && forwarding.captures.is_empty() && list.iter().all(fits);
        let kept;
        let list = if plain {
            list
        } else {
            let now = self.now.nanos;
            let mut allowed = Vec::with_capacity(list.len());
            for out in list {
                let frame = &batch.frames()[usize::from(out.frame)];
                if !fits(out) {
                    shared.count_drops(Reason::TooLong, 1);
                } else if !forwarding.limit_out.take(frame.length(), now) {
                    shared.count_drops(Reason::Rate, 1);
                } else {
                    forwarding.captures.retain(|sink| sink.capture(batch, frame, out.vlan, false));
                    allowed.push(*out);
                }
            }
            kept = allowed;
            &kept
        };
        if !state.backlog.is_empty() {
            state.backlog.keep(batch, list, shared, self.now.nanos);
            return;
        }
        match state.device.send(batch, list, shared) {
            Ok(sent) => {
                if sent < list.len() {
                    state.backlog.keep(batch, &list[sent..], shared, self.now.nanos);
                    self.backlogged.push(to);
                }
                schedule_flush(&mut self.unflushed, state, to);
            }
            Err(e) => self.failed.push((to, e)),
        }
    }

    fn hand_over(&mut self, thread: usize, batch: &Batch, to: PortId, list: &[Outgoing], shared: &Shared) {
        let Some(Some(outbox)) = self.worker.outboxes.get_mut(thread) else { return };
        for out in list {
            let frame = &batch.frames()[usize::from(out.frame)];
            if !outbox.packet(batch, frame, to, out.vlan) {
                shared.count_drops(Reason::Full, 1);
            }
        }
    }

    /// What other threads have for this one; whether there was something.
    pub(super) fn take_handoffs(&mut self) -> bool {
        let mut came = false;
        for index in 0..self.worker.inboxes.len() {
            let tables = Arc::clone(&self.tables);
            let Some(mut batch) = self.batch.take() else { return came };
            batch.clear();
            for _ in 0..BATCH {
                let Ok(Handoff { kind, bytes, offload }) = self.worker.inboxes[index].handoffs.pop() else {
                    break;
                };
                came = true;
                match kind {
                    HandoffKind::Packet { to, vlan, tag } => {
                        if !batch.push_bytes(&bytes, offload) {
                            batch.clear();
                            batch.push_bytes(&bytes, offload);
                        }
                        let frame = batch.len().saturating_sub(1) as u16;
                        if let Some(frame) = batch.frames_mut().last_mut() {
                            frame.tag = tag;
                        }
                        self.send(&tables, &batch, to, &[Outgoing { frame, vlan }]);
                        self.worker.inboxes[index].recycle(bytes);
                    }
                    HandoffKind::Wanted(announced) => {
                        let packet = (!bytes.is_empty()).then_some((bytes, offload));
                        self.wanted(&announced, packet);
                    }
                    HandoffKind::Learned(segment, mac, port) => {
                        self.forwarder.fdb.learn(segment, mac, port, self.now.seconds);
                    }
                    HandoffKind::Forgotten(port) => self.forwarder.fdb.forget_port(port),
                }
            }
            self.batch = Some(batch);
        }
        came
    }
}
