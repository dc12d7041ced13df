//! Anti-spoofing: whether a frame comes from the addresses that its port is bound to. Every tag and every IPv6 extension
//! header is parsed to the end; what cannot be parsed is refused, since a receiver may read it in another way.

use super::tables::Binding;
use crate::frame::Frame;
use crate::headers::arp::Arp;
use crate::headers::{ETHERNET, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Mac, be16, ip, is_tag, ndp};
use crate::offload::Offload;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

impl Binding {
    /// Whether a frame comes from the addresses that it may come from.
    pub(super) fn allows(&self, frame: &Frame) -> bool {
        let mac = frame.source();
        if mac != self.mac && !self.pairs.iter().any(|(m, _)| *m == mac) {
            return false;
        }
        Station { binding: self, mac }.allows_packet(frame.head(), frame.offload).unwrap_or(false)
    }
}

/// One of the Ethernet addresses of a binding, and what goes with it.
#[derive(Clone, Copy)]
struct Station<'a> {
    binding: &'a Binding,
    mac: Mac,
}

impl Station<'_> {
    /// Whether what follows the Ethernet addresses may come from it; `None` if it cannot be parsed.
    fn allows_packet(self, head: &[u8], offload: Offload) -> Option<bool> {
        let mut at = ETHERNET;
        while is_tag(be16(head, at - 2)) {
            at += 4;
        }
        let packet = head.get(at..)?;
        match be16(head, at - 2) {
            ETHERTYPE_ARP => {
                let a = Arp::parse_body(packet)?;
                // A probe (RFC 5227) has no sender yet.
                let sender = a.sender.1.is_unspecified() || self.has(a.sender.1.into());
                Some(a.sender.0 == self.mac && sender && !offload.needs_checksum())
            }
            ETHERTYPE_IPV4 => self.allows_ipv4(packet, at, offload),
            ETHERTYPE_IPV6 => self.allows_ipv6(packet, at, offload),
            // A port that is bound to its link-layer address alone may speak any protocol.
            _ => Some(self.has_any() && !offload.needs_checksum()),
        }
    }

    /// Whether any address goes with it.
    fn has_any(self) -> bool {
        self.mac == self.binding.mac && self.binding.addresses.is_empty()
    }

    fn has(self, address: IpAddr) -> bool {
        let own = self.mac == self.binding.mac && self.binding.addresses.contains(&address);
        let in_pair = |(mac, prefix): &(Mac, IpNet)| *mac == self.mac && prefix.contains(&address);
        own || self.has_any() || self.binding.pairs.iter().any(in_pair)
    }

    fn has_ipv6(self, address: Ipv6Addr) -> bool {
        address == link_local(self.mac) || self.has(address.into())
    }

    fn allows_ipv4(self, packet: &[u8], at: usize, offload: Offload) -> Option<bool> {
        let first = *packet.first()?;
        let length = usize::from(first & 0xf) * 4;
        let header = packet.get(..length)?;
        if first >> 4 != 4 || length < 20 {
            return None;
        }
        let [a, b, c, d] = *header[12..].first_chunk()?;
        let source = std::net::Ipv4Addr::new(a, b, c, d);
        let checksum = be16(header, 6) & 0x1fff == 0 && offload.checksums(header[9], at + length);
        Some((source.is_unspecified() || self.has(source.into())) && (checksum || !offload.needs_checksum()))
    }

    fn allows_ipv6(self, packet: &[u8], at: usize, offload: Offload) -> Option<bool> {
        let source = Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?);
        if packet[0] >> 4 != 6 || !(source.is_unspecified() || self.has_ipv6(source)) {
            return Some(false);
        }
        let chain = ip::Extensions::parse(packet)?;
        if chain.later_fragment {
            return Some(!offload.needs_checksum());
        }
        if offload.needs_checksum() && !offload.checksums(chain.protocol, at + chain.transport) {
            return Some(false);
        }
        if chain.protocol != ip::ICMPV6 {
            return Some(true);
        }
        let message = packet.get(chain.transport..)?;
        if !ndp::is_discovery(*message.first()?) {
            return Some(true);
        }
        // Neighbour discovery is never fragmented (RFC 6980).
        let names = ndp::Names::parse(message)?;
        let target = names.target.is_none_or(|t| self.has_ipv6(t));
        Some(!chain.fragment && target && names.link_layer.iter().flatten().all(|&m| m == self.mac))
    }
}

