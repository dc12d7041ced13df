use super::ends::Ends;
use crate::args::{Args, Argument, Ipv6};
use crate::element::{Context, Element, read_write};
use crate::headers::{IPV6, Ipv6Header, PROTOCOL_UDP, transport_checksum6};
use crate::packet::{Batch, Packet};
use alloc::string::String;

crate::element! {
    /// Puts UDP and IPv6 headers in front of packets.
    ///
    /// # Arguments
    /// `SRC`, `SPORT`, `DST`, `DPORT`: addresses and ports; DST can be `DST_ANNO`, the packet's IPv6 destination annotation.
    ///
    /// # Handlers
    /// `src`, `sport`, `dst`, `dport`: the arguments.
    UDPIP6Encap "1/1" "a/a"
    keywords ["SRC", "SPORT", "DST", "DPORT"]
    handlers [read_write("src"), read_write("sport"), read_write("dst"), read_write("dport")]
    { ends: Ends<Ipv6> }
}

impl UDPIP6Encap {
    fn new(args: &mut Args<'_>) -> Self {
        let source = (args.required("SRC"), args.required("SPORT"));
        let to: String = args.required("DST");
        let address = Ipv6::parse(&to, args.names);
        if address.is_none() && to != "DST_ANNO" {
            args.error("bad DST");
        }
        Self { ends: Ends { source, destination: (address, args.required("DPORT")) } }
    }

    fn encapsulate(&self, packet: &mut Packet) -> bool {
        let destination = self.ends.destination.0.map_or(packet.destination6(), |d| d.0);
        let payload = packet.len() + 8;
        if payload > 65535 || packet.push(IPV6 + 8).is_none() {
            return false;
        }
        let source = self.ends.source.0.0;
        let (ip, udp) = packet.data_mut().split_at_mut(IPV6);
        Ipv6Header { payload, next: PROTOCOL_UDP, hops: 255, source, destination }.write(ip);
        udp[..2].copy_from_slice(&self.ends.source.1.to_be_bytes());
        udp[2..4].copy_from_slice(&self.ends.destination.1.to_be_bytes());
        udp[4..6].copy_from_slice(&(payload as u16).to_be_bytes());
        udp[6..8].fill(0);
        let sum = transport_checksum6(source, destination, PROTOCOL_UDP, udp);
        udp[6..8].copy_from_slice(if sum == [0, 0] { &[255, 255] } else { &sum });
        packet.set_headers(0, IPV6);
        packet.set_destination6(destination);
        true
    }
}

impl Element for UDPIP6Encap {
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
