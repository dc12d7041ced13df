use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::{Batch, Packet};

crate::element! {
    /// Moves packets' data so that its address fits.
    ///
    /// Nothing here needs that; it is for files that say it.
    ///
    /// # Arguments
    /// `MODULUS`, `OFFSET`: the address divided by MODULUS (2, 4, 8 and so on, up to 64) leaves OFFSET.
    Align "1/1" "a/a"
    keywords ["MODULUS", "OFFSET"]
    { modulus: usize, offset: usize }
}

impl Align {
    fn new(args: &mut Args<'_>) -> Self {
        let (modulus, offset): (usize, usize) = (args.required("MODULUS"), args.required("OFFSET"));
        if !modulus.is_power_of_two() || !(2..=64).contains(&modulus) || offset >= modulus {
            args.error("MODULUS must be a power of two from 2 to 64, and OFFSET less than it");
            return Self { modulus: 2, offset: 0 };
        }
        Self { modulus, offset }
    }

    /// Moves data towards the front by what its address has too much. Buffers have headroom for that.
    fn fit(&self, packet: &mut Packet) -> bool {
        let excess = (packet.address(0) as usize).wrapping_sub(self.offset) % self.modulus;
        if excess == 0 {
            return true;
        }
        let (length, network, transport) = (packet.len(), packet.network(), packet.transport());
        let mac = packet.mac_in_front() == Some(0);
        let before = packet.headroom();
        if packet.push(excess).is_none() {
            return false;
        }
        if packet.headroom() + excess != before {
            // It went to another buffer.
            packet.pull(excess);
            return self.fit(packet);
        }
        packet.data_mut().copy_within(excess.., 0);
        packet.truncate(length);
        if let (Some(network), Some(transport)) = (network, transport) {
            packet.set_headers(network, transport);
        }
        if mac {
            packet.set_mac();
        }
        true
    }
}

impl Element for Align {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.fit(packet), drop);
    }
}
