//! IPv4 and IPv6 packets made of each other (RFC 6145, with addresses of RFC 6052).

use crate::headers::{
    IPV4, IPV6, Ipv4Header, Ipv6Header, PROTOCOL_ICMP, PROTOCOL_ICMP6, PROTOCOL_TCP, PROTOCOL_UDP, adjust,
    be16, checksum, difference, four, transport_checksum6, write_ipv4,
};
use alloc::vec::Vec;

/// Extension header of fragments (RFC 8200, section 4.5).
const FRAGMENT: u8 = 44;
/// Extension headers that are passed over: hop-by-hop options, routing, destination options.
const PASSED: [u8; 3] = [0, 43, 60];
/// Smallest MTU of IPv6.
const LEAST: u32 = 1280;

/// A fragment's place, as IPv4 has it: offset in units of 8 bytes with the flag of more fragments at 0x2000; and its
/// identification.
type Place = (u16, u32);

/// The IPv6 address of an IPv4 address behind a prefix of 96 bits.
pub(super) fn embed(prefix: [u8; 16], address: [u8; 4]) -> [u8; 16] {
    let mut whole = prefix;
    whole[12..].copy_from_slice(&address);
    whole
}

/// The IPv4 address in an IPv6 address.
fn extract(address: [u8; 16]) -> [u8; 4] {
    [address[12], address[13], address[14], address[15]]
}

/// The IPv4 packet of an IPv6 packet. `None`: it has none.
pub(super) fn to_v4(packet: &[u8]) -> Option<Vec<u8>> {
    translate_to_v4(packet, false)
}

/// The IPv6 packet of an IPv4 packet, whose addresses get this prefix. `None`: it has none.
pub(super) fn to_v6(packet: &[u8], prefix: [u8; 16]) -> Option<Vec<u8>> {
    translate_to_v6(packet, prefix, false)
}

/// What lies behind extension headers: the protocol, where it begins, and the fragment's place if it is one.
fn payload(packet: &[u8], h: &Ipv6Header) -> Option<(u8, usize, Option<Place>)> {
    let (mut next, mut at, mut place) = (h.next, IPV6, None);
    loop {
        if next == FRAGMENT {
            let word = be16(packet, at + 2)?;
            let id = u32::from_be_bytes(four(packet, at + 4)?);
            place = Some((word >> 3 | (word & 1) << 13, id));
            (next, at) = (packet[at], at + 8);
        } else if PASSED.contains(&next) {
            let length = usize::from(*packet.get(at + 1)?) * 8 + 8;
            (next, at) = (packet[at], at + length);
        } else {
            return (at <= packet.len()).then_some((next, at, place));
        }
    }
}

/// `inner`: the packet that an error message quotes, which may be cut and is not looked into further.
fn translate_to_v4(packet: &[u8], inner: bool) -> Option<Vec<u8>> {
    let h = Ipv6Header::read(packet)?;
    let end = (IPV6 + h.payload).min(packet.len());
    if !inner && end < IPV6 + h.payload {
        return None;
    }
    let (protocol, at, place) = payload(&packet[..end], &h)?;
    let (source, destination) = (extract(h.source), extract(h.destination));
    let (offset, id) = place.unwrap_or((0x4000, 0));
    let first = offset & 0x1fff == 0;
    let mut segment = packet[at..end].to_vec();
    let told = (IPV6 + h.payload).checked_sub(at)?;
    let ends = ([h.source, h.destination].concat(), [source, destination].concat());
    let protocol = match protocol {
        PROTOCOL_ICMP6 if place.is_some_and(|p| p.0 != 0) => return None,
        PROTOCOL_ICMP6 => {
            segment = icmp_to_v4(&segment, inner)?;
            PROTOCOL_ICMP
        }
        PROTOCOL_TCP | PROTOCOL_UDP => {
            if first {
                patch(&mut segment, protocol, difference(&ends.0, &ends.1));
            }
            protocol
        }
        other => other,
    };
    let total = if inner && protocol != PROTOCOL_ICMP { told } else { segment.len() } + IPV4;
    let mut out = alloc::vec![0; IPV4];
    write_ipv4(&mut out, u16::try_from(total).ok()?, id as u16, protocol, source, destination);
    out[1] = packet[0] << 4 | packet[1] >> 4;
    out[6..8].copy_from_slice(&offset.to_be_bytes());
    out[8] = h.hops;
    out[10..12].fill(0);
    let sum = checksum(&out);
    out[10..12].copy_from_slice(&sum);
    out.extend(segment);
    Some(out)
}

