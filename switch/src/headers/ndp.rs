//! IPv6 neighbour solicitations and advertisements (RFC 4861 sections 4.3 and 4.4).

use super::checksum::Sum;
use super::ip::ICMPV6;
use super::{ETHERNET, ETHERTYPE_IPV6, Mac, be16};
use std::net::Ipv6Addr;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Bytes of an advertisement with its link-layer option and all headers.
pub const ADVERTISEMENT_BYTES: usize = ETHERNET + 40 + 32;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A question who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified when it wants the address for itself.
    pub source: Ipv6Addr,
    /// The asker's link-layer address, from the Ethernet header.
    pub mac: Mac,
    /// The address.
    pub target: Ipv6Addr,
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    bytes.get(at..)?.first_chunk::<16>().map(|a| Ipv6Addr::from(*a))
}

/// The target of a solicitation in a frame, if it is a sound one: hop limit 255, code 0.
fn target(head: &[u8]) -> Option<Ipv6Addr> {
    let sound = be16(head, 12) == ETHERTYPE_IPV6
        && head.get(ETHERNET + 6..ETHERNET + 8) == Some(&[ICMPV6, 255])
        && head.get(ETHERNET + 40..ETHERNET + 42) == Some(&[SOLICITATION, 0]);
    if sound { address(head, ETHERNET + 48) } else { None }
}

/// Whether an ICMPv6 type is one of neighbour discovery's: router solicitation to redirect.
pub fn is_discovery(kind: u8) -> bool {
    (ROUTER_SOLICITATION..=REDIRECT).contains(&kind)
}

/// The addresses that a message of neighbour discovery names as somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The target of an advertisement or a redirect: the address that the message says something of.
    pub target: Option<Ipv6Addr>,
    /// Link-layer addresses: the sender's own, and the target's.
    pub link_layer: [Option<Mac>; 2],
}

impl Names {
    /// Reads a message from its type on, with all its options. `None` if a part is missing or an option has no length.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let fixed = match *message.first()? {
            ROUTER_SOLICITATION => 8,
            ROUTER_ADVERTISEMENT => 16,
            SOLICITATION | ADVERTISEMENT => 24,
            _ => 40,
        };
        let claims = matches!(message[0], ADVERTISEMENT | REDIRECT);
        let target = if claims { Some(address(message, 8)?) } else { None };
        let mut names = Self { target, link_layer: [None; 2] };
        let mut options = message.get(fixed..)?;
        while let [kind, length, ..] = *options {
            let (option, rest) = options.split_at_checked(usize::from(length) * 8).filter(|_| length > 0)?;
            if matches!(kind, 1 | 2) {
                let mac = Mac(*option.get(2..)?.first_chunk()?);
                let place = &mut names.link_layer[usize::from(kind - 1)];
                // Which of two a receiver takes is not known.
                if place.is_some_and(|before| before != mac) {
                    return None;
                }
                *place = Some(mac);
            }
            options = rest;
        }
        Some(names)
    }
}

impl Solicitation {
    /// Reads one.
    pub fn parse(head: &[u8]) -> Option<Self> {
        let target = target(head)?;
        let mac = Mac(*head.get(6..)?.first_chunk()?);
        Some(Self { source: address(head, ETHERNET + 8)?, mac, target })
    }

    /// The advertisement that answers it: `mac` has the address.
    pub fn answer(&self, mac: Mac) -> [u8; ADVERTISEMENT_BYTES] {
        let everyone = self.source.is_unspecified();
        let to = if everyone { ALL_NODES } else { self.source };
        let to_mac = if everyone { Mac([0x33, 0x33, 0, 0, 0, 1]) } else { self.mac };
        let mut f = [0; ADVERTISEMENT_BYTES];
        f[..6].copy_from_slice(&to_mac.0);
        f[6..12].copy_from_slice(&mac.0);
        f[12..14].copy_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
        let ip = &mut f[ETHERNET..];
        ip[0] = 0x60;
        ip[5] = 32;
        ip[6..8].copy_from_slice(&[ICMPV6, 255]);
        ip[8..24].copy_from_slice(&self.target.octets());
        ip[24..40].copy_from_slice(&to.octets());
        ip[40] = ADVERTISEMENT;
        // Solicited (unless nobody in particular asked), override.
        ip[44] = if everyone { 0x20 } else { 0x60 };
        ip[48..64].copy_from_slice(&self.target.octets());
        ip[64..66].copy_from_slice(&[2, 1]);
        ip[66..72].copy_from_slice(&mac.0);
        let sum = Sum::default().bytes(&ip[8..40]).word(32).word(ICMPV6.into()).bytes(&ip[40..72]);
        ip[42..44].copy_from_slice(&sum.checksum().to_be_bytes());
        f
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_sound_advertisement() {
        let question = Solicitation {
            source: "fd00::1".parse().unwrap(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            target: "fd00::2".parse().unwrap(),
        };
        let answer = question.answer(Mac([2, 0, 0, 0, 0, 2]));
        let names = Names::parse(&answer[ETHERNET + 40..]).unwrap();
        let mac = Mac([2, 0, 0, 0, 0, 2]);
        assert_eq!(names, Names { target: Some(question.target), link_layer: [None, Some(mac)] });
        let ip = &answer[ETHERNET..];
        let sum = Sum::default().bytes(&ip[8..40]).word(32).word(58).bytes(&ip[40..72]);
        assert_eq!(sum.folded(), 0xffff);
        assert_eq!(Solicitation::parse(&answer), None);
    }
}
