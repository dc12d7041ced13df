use super::header;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::{PROTOCOL_TCP, PROTOCOL_UDP, checksum, transport_checksum};
use crate::packet::{Batch, Packet};

crate::element! {
    /// Computes the checksums of IP packets anew.
    ///
    /// The header is found by the IP header annotation. Devices that do it themselves are not asked to.
    ///
    /// # Arguments
    /// `L4` (false): those of TCP and UDP too, of packets that are whole.
    ResetIPChecksum "1/1" "a/a"
    keywords ["L4"]
    { transport: bool }
}

impl ResetIPChecksum {
    fn new(args: &mut Args<'_>) -> Self {
        Self { transport: args.next("L4").unwrap_or(false) }
    }

    fn reset(&self, packet: &mut Packet) {
        let Some((at, h)) = header(packet) else { return };
        let data = packet.data_mut();
        data[at + 10..at + 12].fill(0);
        let sum = checksum(&data[at..at + h.header]);
        data[at + 10..at + 12].copy_from_slice(&sum);
        let (place, least) = match h.protocol {
            PROTOCOL_TCP => (16, 20),
            PROTOCOL_UDP => (6, 8),
            _ => return,
        };
        let whole = h.fragment_offset == 0 && !h.more_fragments && h.total >= h.header + least;
        if let (true, Some(segment)) =
            (self.transport && whole, data.get_mut(at + h.header..(at + h.total).max(at + h.header)))
        {
            segment[place..place + 2].fill(0);
            let sum = transport_checksum(h.source, h.destination, h.protocol, segment);
            segment[place..place + 2].copy_from_slice(if sum == [0, 0] { &[255, 255] } else { &sum });
        }
    }
}

impl Element for ResetIPChecksum {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| self.reset(packet));
    }
}