fn translate_to_v6(packet: &[u8], prefix: [u8; 16], inner: bool) -> Option<Vec<u8>> {
    let h = Ipv4Header::read(packet)?;
    let end = h.total.min(packet.len());
    if (!inner && end < h.total) || h.total < h.header {
        return None;
    }
    let (source, destination) = (embed(prefix, h.source), embed(prefix, h.destination));
    let ends = ([h.source, h.destination].concat(), [source, destination].concat());
    let fragment = h.fragment_offset != 0 || h.more_fragments;
    let mut segment = packet.get(h.header..end)?.to_vec();
    let protocol = match h.protocol {
        PROTOCOL_ICMP if fragment => return None,
        PROTOCOL_ICMP => {
            segment = icmp_to_v6(&segment, prefix, inner)?;
            seal6(&mut segment, 2, source, destination, PROTOCOL_ICMP6);
            PROTOCOL_ICMP6
        }
        PROTOCOL_UDP if h.fragment_offset == 0 && segment.get(6..8) == Some(&[0, 0]) => {
            // IPv6 has no UDP without a checksum, which needs the whole.
            if fragment || inner {
                return None;
            }
            seal6(&mut segment, 6, source, destination, PROTOCOL_UDP);
            PROTOCOL_UDP
        }
        protocol @ (PROTOCOL_TCP | PROTOCOL_UDP) => {
            if h.fragment_offset == 0 {
                patch(&mut segment, protocol, difference(&ends.0, &ends.1));
            }
            protocol
        }
        other => other,
    };
    let told = if inner && protocol != PROTOCOL_ICMP6 { h.total - h.header } else { segment.len() };
    let extension = if fragment { 8 } else { 0 };
    let next = if fragment { FRAGMENT } else { protocol };
    if told + extension > 65535 {
        return None;
    }
    let mut out = alloc::vec![0; IPV6];
    Ipv6Header { payload: told + extension, next, hops: packet[8], source, destination }.write(&mut out);
    (out[0], out[1]) = (0x60 | packet[1] >> 4, packet[1] << 4);
    if fragment {
        let word = h.fragment_offset << 3 | u16::from(h.more_fragments);
        out.extend([protocol, 0]);
        out.extend(word.to_be_bytes());
        out.extend([0, 0, packet[4], packet[5]]);
    }
    out.extend(segment);
    Some(out)
}

/// Changes the checksum of TCP or UDP with the addresses under it.
fn patch(segment: &mut [u8], protocol: u8, by: u16) {
    let at = if protocol == PROTOCOL_TCP { 16 } else { 6 };
    let Some(sum) = segment.get_mut(at..).and_then(|s| s.first_chunk_mut::<2>()) else { return };
    if protocol == PROTOCOL_UDP && *sum == [0, 0] {
        return;
    }
    *sum = match adjust(*sum, by) {
        [0, 0] if protocol == PROTOCOL_UDP => [255, 255],
        sum => sum,
    };
}

/// Computes a checksum that lies `at` bytes behind the beginning.
fn seal6(segment: &mut [u8], at: usize, source: [u8; 16], destination: [u8; 16], protocol: u8) {
    if segment.len() < at + 2 {
        return;
    }
    segment[at..at + 2].fill(0);
    let sum = match transport_checksum6(source, destination, protocol, segment) {
        [0, 0] => [255, 255],
        sum => sum,
    };
    segment[at..at + 2].copy_from_slice(&sum);
}

/// Where a parameter problem of IPv6 points to, and where that lies in IPv4.
const POINTERS: [(u32, u8); 9] =
    [(0, 0), (1, 1), (4, 2), (5, 2), (6, 9), (7, 8), (8, 12), (24, 16), (39, 16)];

/// An ICMP message of an ICMPv6 message (RFC 6145, section 5.2).
fn icmp_to_v4(message: &[u8], inner: bool) -> Option<Vec<u8>> {
    let head: &[u8; 8] = message.first_chunk()?;
    let word = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let (kind, code, word, quotes) = match (head[0], head[1]) {
        (128, code) => (8, code, word, false),
        (129, code) => (0, code, word, false),
        _ if inner => return None,
        (1, 0 | 2 | 3) => (3, 1, 0, true),
        (1, 1) => (3, 10, 0, true),
        (1, 4) => (3, 3, 0, true),
        (2, _) => (3, 4, word.saturating_sub(20).min(65535), true),
        (3, code) => (11, code, 0, true),
        (4, 0) => {
            let (_, pointer) = POINTERS.iter().rev().find(|p| p.0 <= word)?;
            (12, 0, u32::from(*pointer) << 24, true)
        }
        (4, 1) => (3, 2, 0, true),
        _ => return None,
    };
    let mut out = alloc::vec![kind, code, 0, 0];
    out.extend(word.to_be_bytes());
    if quotes {
        out.extend(translate_to_v4(&message[8..], true)?);
    } else {
        out.extend(&message[8..]);
    }
    let sum = checksum(&out);
    out[2..4].copy_from_slice(&sum);
    Some(out)
}

