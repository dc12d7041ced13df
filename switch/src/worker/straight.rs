//! A wire from a descriptor to a guest: the kernel copies packets straight into the guest's buffers.

use super::{PATIENCE, Running, mark};
use crate::forward::tables::Tables;
use crate::port::{Broken, PortId, Taken};
use crate::wire::ETHERNET;

impl Running {
    /// Passes packets on from a port to the other end of its wire without looking at them; whether the port stays hot.
    /// `None` if somebody wants to see them, or one of the two ends cannot.
    pub(super) fn pass_straight(&mut self, tables: &Tables, from: PortId, to: PortId) -> Option<bool> {
        let near = self.forwarder.ports.get(from.index())?;
        let far = self.forwarder.ports.get(to.index())?;
        if near.tap.is_some() || far.tap.is_some() || !far.limit_out.is_none() {
            return None;
        }
        let (entry, far_entry) = (tables.port(from)?, tables.port(to)?);
        let [Some(own), Some(other)] = self.ports.get_disjoint_mut([from.index(), to.index()]).ok()? else {
            return None;
        };
        if !other.device.is_up() || !other.backlog.is_empty() {
            return None;
        }
        let longest = usize::from(far_entry.mtu) + ETHERNET;
        let source = own.device.source()?;
        let taken = match other.device.take_from(&source, longest, &far_entry.shared)? {
            Ok(taken) => taken,
            Err(e) => {
                self.broken(to, e);
                return Some(true);
            }
        };
        let Taken { packets, bytes, short, failed } = taken;
        self.received += packets;
        if packets > 0 {
            entry.shared.received.add(packets);
            entry.shared.received_bytes.add(bytes);
            self.forwarder.ports[from.index()].limit_in.charge(packets, bytes);
            own.busy = self.now.nanos;
            own.short = None;
            mark(&mut self.dirty, other, to);
        }
        if let Some(e) = failed {
            self.broken(from, Broken::System(e));
            return Some(self.is_hot(from));
        }
        if short && packets == 0 {
            // There are buffers, but not for the largest packet: more may come soon; else each packet is looked at.
            let since = *own.short.get_or_insert(self.now.nanos);
            own.busy = self.now.nanos;
            return (self.now.nanos - since < PATIENCE).then_some(true);
        }
        if packets > 0 { Some(true) } else { Some(self.perhaps_arm(from)) }
    }
}
