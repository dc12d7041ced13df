use super::header;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::{IPV6, PROTOCOL_TCP, PROTOCOL_UDP};
use crate::packet::Batch;

crate::element! {
    /// Swaps IPv6 source and destination addresses, the ports of UDP and TCP, and TCP's sequence and acknowledgement numbers.
    ///
    /// Checksums stay right by themselves. Packets without an IPv6 header pass unchanged.
    ///
    /// # Arguments
    /// None.
    IP6Mirror "1/1" "a/a" {}
}

impl IP6Mirror {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for IP6Mirror {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let Some((at, h)) = header(packet) else { return };
            let data = packet.data_mut();
            data[at + 8..at + 40].rotate_left(16);
            let segment = &mut data[at + IPV6..];
            if matches!(h.next, PROTOCOL_TCP | PROTOCOL_UDP) && segment.len() >= 8 {
                segment[..4].rotate_left(2);
                if h.next == PROTOCOL_TCP && segment.len() >= 12 {
                    segment[4..12].rotate_left(4);
                }
            }
            packet.set_destination6(h.source);
        });
    }
}