/// An ICMPv6 message of an ICMP message, without its checksum (RFC 6145, section 4.2).
fn icmp_to_v6(message: &[u8], prefix: [u8; 16], inner: bool) -> Option<Vec<u8>> {
    let head: &[u8; 8] = message.first_chunk()?;
    let word = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let (kind, code, word, quotes) = match (head[0], head[1]) {
        (8, code) => (128, code, word, false),
        (0, code) => (129, code, word, false),
        _ if inner => return None,
        (3, 0 | 1 | 5..=8 | 11 | 12) => (1, 0, 0, true),
        (3, 2) => (4, 1, 6, true),
        (3, 3) => (1, 4, 0, true),
        (3, 4) => (2, 0, ((word & 0xffff) + 20).max(LEAST), true),
        (3, 9 | 10 | 13 | 15) => (1, 1, 0, true),
        (11, code) => (3, code, 0, true),
        (12, 0 | 2) => {
            let place = POINTERS.iter().find(|p| u32::from(p.1) == word >> 24)?;
            (4, 0, place.0, true)
        }
        _ => return None,
    };
    let mut out = alloc::vec![kind, code, 0, 0];
    out.extend(word.to_be_bytes());
    if quotes {
        let mut quoted = translate_to_v6(&message[8..], prefix, true)?;
        // The message is not longer than the smallest MTU.
        quoted.truncate(LEAST as usize - IPV6 - 8);
        out.extend(quoted);
    } else {
        out.extend(&message[8..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::transport_checksum;
    use proptest::prelude::*;

    const PREFIX: [u8; 16] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    /// An IPv4 packet with right checksums.
    fn packet(protocol: u8, payload: &[u8], offset: u16) -> Vec<u8> {
        let mut p = alloc::vec![0; IPV4];
        write_ipv4(&mut p, (IPV4 + payload.len()) as u16, 7, protocol, [10, 0, 0, 1], [192, 0, 2, 9]);
        p[6..8].copy_from_slice(&offset.to_be_bytes());
        p[10..12].fill(0);
        let sum = checksum(&p);
        p[10..12].copy_from_slice(&sum);
        p.extend(payload);
        let (at, icmp) = match protocol {
            PROTOCOL_TCP => (16, false),
            PROTOCOL_UDP => (6, false),
            _ => (2, true),
        };
        let segment = &mut p[IPV4..];
        segment[at..at + 2].fill(0);
        let sum = match icmp {
            true => checksum(segment),
            false => transport_checksum([10, 0, 0, 1], [192, 0, 2, 9], protocol, segment),
        };
        segment[at..at + 2].copy_from_slice(if sum == [0, 0] { &[255, 255] } else { &sum });
        p
    }

    fn seal_is_right(p: &[u8]) -> bool {
        let h = Ipv6Header::read(p).unwrap();
        transport_checksum6(h.source, h.destination, h.next, &p[IPV6..]) == [0, 0]
    }

    #[test]
    fn packets_come_back_as_they_were() {
        for (protocol, payload) in [
            (PROTOCOL_TCP, &[3, 232, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 16, 1, 0, 0, 0, 0, 0, 7, 7][..]),
            (PROTOCOL_UDP, &[3, 232, 0, 53, 0, 11, 0, 0, 1, 2, 3]),
            (PROTOCOL_ICMP, &[8, 0, 0, 0, 0, 1, 0, 2, 5, 5, 5]),
        ] {
            let mut there = packet(protocol, payload, 0x4000);
            there[4..6].fill(0);
            there[10..12].fill(0);
            let sum = checksum(&there[..IPV4]);
            there[10..12].copy_from_slice(&sum);
            let six = to_v6(&there, PREFIX).unwrap();
            assert!(seal_is_right(&six), "{protocol}");
            assert_eq!(to_v4(&six).unwrap(), there, "{protocol}");
        }
    }

    #[test]
    fn fragments_keep_their_place() {
        let fragment = packet(PROTOCOL_UDP, &[1; 24], 0x2000 | 5);
        let six = to_v6(&fragment, PREFIX).unwrap();
        assert_eq!((six[6], &six[40..48]), (FRAGMENT, &[17, 0, 0, 41, 0, 0, 0, 7][..]));
        assert_eq!(to_v4(&six).unwrap(), fragment);
    }

    #[test]
    fn errors_quote_translated_packets() {
        let quoted = packet(PROTOCOL_UDP, &[3, 232, 0, 53, 0, 11, 9, 9, 1, 2, 3], 0x4000);
        let mut message = alloc::vec![3, 4, 0, 0, 0, 0, 5, 0];
        message.extend(&quoted);
        let six = to_v6(&packet(PROTOCOL_ICMP, &message, 0x4000), PREFIX).unwrap();
        assert!(seal_is_right(&six));
        assert_eq!((six[40], six[41], &six[44..48]), (2, 0, &1300u32.to_be_bytes()[..]));
        assert_eq!(Ipv6Header::read(&six[48..]).unwrap().next, PROTOCOL_UDP);
        let four = to_v4(&six).unwrap();
        assert_eq!((four[20], four[21], checksum(&four[20..])), (3, 4, [0, 0]));
        assert_eq!(&four[24..28], &[0, 0, 5, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_translated(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in any::<bool>()) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = if version { 0x45 } else { 0x60 };
            }
            let _ = (to_v4(&bytes), to_v6(&bytes, PREFIX));
        }
    }
}
