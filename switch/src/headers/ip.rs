//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, as far as hashing, segmenting and anti-spoofing look.

use super::{ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, be16, is_tag};

/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMPv6.
pub const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;
/// The home address option of a destination options header.
const HOME_ADDRESS: u8 = 201;

/// Where a packet's headers are, in bytes from the start of the Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whether it is IPv6.
    pub ipv6: bool,
    /// Where the IP header begins.
    pub network: usize,
    /// Protocol of what follows the IP header.
    pub protocol: u8,
    /// Where that begins.
    pub transport: usize,
    /// Whether it is a fragment: only the first one has ports.
    pub fragment: bool,
}

impl Layout {
    /// Reads the IP header of a frame, behind its tags if it has some. IPv6 extension headers are not looked behind.
    #[inline]
    pub fn of(head: &[u8]) -> Option<Self> {
        let mut network = ETHERNET;
        while is_tag(be16(head, network - 2)) {
            network += 4;
        }
        let ip = head.get(network..)?;
        match be16(head, network - 2) {
            ETHERTYPE_IPV4 => {
                let first = *ip.first()?;
                let length = usize::from(first & 0xf) * 4;
                if first >> 4 != 4 || length < 20 || ip.len() < length {
                    return None;
                }
                // More fragments, or an offset.
                let fragment = be16(ip, 6) & 0x3fff != 0;
                Some(Self { ipv6: false, network, protocol: ip[9], transport: network + length, fragment })
            }
            ETHERTYPE_IPV6 => {
                if ip.len() < 40 || ip[0] >> 4 != 6 {
                    return None;
                }
                let (protocol, transport) = (ip[6], network + 40);
                Some(Self { ipv6: true, network, protocol, transport, fragment: false })
            }
            _ => None,
        }
    }

    /// The addresses: source, destination.
    #[inline]
    pub fn addresses<'a>(&self, head: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let ip = &head[self.network..self.transport];
        if self.ipv6 { (&ip[8..24], &ip[24..40]) } else { (&ip[12..16], &ip[16..20]) }
    }

    /// The four bytes of both ports, where every packet of the flow has some: fragments do not.
    #[inline]
    pub fn ports<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        if self.fragment || !matches!(self.protocol, TCP | UDP) {
            return None;
        }
        head.get(self.transport..self.transport + 4)
    }
}

/// Extension headers of an IPv6 packet (RFC 8200 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// Protocol of what follows them.
    pub protocol: u8,
    /// Where that begins, bytes from the start of the IPv6 header.
    pub transport: usize,
    /// Whether there is a fragment header.
    pub fragment: bool,
    /// Whether it is a fragment that is not the first: `protocol` is not at `transport`.
    pub later_fragment: bool,
}

impl Extensions {
    /// Reads all of them, to the end. `None` if one is cut off, if there are two fragment headers, or if one names
    /// another source than the IPv6 header (a home address, RFC 6275).
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut e = Self { protocol: *packet.get(6)?, transport: 40, fragment: false, later_fragment: false };
        while !e.later_fragment {
            let header = packet.get(e.transport..).unwrap_or_default();
            let length = match e.protocol {
                HOP_BY_HOP | ROUTING | OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 => {
                    (usize::from(*header.get(1)?) + 1) * 8
                }
                AUTHENTICATION => (usize::from(*header.get(1)?) + 2) * 4,
                FRAGMENT => 8,
                _ => return Some(e),
            };
            let header = header.get(..length)?;
            if e.protocol == OPTIONS && has_home_address(&header[2..])? {
                return None;
            }
            if e.protocol == FRAGMENT {
                if e.fragment {
                    return None;
                }
                (e.fragment, e.later_fragment) = (true, be16(header, 2) & 0xfff8 != 0);
            }
            e.protocol = header[0];
            e.transport += length;
        }
        Some(e)
    }
}

/// Whether one of the options of a destination options header is a home address.
fn has_home_address(mut options: &[u8]) -> Option<bool> {
    while let Some(&kind) = options.first() {
        if kind == HOME_ADDRESS {
            return Some(true);
        }
        // Pad1 has no length.
        let length = if kind == 0 { 1 } else { 2 + usize::from(*options.get(1)?) };
        options = options.get(length..)?;
    }
    Some(false)
}
