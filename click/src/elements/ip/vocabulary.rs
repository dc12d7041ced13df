//! The words of filter expressions: what they are about, and where in a header that lies.

use crate::args::ICMP_TYPES;
use crate::decision::{Base, Condition};
use crate::headers::{PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Protocol(u8),
    /// `tcpudp`
    TcpOrUdp,
    /// `transp`
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    Net,
    Ethernet,
    Protocol,
    Port,
    TcpOption,
    Fragment,
    Unfragmented,
    /// ECN-capable transport.
    Ect,
    /// Congestion experienced.
    Ce,
    Number(Number),
}

/// A number in a header: where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) base: Base,
    pub(super) offset: u16,
    pub(super) mask: u32,
}

pub(super) const PROTOCOLS: &[(&str, u32)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("egp", 8),
    ("udp", 17),
    ("dccp", 33),
    ("ip6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("ospf", 89),
    ("pim", 103),
    ("sctp", 132),
];

pub(super) const TCP_OPTIONS: &[(&str, u32)] =
    &[("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32)];

/// The number of a protocol.
pub(super) fn protocol(word: &str) -> Option<u8> {
    PROTOCOLS.iter().find(|p| p.0 == word).map(|p| p.1 as u8)
}

/// The name of a protocol.
pub(super) fn protocol_name(number: u8) -> Option<&'static str> {
    PROTOCOLS.iter().find(|p| p.1 == number.into()).map(|p| p.0)
}

/// The name of an ICMP message's type.
pub(super) fn icmp_type_name(number: u8) -> Option<&'static str> {
    ICMP_TYPES.iter().find(|t| t.1 == number.into()).map(|t| t.0)
}

pub(super) const ETHERNET_DESTINATION: u16 = 0;
pub(super) const ETHERNET_SOURCE: u16 = 6;

pub(super) const fn network(offset: u16, mask: u32) -> Number {
    Number { base: Base::Network, offset, mask }
}

pub(super) const fn transport(offset: u16, mask: u32) -> Number {
    Number { base: Base::Transport, offset, mask }
}

pub(super) const PROTOCOL: Number = network(8, 0x00ff_0000);
pub(super) const FRAGMENT: Number = network(4, 0x0000_3fff);
pub(super) const FRAGMENT_OFFSET: Number = network(4, 0x0000_1fff);
pub(super) const ECN: Number = network(0, 0x0003_0000);
pub(super) const TCP_FLAGS: Number = transport(12, 0x00ff_0000);
pub(super) const ICMP_TYPE: Number = transport(0, 0xff00_0000);

/// Words that name a kind. The second: protocol that it belongs to.
pub(super) fn kind(word: &str) -> Option<(Kind, Option<u8>)> {
    let number = match word {
        "host" => return Some((Kind::Host, None)),
        "net" => return Some((Kind::Net, None)),
        "proto" => return Some((Kind::Protocol, None)),
        "port" => return Some((Kind::Port, None)),
        "opt" => return Some((Kind::TcpOption, None)),
        "frag" => return Some((Kind::Fragment, None)),
        "unfrag" => return Some((Kind::Unfragmented, None)),
        "ect" => return Some((Kind::Ect, None)),
        "ce" => return Some((Kind::Ce, None)),
        "win" => return Some((Kind::Number(transport(12, 0x0000_ffff)), Some(PROTOCOL_TCP))),
        "type" => return Some((Kind::Number(ICMP_TYPE), Some(PROTOCOL_ICMP))),
        "code" => return Some((Kind::Number(transport(0, 0x00ff_0000)), Some(PROTOCOL_ICMP))),
        "vers" => network(0, 0xf000_0000),
        "hl" => network(0, 0x0f00_0000),
        "tos" => network(0, 0x00ff_0000),
        "dscp" => network(0, 0x00fc_0000),
        "len" => network(0, 0x0000_ffff),
        "id" => network(4, 0xffff_0000),
        "sum" => network(8, 0x0000_ffff),
        "ttl" => network(8, 0xff00_0000),
        _ => return None,
    };
    Some((Kind::Number(number), None))
}

pub(super) fn payload(word: &str) -> Option<Payload> {
    match word {
        "tcpudp" => Some(Payload::TcpOrUdp),
        "transp" => Some(Payload::Any),
        _ => protocol(word).map(Payload::Protocol),
    }
}

impl Payload {
    pub(super) fn condition(self) -> Condition {
        let is = |protocol: u8| PROTOCOL.is(protocol.into());
        match self {
            Self::Protocol(protocol) => is(protocol),
            Self::TcpOrUdp => Condition::Any(alloc::vec![is(PROTOCOL_TCP), is(PROTOCOL_UDP)]),
            Self::Any => Condition::Constant(true),
        }
    }

    /// Whether it has ports.
    pub(super) fn has_ports(self) -> bool {
        matches!(self, Self::TcpOrUdp | Self::Protocol(PROTOCOL_TCP | PROTOCOL_UDP))
    }
}
