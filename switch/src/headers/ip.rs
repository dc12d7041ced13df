//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, as far as hashing, segmenting and anti-spoofing look.

use super::{ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, be16};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMPv6.
pub const ICMPV6: u8 = 58;

/// Where a packet's headers are, in bytes from the start of the Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whether it is IPv6.
    pub ipv6: bool,
    /// Protocol of what follows the IP header.
    pub protocol: u8,
    /// Where that begins.
    pub transport: usize,
    /// A fragment that is not the first: no ports.
    pub later_fragment: bool,
}

impl Layout {
    /// Reads the IP header of a frame without tag. IPv6 extension headers are not looked behind.
    #[inline]
    pub fn of(head: &[u8]) -> Option<Self> {
        match be16(head, 12) {
            ETHERTYPE_IPV4 => {
                let first = *head.get(ETHERNET)?;
                let length = usize::from(first & 0xf) * 4;
                if first >> 4 != 4 || length < 20 || head.len() < ETHERNET + length {
                    return None;
                }
                Some(Self {
                    ipv6: false,
                    protocol: head[ETHERNET + 9],
                    transport: ETHERNET + length,
                    later_fragment: be16(head, ETHERNET + 6) & 0x1fff != 0,
                })
            }
            ETHERTYPE_IPV6 => {
                if head.len() < ETHERNET + 40 || head[ETHERNET] >> 4 != 6 {
                    return None;
                }
                let (protocol, transport) = (head[ETHERNET + 6], ETHERNET + 40);
                Some(Self { ipv6: true, protocol, transport, later_fragment: false })
            }
            _ => None,
        }
    }

    /// The addresses: source, destination.
    #[inline]
    pub fn addresses<'a>(&self, head: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        if self.ipv6 { (&head[22..38], &head[38..54]) } else { (&head[26..30], &head[30..34]) }
    }

    /// The four bytes of both ports, where there are some.
    #[inline]
    pub fn ports<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        if self.later_fragment || !matches!(self.protocol, TCP | UDP) {
            return None;
        }
        head.get(self.transport..self.transport + 4)
    }
}

/// The source address of an IP packet.
pub fn source(head: &[u8]) -> Option<IpAddr> {
    let layout = Layout::of(head)?;
    address(layout.addresses(head).0)
}

/// An address from its bytes.
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}
