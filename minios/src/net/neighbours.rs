//! Learns neighbours from what reaches the guest.
//!
//! A switch may answer ARP for a guest, which then never hears the solicitation that would tell it its peer's address. It
//! takes that from the first packet instead: smoltcp is shown an answer (RFC 826, RFC 4861 section 4.4) that says what the
//! packet's addresses say, and then the packet. Only packets to the guest itself from its own subnet teach, only where
//! nothing is known yet: an answer of the peer itself always goes before.
//!
//! TCP, which smoltcp does not carry, finds its next hops here, and asks for those that are not known.

use abi::boot::NetDevice;
use alloc::vec::Vec;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr, IpProtocol, Ipv4Address, Ipv4Cidr, Ipv4Packet, Ipv6Address,
    Ipv6Cidr, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

/// Neighbours that smoltcp knows at the most.
const ENTRIES: usize = smoltcp::config::IFACE_NEIGHBOR_CACHE_COUNT;
/// How long a neighbour is known that nothing is heard from: a little less than in smoltcp, which is never thought to know
/// one that it has forgotten.
const LIFETIME: Duration = Duration::from_secs(59);

struct Neighbour {
    ip: IpAddress,
    mac: EthernetAddress,
    /// When it was heard of last.
    last_heard: Instant,
}

/// A neighbour that was not heard of for so long is not sent to any more; meanwhile it is asked.
const STALE: Duration = Duration::from_secs(90);
/// How often one is asked.
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(1);
/// Neighbours that are asked at a time.
const SOLICITATIONS_MAXIMUM: usize = 32;

/// Where packets to an address go first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// The neighbour's address, if it is known.
    pub mac: Option<EthernetAddress>,
    /// A frame that asks for it, to be sent.
    pub solicitation: Option<Vec<u8>>,
}

/// What smoltcp knows, and what it is to be told.
pub(super) struct Neighbours {
    mac: EthernetAddress,
    ipv4: Option<Ipv4Cidr>,
    ipv6: Option<Ipv6Cidr>,
    /// The gateways of both.
    gateways: [Option<IpAddress>; 2],
    /// Who was asked, and when.
    pending: Vec<(IpAddress, Instant)>,
    known: Vec<Neighbour>,
    /// Who has answered since [`Neighbours::resolved`] was called last.
    answered: Option<IpAddress>,
}

impl Neighbours {
    pub fn new(info: &NetDevice) -> Self {
        let (ipv4, ipv6) = (Ipv4Address::from(info.ipv4), Ipv6Address::from(info.ipv6));
        let gateways: [IpAddress; 2] =
            [Ipv4Address::from(info.ipv4_gateway).into(), Ipv6Address::from(info.ipv6_gateway).into()];
        Self {
            gateways: gateways.map(|gateway| Some(gateway).filter(|gateway| !gateway.is_unspecified())),
            pending: Vec::with_capacity(SOLICITATIONS_MAXIMUM),
            mac: EthernetAddress(info.mac),
            ipv4: (!ipv4.is_unspecified()).then(|| Ipv4Cidr::new(ipv4, info.ipv4_prefix.min(32))),
            ipv6: (!ipv6.is_unspecified()).then(|| Ipv6Cidr::new(ipv6, info.ipv6_prefix.min(128))),
            known: Vec::with_capacity(ENTRIES),
            answered: None,
        }
    }

    /// Who has answered a solicitation since this was asked last, and was not known.
    pub fn resolved(&mut self) -> Option<IpAddress> {
        self.answered.take()
    }

    /// Where packets to an address go first; `None`: nowhere.
    pub fn hop(&mut self, to: IpAddress, now: Instant) -> Option<Hop> {
        let gateway = self.gateways[usize::from(matches!(to, IpAddress::Ipv6(_)))];
        let to = if self.is_on_link(to) { to } else { gateway? };
        let known = self.known.iter().find(|n| n.ip == to && now < n.last_heard + STALE);
        let mac = known.map(|n| n.mac);
        if known.is_some_and(|n| now < n.last_heard + LIFETIME) {
            return Some(Hop { mac, solicitation: None });
        }
        self.pending.retain(|(_, at)| now < *at + SOLICITATION_INTERVAL);
        let quiet =
            self.pending.len() >= SOLICITATIONS_MAXIMUM || self.pending.iter().any(|(ip, _)| *ip == to);
        let solicitation = if quiet { None } else { self.solicitation(to) };
        if solicitation.is_some() {
            self.pending.push((to, now));
        }
        Some(Hop { mac, solicitation })
    }

