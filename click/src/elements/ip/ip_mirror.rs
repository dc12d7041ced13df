use super::header;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::{PROTOCOL_TCP, PROTOCOL_UDP};
use crate::packet::Batch;

crate::element! {
    /// Swaps IP source and destination addresses, the ports of UDP and TCP, and TCP's sequence and acknowledgement numbers.
    ///
    /// Checksums stay right by themselves. Packets without an IP header pass unchanged.
    ///
    /// # Arguments
    /// `DST_ANNO` (true): set the destination annotation to the new destination.
    IPMirror "1/1" "a/a"
    keywords ["DST_ANNO"]
    { annotate: bool }
}

impl IPMirror {
    fn new(args: &mut Args<'_>) -> Self {
        Self { annotate: args.key("DST_ANNO").unwrap_or(true) }
    }
}

impl Element for IPMirror {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let Some((at, h)) = header(packet) else { return };
            let data = packet.data_mut();
            data[at + 12..at + 16].copy_from_slice(&h.destination);
            data[at + 16..at + 20].copy_from_slice(&h.source);
            let ports = data.get_mut(at + h.header..at + h.header + 4);
            if let (PROTOCOL_TCP | PROTOCOL_UDP, 0, Some(ports)) = (h.protocol, h.fragment_offset, ports) {
                ports.rotate_left(2);
                let numbers = data.get_mut(at + h.header + 4..at + h.header + 12);
                if let (PROTOCOL_TCP, Some(numbers)) = (h.protocol, numbers) {
                    numbers.rotate_left(4);
                }
            }
            if self.annotate {
                packet.set_destination(h.source);
            }
        });
    }
}
