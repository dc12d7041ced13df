//! Flows: which packets belong together, and what becomes of them.

use super::sequence::Sequences;
use crate::args::{Ipv4, Names, parse_number};
use crate::element::Nanos;
use crate::headers::{Ipv4Header, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, adjust, difference, seal_zeros};
use crate::packet::Packet;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

/// What packets of one direction have in common: addresses, ports, protocol. What a rewriter does not look at is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowId {
    /// Source and destination address.
    addresses: u64,
    /// Source port, destination port, protocol.
    rest: u64,
}

impl FlowId {
    #[inline]
    pub(crate) fn new(source: ([u8; 4], u16), destination: ([u8; 4], u16), protocol: u8) -> Self {
        let addresses =
            u64::from(u32::from_be_bytes(source.0)) << 32 | u64::from(u32::from_be_bytes(destination.0));
        Self {
            addresses,
            rest: u64::from(source.1) << 24 | u64::from(destination.1) << 8 | u64::from(protocol),
        }
    }

    #[inline]
    pub(crate) fn source(self) -> ([u8; 4], u16) {
        (((self.addresses >> 32) as u32).to_be_bytes(), (self.rest >> 24) as u16)
    }

    #[inline]
    pub(crate) fn destination(self) -> ([u8; 4], u16) {
        ((self.addresses as u32).to_be_bytes(), (self.rest >> 8) as u16)
    }

    #[inline]
    pub(crate) fn protocol(self) -> u8 {
        self.rest as u8
    }

    /// That of the answers.
    #[inline]
    pub(crate) fn reverse(self) -> Self {
        Self::new(self.destination(), self.source(), self.protocol())
    }

    /// A number that those who do not know the seed cannot make equal for many flows.
    #[inline]
    pub(super) fn hash(self, seed: [u64; 2]) -> u64 {
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        fold(fold(self.addresses ^ seed[0], 0x9e37_79b9_7f4a_7c15) ^ seed[1], self.rest ^ seed[0] | 1 << 63)
    }

    /// `SADDR SPORT DADDR DPORT`
    pub(super) fn parse(text: &str, protocol: u8, names: &Names) -> Result<Self, String> {
        let words: alloc::vec::Vec<&str> = text.split_whitespace().collect();
        let port = |text: &str| parse_number(text).and_then(|n| u16::try_from(n).ok());
        let side = |address: &str, number: &str| Some((names.ipv4(address)?, port(number)?));
        match words[..] {
            [sa, sp, da, dp] => side(sa, sp).zip(side(da, dp)).map(|(s, d)| Self::new(s, d, protocol)),
            _ => None,
        }
        .ok_or_else(|| alloc::format!("expected 'SADDR SPORT DADDR DPORT', not '{text}'"))
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((sa, sp), (da, dp)) = (self.source(), self.destination());
        write!(f, "({}, {sp}, {}, {dp})", Ipv4(sa), Ipv4(da))
    }
}

/// What a rewriter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Addresses and ports of TCP and UDP, with timeouts for each.
    Ip,
    /// The same with sequence numbers, for TCP alone.
    Tcp,
    /// Addresses and ports, with one timeout.
    Udp,
    /// Addresses and identifiers of ICMP echo requests and answers.
    Ping,
    /// One address: the source of a flow, the destination of its answers.
    Address,
    /// Both addresses.
    Addresses,
}