    /// Asks a neighbour for its address (RFC 826, RFC 4861 section 4.3).
    fn solicitation(&self, to: IpAddress) -> Option<Vec<u8>> {
        match to {
            IpAddress::Ipv4(ip) => {
                let request = ArpRepr::EthernetIpv4 {
                    operation: ArpOperation::Request,
                    source_hardware_addr: self.mac,
                    source_protocol_addr: self.ipv4?.address(),
                    target_hardware_addr: EthernetAddress([0; 6]),
                    target_protocol_addr: ip,
                };
                let ends = (self.mac, EthernetAddress::BROADCAST);
                let mut bytes = self.frame(ends, EthernetProtocol::Arp, request.buffer_len())?;
                let mut frame = EthernetFrame::new_unchecked(&mut bytes);
                request.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
                Some(bytes)
            }
            IpAddress::Ipv6(ip) => {
                let own = self.ipv6?.address();
                let asks = NdiscRepr::NeighborSolicit { target_addr: ip, lladdr: Some(self.mac.into()) };
                let [.., a, b, c] = ip.octets();
                let group = Ipv6Address::new(
                    0xff02,
                    0,
                    0,
                    0,
                    0,
                    1,
                    0xff00 | u16::from(a),
                    u16::from_be_bytes([b, c]),
                );
                let ends = (self.mac, EthernetAddress([0x33, 0x33, 0xff, a, b, c]));
                self.discovery(ends, (own, group), asks)
            }
        }
    }

