use super::ends::Ends;
use crate::args::{Args, Ipv4};
use crate::element::{Context, Element, read_write};
use crate::headers::{IPV4, PROTOCOL_UDP, transport_checksum, write_ipv4};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::String;

/// Bytes of both headers.
const HEADERS: usize = IPV4 + 8;

crate::element! {
    /// Puts UDP and IP headers in front of packets.
    ///
    /// # Arguments
    /// `SRC`, `SPORT`, `DST`, `DPORT`: addresses and ports; DST can be `DST_ANNO`, the packet's destination annotation.
    /// `CHECKSUM` (true): compute the UDP checksum.
    ///
    /// # Handlers
    /// `src`, `sport`, `dst`, `dport`: the arguments.
    UDPIPEncap "1/1" "a/a"
    keywords ["SRC", "SPORT", "DST", "DPORT", "CHECKSUM"]
    handlers [read_write("src"), read_write("sport"), read_write("dst"), read_write("dport")]
    { pub(super) ends: Ends<Ipv4>, checksum: bool, id: u16 }
}

impl UDPIPEncap {
    pub(super) fn new(args: &mut Args<'_>) -> Self {
        let source = (args.required("SRC"), args.required("SPORT"));
        let to: String = args.required("DST");
        let address = args.names.ipv4(&to).map(Ipv4);
        if address.is_none() && to != "DST_ANNO" {
            args.error(format!("DST: expected an IP address or DST_ANNO, not '{to}'"));
        }
        let destination = (address, args.required("DPORT"));
        Self { ends: Ends { source, destination }, checksum: args.next("CHECKSUM").unwrap_or(true), id: 0 }
    }

    #[inline]
    pub(super) fn encapsulate(&mut self, packet: &mut Packet) -> bool {
        let payload = packet.len();
        let Ok(total) = u16::try_from(payload + HEADERS) else { return false };
        let destination = self.ends.destination.0.map_or(packet.destination(), |d| d.0);
        let Some(()) = packet.push(HEADERS) else { return false };
        let data = packet.data_mut();
        write_ipv4(data, total, self.id, PROTOCOL_UDP, self.ends.source.0.0, destination);
        self.id = self.id.wrapping_add(1);
        let udp = &mut data[IPV4..];
        udp[0..2].copy_from_slice(&self.ends.source.1.to_be_bytes());
        udp[2..4].copy_from_slice(&self.ends.destination.1.to_be_bytes());
        udp[4..6].copy_from_slice(&(total - IPV4 as u16).to_be_bytes());
        udp[6..8].fill(0);
        if self.checksum {
            let sum = match transport_checksum(self.ends.source.0.0, destination, PROTOCOL_UDP, udp) {
                [0, 0] => [255, 255],
                sum => sum,
            };
            udp[6..8].copy_from_slice(&sum);
        }
        packet.set_headers(0, IPV4);
        packet.set_destination(destination);
        true
    }
}

impl Element for UDPIPEncap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.encapsulate(packet), drop);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(self.ends.read(handler))
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        self.ends.write(cx, handler, value)
    }
}
