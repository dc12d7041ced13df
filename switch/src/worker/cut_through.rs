//! Cut-through: on a point-to-point segment packets go straight into the guest's buffers, from a descriptor by the kernel,
//! or from another guest's.

use super::{PollOutcome, RECEIVER_FULL_TIMEOUT_NS, Running, schedule_flush};
use crate::forward::tables::Tables;
use crate::frame::TAG;
use crate::headers::ETHERNET;
use crate::port::vhost::Broken;
use crate::port::{CutThrough, PortError, PortId};

impl Running {
    /// Passes packets from a port to the other end of its point-to-point segment without parsing them. `None` if a
    /// capture or a limit has to see them, or if one of the two devices cannot do it.
    pub(super) fn cut_through(&mut self, tables: &Tables, from: PortId, to: PortId) -> Option<PollOutcome> {
        let near = self.forwarder.ports.get(from.index())?;
        let far = self.forwarder.ports.get(to.index())?;
        if !near.captures.is_empty() || !far.captures.is_empty() || !far.limit_out.is_none() {
            return None;
        }
        let (entry, far_entry) = (tables.port(from)?, tables.port(to)?);
        let [Some(state), Some(other)] = self.ports.get_disjoint_mut([from.index(), to.index()]).ok()? else {
            return None;
        };
        if !other.device.is_up() || !other.backlog.is_empty() {
            return None;
        }
        // What nobody parses may have two tags.
        let longest = usize::from(far_entry.mtu) + ETHERNET + 2 * TAG;
        if let (Some(near), Some(far)) = (state.device.as_vhost(), other.device.as_vhost()) {
            // Longer ones are parsed: they may have tags, or be many in one.
            let passed = near.pass(far, usize::from(far_entry.mtu) + ETHERNET, &far_entry.shared)?;
            return Some(match passed {
                Ok(CutThrough { packets: 0, .. }) => self.arm_if_idle(from),
                Ok(CutThrough { packets, bytes, .. }) => {
                    self.received += packets;
                    entry.shared.received.add(packets);
                    entry.shared.received_bytes.add(bytes);
                    self.forwarder.ports[from.index()].limit_in.charge(packets, bytes);
                    state.last_packet = self.now.nanos;
                    schedule_flush(&mut self.unflushed, state, from);
                    schedule_flush(&mut self.unflushed, other, to);
                    PollOutcome::StaysPolled
                }
                Err(Broken::Near(e)) => {
                    self.port_failed(from, e);
                    self.outcome(from)
                }
                Err(Broken::Far(e)) => {
                    self.port_failed(to, e);
                    PollOutcome::StaysPolled
                }
            });
        }
        let source = state.device.source()?;
        let taken = match other.device.cut_through_from(&source, longest, &far_entry.shared)? {
            Ok(taken) => taken,
            Err(e) => {
                self.port_failed(to, e);
                return Some(PollOutcome::StaysPolled);
            }
        };
        let CutThrough { packets, bytes, short, failed } = taken;
        self.received += packets;
        if packets > 0 {
            entry.shared.received.add(packets);
            entry.shared.received_bytes.add(bytes);
            self.forwarder.ports[from.index()].limit_in.charge(packets, bytes);
            state.last_packet = self.now.nanos;
            state.buffers_short_since = None;
            schedule_flush(&mut self.unflushed, other, to);
        }
        if let Some(e) = failed {
            self.port_failed(from, PortError::System(e));
            return Some(self.outcome(from));
        }
        if short && packets == 0 {
            // There are buffers, but not for the largest packet: more may come soon; else each packet is received.
            let since = *state.buffers_short_since.get_or_insert(self.now.nanos);
            state.last_packet = self.now.nanos;
            return (self.now.nanos - since < RECEIVER_FULL_TIMEOUT_NS).then_some(PollOutcome::StaysPolled);
        }
        Some(if packets > 0 { PollOutcome::StaysPolled } else { self.arm_if_idle(from) })
    }
}