impl Kind {
    /// The flow of a packet; `None`: it has none that is looked at.
    #[inline]
    pub(super) fn flow(self, data: &[u8], h: &Ipv4Header) -> Option<FlowId> {
        match self {
            Kind::Address | Kind::Addresses => {
                return Some(FlowId::new((h.source, 0), (h.destination, 0), 0));
            }
            _ if h.fragment_offset != 0 => return None,
            Kind::Ping => {
                let icmp: &[u8; 8] = data.get(h.header..)?.first_chunk()?;
                let identifier = u16::from_be_bytes([icmp[4], icmp[5]]);
                let (source, destination) = match icmp[0] {
                    _ if h.protocol != PROTOCOL_ICMP => return None,
                    8 => (identifier, 0),
                    0 => (0, identifier),
                    _ => return None,
                };
                return Some(FlowId::new((h.source, source), (h.destination, destination), PROTOCOL_ICMP));
            }
            Kind::Ip | Kind::Udp if matches!(h.protocol, PROTOCOL_TCP | PROTOCOL_UDP) => {}
            Kind::Tcp if h.protocol == PROTOCOL_TCP => {}
            _ => return None,
        }
        let least = if h.protocol == PROTOCOL_TCP { 20 } else { 8 };
        let transport = data.get(h.header..).filter(|t| t.len() >= least)?;
        let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
        Some(FlowId::new((h.source, port(0)), (h.destination, port(2)), h.protocol))
    }
}

/// What has been seen of a flow, as bits.
pub(super) const DONE: [u8; 2] = [1, 2];
pub(super) const DATA: [u8; 2] = [4, 8];
/// Where one timeout is for all, and UDP: an answer was seen, and three packets.
pub(super) const STREAMING: u8 = 16;

/// A flow and its answers.
#[derive(Debug)]
pub(super) struct Flow {
    /// What packets look like when they come in: those of the flow, and the answers.
    pub(super) ids: [FlowId; 2],
    /// When the last packet passed.
    pub(super) last: Nanos,
    /// Where it stands in the heap: when to look at it again. Another entry of the heap means nothing.
    pub(super) due: Nanos,
    /// In which heap.
    pub(super) guaranteed: bool,
    pub(super) live: bool,
    pub(super) seen: u8,
    packets: u8,
    pub(super) reply_anno: u8,
    pub(super) input: u16,
    pub(super) outputs: [u16; 2],
    /// What the change adds to checksums of the IP header and of the transport header.
    deltas: [u16; 2],
    pub(super) sequences: Option<Box<Sequences>>,
}

/// What to write into annotations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Annotations {
    pub(super) destination: bool,
    pub(super) reply: Option<usize>,
}

impl Flow {
    pub(super) fn new(
        kind: Kind,
        from: FlowId,
        to: FlowId,
        input: usize,
        outputs: [usize; 2],
        now: Nanos,
    ) -> Self {
        let ((sa, sp), (da, dp)) = (from.source(), from.destination());
        let ((sa2, sp2), (da2, dp2)) = (to.source(), to.destination());
        let addresses = match kind {
            Kind::Address => difference(&sa, &sa2),
            _ => difference(&[sa, da].concat(), &[sa2, da2].concat()),
        };
        let ports = |a: u16, b: u16, c: u16, d: u16| {
            difference(
                &[a.to_be_bytes(), b.to_be_bytes()].concat(),
                &[c.to_be_bytes(), d.to_be_bytes()].concat(),
            )
        };
        let transport = match kind {
            // The identifier; addresses are not under the checksum.
            Kind::Ping => ports(sp, 0, sp2, 0),
            _ => {
                let sum = u32::from(addresses) + u32::from(ports(sp, dp, sp2, dp2));
                (sum & 0xffff) as u16 + (sum >> 16) as u16
            }
        };
        Self {
            ids: [from, to.reverse()],
            last: now,
            due: 0,
            guaranteed: false,
            live: true,
            seen: 0,
            packets: 0,
            reply_anno: 0,
            input: input as u16,
            outputs: outputs.map(|o| o as u16),
            deltas: [addresses, transport],
            sequences: None,
        }
    }

    /// What packets of a direction look like when they leave.
    #[inline]
    pub(super) fn rewritten(&self, direction: usize) -> FlowId {
        self.ids[1 - direction].reverse()
    }