    /// Looks at a frame that has come. What smoltcp is to be shown before it, if it has to know its sender to answer.
    pub fn input(&mut self, frame: &[u8], now: Instant) -> Option<Vec<u8>> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        if frame.ethertype() != EthernetProtocol::Arp && frame.dst_addr() != self.mac {
            return None;
        }
        let from = frame.src_addr();
        match frame.ethertype() {
            EthernetProtocol::Arp => {
                let arp = ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).ok()?).ok()?;
                let ArpRepr::EthernetIpv4 {
                    source_hardware_addr,
                    source_protocol_addr,
                    target_protocol_addr,
                    ..
                } = arp
                else {
                    return None;
                };
                if target_protocol_addr == self.ipv4?.address()
                    && self.is_on_link(source_protocol_addr.into())
                {
                    self.confirm(source_protocol_addr.into(), source_hardware_addr, now);
                }
                None
            }
            EthernetProtocol::Ipv4 => {
                let source = Ipv4Packet::new_checked(frame.payload()).ok()?.src_addr();
                self.learn(source.into(), from, now).then(|| self.arp(source, from)).flatten()
            }
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
                let source = packet.src_addr();
                if packet.next_header() == IpProtocol::Icmpv6
                    && packet.hop_limit() == 255
                    && matches!(packet.payload().first(), Some(135 | 136))
                {
                    // It says itself who it is.
                    if self.is_on_link(source.into()) {
                        self.confirm(source.into(), from, now);
                    }
                    return None;
                }
                self.learn(source.into(), from, now).then(|| self.advertisement(source, from)).flatten()
            }
            _ => None,
        }
    }

    fn is_on_link(&self, ip: IpAddress) -> bool {
        let subnet = match ip {
            IpAddress::Ipv4(_) => self.ipv4.map(IpCidr::Ipv4),
            IpAddress::Ipv6(_) => self.ipv6.map(IpCidr::Ipv6),
        };
        ip.is_unicast() && subnet.is_some_and(|s| s.contains_addr(&ip) && s.address() != ip)
    }

    /// A neighbour has told its address to smoltcp as well.
    fn confirm(&mut self, ip: IpAddress, mac: EthernetAddress, now: Instant) {
        if !mac.is_unicast() {
            return;
        }
        // Nothing waits for one that was known.
        if !self.known.iter().any(|n| n.ip == ip && now < n.last_heard + LIFETIME) {
            self.answered = Some(ip);
        }
        self.record(ip, mac, now);
    }

    /// Whether smoltcp has to be told of a packet's sender.
    fn learn(&mut self, ip: IpAddress, mac: EthernetAddress, now: Instant) -> bool {
        let known = self.known.iter_mut().find(|n| n.ip == ip && now < n.last_heard + LIFETIME);
        if let Some(known) = known {
            if known.mac == mac {
                known.last_heard = now;
            }
            return false;
        }
        let is_new = mac.is_unicast() && self.is_on_link(ip);
        if is_new {
            self.record(ip, mac, now);
        }
        is_new
    }

    /// Writes a neighbour down, in place of the one that was not heard of for longest if there is no room: as smoltcp
    /// does.
    fn record(&mut self, ip: IpAddress, mac: EthernetAddress, now: Instant) {
        self.known.retain(|n| n.ip != ip);
        if self.known.len() >= ENTRIES {
            let oldest = self.known.iter().enumerate().min_by_key(|(_, n)| n.last_heard).map(|(at, _)| at);
            oldest.map(|at| self.known.swap_remove(at));
        }
        self.known.push(Neighbour { ip, mac, last_heard: now });
    }

    /// A frame with room for so many bytes behind its header, if there is memory for it.
    fn frame(
        &self,
        (from, to): (EthernetAddress, EthernetAddress),
        ethertype: EthernetProtocol,
        length: usize,
    ) -> Option<Vec<u8>> {
        let header = EthernetRepr { src_addr: from, dst_addr: to, ethertype };
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(header.buffer_len() + length).ok()?;
        bytes.resize(header.buffer_len() + length, 0);
        header.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
        Some(bytes)
    }

    /// An ARP reply of that neighbour.
    fn arp(&self, ip: Ipv4Address, mac: EthernetAddress) -> Option<Vec<u8>> {
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: mac,
            source_protocol_addr: ip,
            target_hardware_addr: self.mac,
            target_protocol_addr: self.ipv4?.address(),
        };
        let mut bytes = self.frame((mac, self.mac), EthernetProtocol::Arp, reply.buffer_len())?;
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        reply.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        Some(bytes)
    }

    /// A neighbour advertisement of that neighbour.
    fn advertisement(&self, ip: Ipv6Address, mac: EthernetAddress) -> Option<Vec<u8>> {
        let told = NdiscRepr::NeighborAdvert {
            flags: NdiscNeighborFlags::SOLICITED,
            target_addr: ip,
            lladdr: Some(mac.into()),
        };
        self.discovery((mac, self.mac), (ip, self.ipv6?.address()), told)
    }

    /// A message of neighbour discovery.
    fn discovery(
        &self,
        ends: (EthernetAddress, EthernetAddress),
        (from, to): (Ipv6Address, Ipv6Address),
        message: NdiscRepr<'_>,
    ) -> Option<Vec<u8>> {
        let message = Icmpv6Repr::Ndisc(message);
        let header = Ipv6Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Icmpv6,
            payload_len: message.buffer_len(),
            hop_limit: 255,
        };
        let mut bytes =
            self.frame(ends, EthernetProtocol::Ipv6, header.buffer_len() + message.buffer_len())?;
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
        header.emit(&mut packet);
        let mut bytes_of_it = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&from, &to, &mut bytes_of_it, &ChecksumCapabilities::default());
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
    const PEER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
    const OTHER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 3]);

    fn neighbours() -> Neighbours {
        let own: Ipv6Address = "fd00::1".parse().unwrap();
        Neighbours {
            mac: OWN,
            ipv4: Some(Ipv4Cidr::new(Ipv4Address::new(10, 0, 0, 1), 24)),
            ipv6: Some(Ipv6Cidr::new(own, 64)),
            gateways: [Some(IpAddress::v4(10, 0, 0, 254)), None],
            pending: Vec::new(),
            known: Vec::new(),
            answered: None,
        }
    }

    fn packet(from: EthernetAddress, to: EthernetAddress, source: IpAddress) -> Vec<u8> {
        let (ethertype, length) = match source {
            IpAddress::Ipv4(_) => (EthernetProtocol::Ipv4, 20),
            IpAddress::Ipv6(_) => (EthernetProtocol::Ipv6, 40),
        };
        let header = EthernetRepr { src_addr: from, dst_addr: to, ethertype };
        let mut bytes = alloc::vec![0; 14 + length];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        header.emit(&mut frame);
        match source {
            IpAddress::Ipv4(source) => {
                let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
                packet.set_version(4);
                packet.set_header_len(20);
                packet.set_total_len(20);
                packet.set_src_addr(source);
            }
            IpAddress::Ipv6(source) => {
                let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
                packet.set_version(6);
                packet.set_src_addr(source);
            }
        }
        bytes
    }

    fn at(seconds: i64) -> Instant {
        Instant::from_secs(seconds)
    }

    fn ip(text: &str) -> IpAddress {
        text.parse().unwrap()
    }

    #[test]
    fn sender_of_the_first_packet_is_told_once() {
        for source in ["10.0.0.9", "fd00::9"] {
            let mut neighbours = neighbours();
            assert!(neighbours.input(&packet(PEER, OWN, ip(source)), at(1)).is_some());
            assert!(neighbours.input(&packet(PEER, OWN, ip(source)), at(2)).is_none());
            // What is known is not changed by a packet, until it is too old.
            assert!(neighbours.input(&packet(OTHER, OWN, ip(source)), at(3)).is_none());
            assert!(neighbours.input(&packet(OTHER, OWN, ip(source)), at(62)).is_some());
        }
    }

    #[test]
    fn strangers_teach_nothing() {
        let mut neighbours = neighbours();
        for source in ["10.0.1.9", "0.0.0.0", "10.0.0.1", "255.255.255.255", "fd01::9", "::", "fd00::1"] {
            assert!(neighbours.input(&packet(PEER, OWN, ip(source)), at(1)).is_none(), "{source}");
        }
        assert!(neighbours.input(&packet(PEER, EthernetAddress::BROADCAST, ip("10.0.0.9")), at(1)).is_none());
        assert!(neighbours.input(&packet(EthernetAddress::BROADCAST, OWN, ip("10.0.0.9")), at(1)).is_none());
    }

    #[test]
    fn an_answer_is_news_and_what_is_told_is_well_formed() {
        let mut neighbours = neighbours();
        let reply = neighbours.arp(Ipv4Address::new(10, 0, 0, 9), PEER).unwrap();
        assert!(neighbours.input(&reply, at(1)).is_none());
        assert_eq!(neighbours.resolved(), Some(ip("10.0.0.9")));
        assert!(neighbours.input(&packet(PEER, OWN, ip("10.0.0.9")), at(2)).is_none());
        let IpAddress::Ipv6(six) = ip("fd00::9") else { unreachable!() };
        let told = neighbours.advertisement(six, PEER).unwrap();
        assert!(neighbours.input(&told, at(1)).is_none());
        assert_eq!(neighbours.resolved(), Some(ip("fd00::9")));
        assert_eq!(neighbours.resolved(), None);
    }

    #[test]
    fn no_more_are_known_than_there_is_room_for() {
        let mut neighbours = neighbours();
        for n in 2..=250 {
            neighbours.input(&packet(PEER, OWN, IpAddress::v4(10, 0, 0, n)), at(n.into()));
        }
        assert_eq!(neighbours.known.len(), ENTRIES);
    }

    #[test]
    fn next_hops_are_asked_for_once_a_second_and_once_more_before_they_are_forgotten() {
        let mut neighbours = neighbours();
        for (to, hop) in [("10.0.0.9", "10.0.0.9"), ("192.0.2.1", "10.0.0.254"), ("fd00::9", "fd00::9")] {
            let asked = neighbours.hop(ip(to), at(10)).unwrap();
            assert!(asked.mac.is_none() && asked.solicitation.is_some(), "{to}");
            assert_eq!(neighbours.hop(ip(to), at(10)), Some(Hop { mac: None, solicitation: None }));
            assert!(neighbours.hop(ip(to), at(11)).unwrap().solicitation.is_some());
            neighbours.record(ip(hop), PEER, at(11));
            assert_eq!(neighbours.hop(ip(to), at(69)), Some(Hop { mac: Some(PEER), solicitation: None }));
            let late = neighbours.hop(ip(to), at(80)).unwrap();
            assert!(late.mac == Some(PEER) && late.solicitation.is_some());
            assert_eq!(neighbours.hop(ip(to), at(102)).unwrap().mac, None);
        }
        assert_eq!(neighbours.hop(ip("2001:db8::1"), at(1)), None, "no gateway");
    }
}
