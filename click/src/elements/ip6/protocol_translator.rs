use super::translation::{to_v4, to_v6};
use crate::args::{Args, Prefix6};
use crate::element::{Context, Element};
use crate::headers::{IPV4, IPV6};
use crate::packet::{Batch, Packet};
use alloc::vec::Vec;

/// Puts other bytes in a packet's place, from its network header on, or from its front. `false`: it has none.
fn replace(packet: &mut Packet, header: usize, make: impl Fn(&[u8]) -> Option<Vec<u8>>) -> bool {
    let at = packet.network().unwrap_or(0);
    let Some(mut new) = make(&packet.data()[at..]).and_then(|bytes| Packet::from_bytes(&bytes)) else {
        return false;
    };
    new.annotate_as(packet);
    new.set_headers(0, header);
    *packet = new;
    true
}

crate::element! {
    /// Makes IPv6 packets of IPv4 packets (RFC 6145): TCP, UDP, ICMP with the packets that its errors quote, and others.
    ///
    /// Packets begin with their IP header, or have it marked; what lies in front of that is dropped, and so are packets that
    /// have no counterpart: some of ICMP's, and fragments of ICMP.
    ///
    /// # Arguments
    /// `PREFIX` (::ffff:0:0/96): network of the addresses that IPv4 addresses become, of 96 bits (RFC 6052).
    ProtocolTranslator46 "1/1" "a/a"
    keywords ["PREFIX"]
    { prefix: [u8; 16] }
}

impl ProtocolTranslator46 {
    fn new(args: &mut Args<'_>) -> Self {
        let mapped = Prefix6::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0], 96);
        let prefix = args.key("PREFIX").unwrap_or(mapped);
        if prefix.1 != 96 {
            args.error("PREFIX: expected a network of 96 bits");
        }
        Self { prefix: prefix.0 }
    }
}

impl Element for ProtocolTranslator46 {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        let prefix = self.prefix;
        batch.retain_or_else(
            |packet| {
                let made = replace(packet, IPV6, |bytes| to_v6(bytes, prefix));
                if made {
                    let destination = core::array::from_fn(|i| packet.data()[24 + i]);
                    packet.set_destination6(destination);
                }
                made
            },
            drop,
        );
    }
}

crate::element! {
    /// Makes IPv4 packets of IPv6 packets (RFC 6145): TCP, UDP, ICMP with the packets that its errors quote, and others.
    ///
    /// An address becomes its last four bytes (RFC 6052). Packets begin with their IP header, or have it marked; what lies in
    /// front of that is dropped, and so are packets that have no counterpart: some of ICMP's, and fragments of ICMP.
    ///
    /// # Arguments
    /// None.
    ProtocolTranslator64 "1/1" "a/a" {}
}

impl ProtocolTranslator64 {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for ProtocolTranslator64 {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(
            |packet| {
                let made = replace(packet, IPV4, to_v4);
                if made {
                    let destination = core::array::from_fn(|i| packet.data()[16 + i]);
                    packet.set_destination(destination);
                }
                made
            },
            drop,
        );
    }
}