    /// Rewrites a packet of a direction, whose IP header begins at `at`.
    #[inline]
    pub(super) fn apply(
        &mut self,
        kind: Kind,
        packet: &mut Packet,
        at: usize,
        h: &Ipv4Header,
        direction: usize,
        annotations: Annotations,
    ) {
        let to = self.rewritten(direction);
        let ((source, sport), (destination, dport)) = (to.source(), to.destination());
        let delta = |i: usize| if direction == 0 { self.deltas[i] } else { !self.deltas[i] };
        let (ip_delta, delta) = (delta(0), delta(1));
        let unchanged = self.deltas == [0, 0];
        let data = &mut packet.data_mut()[at..];
        let (ip, transport) = data.split_at_mut(h.header);
        match (kind, direction) {
            (Kind::Address, 0) => ip[12..16].copy_from_slice(&source),
            (Kind::Address, _) => ip[16..20].copy_from_slice(&destination),
            _ => {
                ip[12..16].copy_from_slice(&source);
                ip[16..20].copy_from_slice(&destination);
            }
        }
        if !unchanged {
            let sum = adjust([ip[10], ip[11]], ip_delta);
            (ip[10], ip[11]) = (sum[0], sum[1]);
        }
        if h.fragment_offset == 0 {
            let with_ports = !matches!(kind, Kind::Address | Kind::Addresses);
            match h.protocol {
                PROTOCOL_TCP if transport.len() >= 20 => {
                    if with_ports {
                        transport[0..2].copy_from_slice(&sport.to_be_bytes());
                        transport[2..4].copy_from_slice(&dport.to_be_bytes());
                    }
                    if !unchanged {
                        let sum = adjust([transport[16], transport[17]], delta);
                        (transport[16], transport[17]) = (sum[0], sum[1]);
                    }
                    // A rewriter with one timeout for all looks at packets alone.
                    match kind {
                        Kind::Udp => self.see_udp(direction),
                        _ => self.see_tcp(transport, h, direction),
                    }
                    if let Some(sequences) = self.sequences.as_deref_mut() {
                        sequences.apply(transport, direction);
                    }
                }
                PROTOCOL_UDP if transport.len() >= 8 => {
                    if with_ports {
                        transport[0..2].copy_from_slice(&sport.to_be_bytes());
                        transport[2..4].copy_from_slice(&dport.to_be_bytes());
                    }
                    // 0 is no checksum.
                    if !unchanged && transport[6..8] != [0, 0] {
                        let sum = adjust([transport[6], transport[7]], delta);
                        let sum = if sum == [0, 0] { [255, 255] } else { sum };
                        (transport[6], transport[7]) = (sum[0], sum[1]);
                    }
                    self.see_udp(direction);
                }
                PROTOCOL_ICMP if kind == Kind::Ping && transport.len() >= 8 => {
                    let identifier = if direction == 0 { sport } else { dport };
                    transport[4..6].copy_from_slice(&identifier.to_be_bytes());
                    if !unchanged {
                        let sum = adjust([transport[2], transport[3]], delta);
                        (transport[2], transport[3]) = (sum[0], sum[1]);
                        seal_zeros(transport);
                    }
                }
                _ => {}
            }
        }
        if annotations.destination {
            let to = if kind == Kind::Address && direction == 0 { h.destination } else { destination };
            packet.set_destination(to);
        }
        if let Some(byte) = annotations.reply.filter(|_| direction == 1) {
            packet.user()[byte] = self.reply_anno;
        }
    }

    #[inline]
    fn see_tcp(&mut self, tcp: &[u8], h: &Ipv4Header, direction: usize) {
        let flags = tcp[13];
        let data = h.total > h.header + usize::from(tcp[12] >> 4) * 4;
        if flags & 4 != 0 {
            self.seen |= DONE[0] | DONE[1];
        } else if flags & 1 != 0 {
            self.seen |= DONE[direction];
        } else if flags & 2 != 0 || data {
            self.seen &= !DONE[direction];
        }
        if data {
            self.seen |= DATA[direction];
        }
    }

    #[inline]
    fn see_udp(&mut self, direction: usize) {
        self.packets = self.packets.saturating_add(1);
        self.seen |= DATA[direction];
        if self.packets >= 3 && self.seen & DATA[1] != 0 {
            self.seen |= STREAMING;
        }
    }
}
