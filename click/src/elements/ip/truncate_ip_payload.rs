use super::header;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::EXTRA_LENGTH;
use crate::headers::{PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use crate::packet::{Batch, Packet};

crate::element! {
    /// Cuts packets behind their headers.
    ///
    /// The header is found by the IP header annotation; packets without one pass unchanged, and headers keep what they say.
    ///
    /// # Arguments
    /// `LENGTH` (0): bytes of payload that are kept. `TRANSPORT` (true): the payload begins behind the header of TCP, UDP or
    /// ICMP, otherwise behind the IP header. `EXTRA_LENGTH` (true): add what was cut off to the extra length annotation.
    TruncateIPPayload "1/1" "a/a"
    keywords ["LENGTH", "TRANSPORT", "EXTRA_LENGTH"]
    { length: usize, transport: bool, annotate: bool }
}

impl TruncateIPPayload {
    fn new(args: &mut Args<'_>) -> Self {
        Self {
            length: args.next("LENGTH").unwrap_or(0),
            transport: args.next("TRANSPORT").unwrap_or(true),
            annotate: args.key("EXTRA_LENGTH").unwrap_or(true),
        }
    }

    /// Where the payload begins.
    fn payload(&self, packet: &Packet) -> Option<usize> {
        let (at, h) = header(packet)?;
        let behind = at + h.header;
        if !self.transport || h.fragment_offset != 0 {
            return Some(behind);
        }
        let more = match h.protocol {
            PROTOCOL_TCP => packet.data().get(behind + 12).map_or(20, |b| usize::from(b >> 4).max(5) * 4),
            PROTOCOL_UDP | PROTOCOL_ICMP => 8,
            _ => 0,
        };
        Some(behind + more)
    }
}

impl Element for TruncateIPPayload {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let Some(at) = self.payload(packet) else { return };
            let cut = packet.len().saturating_sub(at + self.length);
            packet.truncate(at + self.length);
            if self.annotate && cut > 0 {
                let extra = EXTRA_LENGTH.get(packet).saturating_add(cut as u32);
                EXTRA_LENGTH.set(packet, extra);
            }
        });
    }
}
