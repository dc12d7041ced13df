//! ARP for IPv4 over Ethernet (RFC 826).

use super::{ETHERNET, ETHERTYPE_ARP, ETHERTYPE_RARP, Mac, be16};
use std::net::Ipv4Addr;

/// Bytes of an ARP packet with its Ethernet header.
pub const LENGTH: usize = ETHERNET + 28;

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// A request, or an answer.
    pub request: bool,
    /// Who sends it.
    pub sender: (Mac, Ipv4Addr),
    /// Whom it is about.
    pub target: (Mac, Ipv4Addr),
}

impl Arp {
    /// Reads one.
    pub fn parse(head: &[u8]) -> Option<Self> {
        Self::parse_body(head.get(ETHERNET..)?)
    }

    /// Reads one that begins with the packet.
    pub fn parse_body(packet: &[u8]) -> Option<Self> {
        let a: &[u8; 28] = packet.first_chunk()?;
        let operation = be16(a, 6);
        if a[..6] != [0, 1, 8, 0, 6, 4] || !matches!(operation, 1 | 2) {
            return None;
        }
        let mac = |at: usize| Mac([a[at], a[at + 1], a[at + 2], a[at + 3], a[at + 4], a[at + 5]]);
        let ip = |at: usize| Ipv4Addr::new(a[at], a[at + 1], a[at + 2], a[at + 3]);
        Some(Self { request: operation == 1, sender: (mac(8), ip(14)), target: (mac(18), ip(24)) })
    }

    /// Writes one as an Ethernet frame.
    pub fn emit(&self, source: Mac, destination: Mac) -> [u8; LENGTH] {
        let mut f = [0; LENGTH];
        f[..6].copy_from_slice(&destination.0);
        f[6..12].copy_from_slice(&source.0);
        f[12..14].copy_from_slice(&ETHERTYPE_ARP.to_be_bytes());
        f[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        f[21] = if self.request { 1 } else { 2 };
        f[22..28].copy_from_slice(&self.sender.0.0);
        f[28..32].copy_from_slice(&self.sender.1.octets());
        f[32..38].copy_from_slice(&self.target.0.0);
        f[38..42].copy_from_slice(&self.target.1.octets());
        f
    }

    /// The answer to a request: `mac` has the address that is asked for.
    pub fn answer(&self, mac: Mac) -> Self {
        Self { request: false, sender: (mac, self.target.1), target: self.sender }
    }
}

/// A reverse ARP request (RFC 903) by which a station's bridges learn where it is: who has this Ethernet address?
pub fn reverse_request(mac: Mac) -> [u8; 60] {
    let mut f = [0; 60];
    f[..6].copy_from_slice(&Mac::BROADCAST.0);
    f[6..12].copy_from_slice(&mac.0);
    f[12..14].copy_from_slice(&ETHERTYPE_RARP.to_be_bytes());
    f[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 3]);
    f[22..28].copy_from_slice(&mac.0);
    f[32..38].copy_from_slice(&mac.0);
    f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let (a, b) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let question = Arp {
            request: true,
            sender: (a, Ipv4Addr::new(10, 0, 0, 1)),
            target: (Mac::ZERO, Ipv4Addr::new(10, 0, 0, 2)),
        };
        assert_eq!(Arp::parse(&question.emit(a, Mac::BROADCAST)), Some(question));
        let answer = question.answer(b);
        assert_eq!(answer.sender, (b, Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(Arp::parse(&answer.emit(b, a)), Some(answer));
    }

    #[test]
    fn what_is_no_arp_is_not_parsed() {
        assert_eq!(Arp::parse(&[0; 60]), None);
        assert_eq!(Arp::parse(&[0; 20]), None);
    }
}