/// The link-local address that a station makes from its MAC (RFC 4291 appendix A).
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Batch;
    use abi::net::{HEADER_NEEDS_CHECKSUM, NetHeader};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn binding() -> Binding {
        Binding::new(OWN, &["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()], &[])
    }

    fn allows(binding: &Binding, bytes: &[u8], offload: Offload) -> bool {
        let mut batch = Batch::default();
        assert!(batch.push_bytes(bytes, offload));
        binding.allows(&batch.frames()[0])
    }

    fn passes(bytes: &[u8], offload: Offload) -> bool {
        allows(&binding(), bytes, offload)
    }

    fn frame(tags: &[(u16, u16)], ethertype: u16, packet: &[u8]) -> Vec<u8> {
        let mut f = [[0xff; 6], OWN.0].concat();
        for (kind, tag) in tags {
            f.extend(kind.to_be_bytes());
            f.extend(tag.to_be_bytes());
        }
        f.extend(ethertype.to_be_bytes());
        f.extend(packet);
        f
    }

    fn ipv4(source: Ipv4Addr) -> Vec<u8> {
        let mut p = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0];
        p.extend(source.octets());
        p.extend([10, 0, 0, 2]);
        p.extend([0; 20]);
        p
    }

    fn arp(sender: Mac, address: Ipv4Addr) -> Vec<u8> {
        let target = (Mac::ZERO, Ipv4Addr::new(10, 0, 0, 2));
        let question = Arp { request: true, sender: (sender, address), target };
        question.emit(OWN, Mac::BROADCAST)[ETHERNET..].to_vec()
    }

    /// An IPv6 packet with extension headers ahead of a transport.
    fn ipv6(source: Ipv6Addr, extensions: &[u8], protocol: u8, transport: &[u8]) -> Vec<u8> {
        let next = |i: usize| extensions.get(i).copied().unwrap_or(protocol);
        let mut p = vec![0x60, 0, 0, 0, 1, 0, next(0), 255];
        p.extend(source.octets());
        p.extend([0xff; 16]);
        for (i, kind) in extensions.iter().enumerate() {
            match kind {
                // A first fragment, of which more follow.
                44 => p.extend([next(i + 1), 0, 0, 1, 0, 0, 0, 9]),
                51 => p.extend([next(i + 1), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                _ => p.extend([next(i + 1), 0, 1, 4, 0, 0, 0, 0]),
            }
        }
        p.extend(transport);
        p
    }

    fn advertisement(target: Ipv6Addr, link_layer: Mac) -> Vec<u8> {
        let mut m = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
        m.extend(target.octets());
        m.extend([2, 1]);
        m.extend(link_layer.0);
        m
    }

    fn tags() -> impl Strategy<Value = Vec<(u16, u16)>> {
        let kind = prop::sample::select(vec![0x8100u16, 0x88a8, 0x9100, 0x9200, 0x9300]);
        prop::collection::vec((kind, prop_oneof![Just(0u16), any::<u16>()]), 0..4)
    }

    fn extensions() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 43, 60, 51, 135]), 0..4)
    }

    proptest! {
        #[test]
        fn no_stack_of_tags_hides_a_foreign_ipv4_address(tags in tags(), source: [u8; 4]) {
            let source = Ipv4Addr::from(source);
            let own = source == Ipv4Addr::new(10, 0, 0, 1) || source.is_unspecified();
            prop_assert_eq!(passes(&frame(&tags, 0x0800, &ipv4(source)), Offload::default()), own);
            prop_assert!(passes(&frame(&tags, 0x0800, &ipv4([10, 0, 0, 1].into())), Offload::default()));
            prop_assert_eq!(passes(&frame(&tags, 0x0806, &arp(OWN, source)), Offload::default()), own);
        }

        #[test]
        fn no_stack_of_headers_hides_a_foreign_ipv6_address(
            tags in tags(), extensions in extensions(), fragment: bool, foreign: [u8; 16],
        ) {
            let (own, foreign) = ("fd00::1".parse::<Ipv6Addr>().unwrap(), Ipv6Addr::from(foreign));
            let ok = |source, e: &[u8], kind, m: &[u8]|
                passes(&frame(&tags, 0x86dd, &ipv6(source, e, kind, m)), Offload::default());
            // What does not fit into the part of a packet that is looked at is refused, whoever sends it.
            let fits = tags.len() * 4 + extensions.len() * 12 < 40;
            prop_assert!(!fits || ok(own, &extensions, 17, &[0; 8]));
            prop_assert!(!fits || extensions.len() > 1 || ok(own, &extensions, 58, &advertisement(own, OWN)));
            prop_assume!(foreign != own && foreign != link_local(OWN) && !foreign.is_unspecified());
            prop_assert!(!ok(foreign, &extensions, 17, &[0; 8]));
            prop_assert!(!ok(own, &extensions, 58, &advertisement(foreign, OWN)));
            prop_assert!(!ok(own, &extensions, 58, &advertisement(own, Mac([2, 0, 0, 0, 0, 9]))));
            if fragment {
                let mut cut = extensions.clone();
                cut.push(44);
                prop_assert!(!ok(own, &cut, 58, &advertisement(own, OWN)));
                prop_assert!(!ok(own, &cut, 58, &[]));
            }
        }

        #[test]
        fn pairs_add_themselves_and_nothing_else(source: [u8; 4], station in 0u8..4, tags in tags()) {
            let pairs = ["10.0.1.0/24", "10.0.2.0/24@02:00:00:00:00:02"].map(|p| p.parse().unwrap());
            let bound = Binding::new(OWN, &["10.0.0.1".parse().unwrap()], &pairs);
            let mac = Mac([2, 0, 0, 0, 0, station]);
            // Half of the cases are near what is allowed.
            let near = source[0] & 1 == 1;
            let [a, b, c, d] = if near { [10, 0, source[2] & 3, source[3] & 3] } else { source };
            let address = Ipv4Addr::new(a, b, c, d);
            let allowed = match station {
                1 => (a, b, c, d) == (10, 0, 0, 1) || (a, b, c) == (10, 0, 1) || address.is_unspecified(),
                2 => (a, b, c) == (10, 0, 2) || address.is_unspecified(),
                _ => false,
            };
            let sent = |ethertype, packet: &[u8]| {
                let mut f = frame(&tags, ethertype, packet);
                f[6..12].copy_from_slice(&mac.0);
                allows(&bound, &f, Offload::default())
            };
            prop_assert_eq!(sent(0x0800, &ipv4(address)), allowed);
            prop_assert_eq!(sent(0x0806, &arp(mac, address)), allowed);
            prop_assert!(!sent(0x0806, &arp(Mac([2, 0, 0, 0, 0, 9]), address)));
            let link_local = sent(0x86dd, &ipv6(link_local(mac), &[], 17, &[0; 8]));
            prop_assert_eq!(link_local, [1, 2].contains(&station));
            prop_assert!(!sent(0x8847, &ipv4(address)));
        }

        #[test]
        fn no_checksum_is_written_outside_a_transport_header(start: u16, at: u16, tags in tags()) {
            let header = NetHeader {
                flags: HEADER_NEEDS_CHECKSUM, checksum_start: start, checksum_offset: at, ..NetHeader::default()
            };
            let bytes = frame(&tags, 0x0800, &ipv4([10, 0, 0, 1].into()));
            let transport = ETHERNET + tags.len() * 4 + 20;
            let right = usize::from(start) == transport && at == 6;
            prop_assert_eq!(passes(&bytes, Offload::from_header(&header).unwrap()), right);
            let header = NetHeader { checksum_start: transport as u16, checksum_offset: 6, ..header };
            prop_assert!(passes(&bytes, Offload::from_header(&header).unwrap()));
        }

        #[test]
        fn any_bytes_are_decided_on(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            passes(&bytes, Offload::default());
        }
    }

    #[test]
    fn what_cannot_be_parsed_is_refused() {
        // RARP, MPLS, PPPoE, a length instead of a type, nothing after a tag.
        for ethertype in [0x8035, 0x8847, 0x8864, 0x0026, 0x8100] {
            assert!(!passes(&frame(&[], ethertype, &ipv4([10, 0, 0, 1].into())[..2]), Offload::default()));
        }
        // The home address option names another source (RFC 6275).
        let mut p = ipv6("fd00::1".parse().unwrap(), &[60], 17, &[0; 8]);
        p[42..46].copy_from_slice(&[201, 2, 0, 0]);
        assert!(!passes(&frame(&[], 0x86dd, &p), Offload::default()));
    }
}
