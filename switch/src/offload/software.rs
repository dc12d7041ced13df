//! Checksums and segments done in software, for a port that cannot take the packet as it is.

use super::{Abilities, Offload};
use crate::headers::checksum::Sum;
use crate::headers::ip::{Layout, TCP};
use crate::headers::{ETHERNET, be16};

/// How a packet came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Handed on, in so many packets.
    Packets(usize),
    /// What it asks for makes no sense for what it is.
    Malformed,
}

/// Does what is left to do to a packet, so that a port with `abilities` can take it. `packet` is all of it, with
/// the tags that it has; `scratch` is memory to build segments in; each packet that comes out goes to `emit`.
pub fn finish(
    packet: &mut [u8],
    offload: Offload,
    abilities: Abilities,
    scratch: &mut Vec<u8>,
    emit: &mut dyn FnMut(&[u8], Offload),
) -> Finished {
    if offload.suits(abilities) {
        emit(packet, offload);
        return Finished::Packets(1);
    }
    match offload.segment() {
        Some(size) => cut(packet, size, scratch, emit),
        None => {
            if !fill_checksum(packet, offload) {
                return Finished::Malformed;
            }
            emit(packet, Offload::default());
            Finished::Packets(1)
        }
    }
}

/// Fills in a partial checksum: the field holds the sum of the pseudo header.
fn fill_checksum(packet: &mut [u8], offload: Offload) -> bool {
    let (start, place) = offload.checksum_place();
    // Addresses are no part of what is checksummed, nor is anything ahead of it.
    if start < Layout::of(packet).map_or(ETHERNET, |l| l.transport) {
        return false;
    }
    let Some(covered) = packet.get(start..) else {
        return false;
    };
    let mut sum = Sum::default().bytes(covered).checksum();
    // For UDP, 0 would mean that there is none; for TCP, both are the same number.
    if sum == 0 {
        sum = 0xffff;
    }
    match packet.get_mut(place..place + 2) {
        Some(field) => {
            field.copy_from_slice(&sum.to_be_bytes());
            true
        }
        None => false,
    }
}

/// Most segments of one packet: a sender that asks for more of them wants to keep the switch busy.
const SEGMENTS: usize = 512;
const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// Cuts a large TCP segment (RFC 9293) into packets of `size` bytes of payload, each with its own headers.
fn cut(packet: &[u8], size: usize, scratch: &mut Vec<u8>, emit: &mut dyn FnMut(&[u8], Offload)) -> Finished {
    let Some(layout) = Layout::of(packet).filter(|l| l.protocol == TCP && !l.fragment) else {
        return Finished::Malformed;
    };
    let tcp = layout.transport;
    let Some(offset) = packet.get(tcp + 12).map(|b| usize::from(b >> 4) * 4) else {
        return Finished::Malformed;
    };
    let headers = tcp + offset;
    // IP packets may be followed by padding.
    let network = layout.network;
    let ip_end = network
        + match layout.ipv6 {
            true => 40 + usize::from(be16(packet, network + 4)),
            false => usize::from(be16(packet, network + 2)),
        };
    // Larger than 64 KiB, a length field says nothing.
    let end = if ip_end > headers && ip_end <= packet.len() { ip_end } else { packet.len() };
    if offset < 20 || headers >= end || size == 0 || (end - headers).div_ceil(size) > SEGMENTS {
        return Finished::Malformed;
    }
    let (first, payload) = (&packet[..headers], &packet[headers..end]);
    let sequence = u32::from_be_bytes([first[tcp + 4], first[tcp + 5], first[tcp + 6], first[tcp + 7]]);
    let identification = be16(first, network + 4);
    let count = payload.len().div_ceil(size);
    for (i, part) in payload.chunks(size).enumerate() {
        scratch.clear();
        scratch.extend_from_slice(first);
        scratch.extend_from_slice(part);
        let bytes = scratch.as_mut_slice();
        let at = (i * size) as u32;
        bytes[tcp + 4..tcp + 8].copy_from_slice(&sequence.wrapping_add(at).to_be_bytes());
        if i + 1 < count {
            bytes[tcp + 13] &= !FIN_PSH;
        }
        if i > 0 {
            bytes[tcp + 13] &= !CWR;
        }
        set_lengths(bytes, layout, identification.wrapping_add(i as u16));
        set_tcp_checksum(bytes, layout);
        emit(bytes, Offload::default());
    }
    Finished::Packets(count)
}

/// Lengths, identification and header checksum of the IP header.
fn set_lengths(bytes: &mut [u8], layout: Layout, identification: u16) {
    let length = bytes.len() - layout.network;
    let ip = &mut bytes[layout.network..layout.transport];
    if layout.ipv6 {
        ip[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
        return;
    }
    ip[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    ip[4..6].copy_from_slice(&identification.to_be_bytes());
    ip[10..12].fill(0);
    let sum = Sum::default().bytes(ip).checksum();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn set_tcp_checksum(bytes: &mut [u8], layout: Layout) {
    let tcp = layout.transport;
    bytes[tcp + 16..tcp + 18].fill(0);
    let (source, destination) = layout.addresses(bytes);
    let length = (bytes.len() - tcp) as u32;
    let sum = Sum::default().bytes(source).bytes(destination).long(length).word(TCP.into());
    let sum = sum.bytes(&bytes[tcp..]).checksum();
    bytes[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::net::{GSO_NONE, GSO_TCPV4, GSO_TCPV6, HEADER_NEEDS_CHECKSUM, NetHeader};
    use proptest::prelude::*;

    fn large(ipv6: bool, payload: usize) -> Vec<u8> {
        let mut p = vec![2; 12];
        if ipv6 {
            p.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            p.extend(((20 + payload) as u16).to_be_bytes());
            p.extend([TCP, 64]);
            p.extend([0xfd; 32]);
        } else {
            p.extend([0x08, 0x00, 0x45, 0]);
            p.extend(((40 + payload) as u16).to_be_bytes());
            p.extend([0, 7, 0x40, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        }
        p.extend([0, 1, 0, 2, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0x50, 0x19, 1, 0, 0, 0, 0, 0]);
        p.extend((0..payload).map(|i| i as u8));
        p
    }

    fn offload(ipv6: bool, size: usize) -> Offload {
        let gso_type = if size == 0 {
            GSO_NONE
        } else if ipv6 {
            GSO_TCPV6
        } else {
            GSO_TCPV4
        };
        Offload::from_header(&NetHeader {
            flags: HEADER_NEEDS_CHECKSUM,
            gso_type,
            gso_size: size as u16,
            checksum_start: if ipv6 { 54 } else { 34 },
            checksum_offset: 16,
            ..NetHeader::default()
        })
        .unwrap()
    }

    fn tcp_is_right(p: &[u8]) -> bool {
        let l = Layout::of(p).unwrap();
        let (s, d) = l.addresses(p);
        let length = (p.len() - l.transport) as u32;
        let sum = Sum::default().bytes(s).bytes(d).long(length).word(6).bytes(&p[l.transport..]);
        let ip = l.ipv6 || Sum::default().bytes(&p[14..34]).folded() == 0xffff;
        sum.folded() == 0xffff && ip
    }

    proptest! {
        #[test]
        fn segments_hold_the_payload_in_order(ipv6: bool, payload in 1usize..5000, size in 10usize..2000) {
            let mut packet = large(ipv6, payload);
            let expected = packet[packet.len() - payload..].to_vec();
            let headers = packet.len() - payload;
            let (mut got, mut sequence, mut flags) = (Vec::new(), 0xffff_ff00u32, Vec::new());
            let done = finish(&mut packet, offload(ipv6, size), Abilities::default(), &mut Vec::new(), &mut |p, o| {
                assert!(o.is_nothing() && tcp_is_right(p) && p.len() <= headers + size);
                let l = Layout::of(p).unwrap().transport;
                assert_eq!(p[l + 4..l + 8], sequence.to_be_bytes());
                sequence = sequence.wrapping_add((p.len() - headers) as u32);
                flags.push(p[l + 13]);
                got.extend_from_slice(&p[headers..]);
            });
            prop_assert_eq!(done, Finished::Packets(payload.div_ceil(size)));
            prop_assert_eq!(got, expected);
            let last = flags.pop().unwrap();
            prop_assert!(last == 0x19 && flags.iter().all(|&f| f == 0x10));
        }

        #[test]
        fn any_bytes_are_taken(mut packet in proptest::collection::vec(any::<u8>(), 0..200), flags: u8, gso: u8, size: u16, start: u16, at: u16) {
            let h = NetHeader { flags, gso_type: gso, gso_size: size, checksum_start: start, checksum_offset: at, ..NetHeader::default() };
            if let Some(o) = Offload::from_header(&h) {
                finish(&mut packet, o, Abilities::default(), &mut Vec::new(), &mut |_, _| {});
            }
        }
    }

    #[test]
    fn a_large_packet_with_tags_is_cut() {
        for tags in [&[0x81, 0, 0, 5][..], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 5]] {
            for ipv6 in [false, true] {
                let plain = large(ipv6, 3000);
                let mut packet = [&plain[..12], tags, &plain[12..]].concat();
                let (mut count, able) = (0, Abilities::default());
                let mut large = offload(ipv6, 1000);
                large.shift(tags.len() as i32);
                let done = finish(&mut packet, large, able, &mut Vec::new(), &mut |p, _| {
                    assert_eq!(&p[12..12 + tags.len()], tags);
                    assert!(tcp_is_right(&[&p[..12], &p[12 + tags.len()..]].concat()));
                    count += 1;
                });
                assert_eq!((done, count), (Finished::Packets(3), 3));
            }
        }
    }

    #[test]
    fn a_checksum_is_written_into_no_address() {
        // Everything up to the transport header stays as it is, whatever place is asked for.
        for start in 0..60 {
            for at in 0..60 {
                let mut packet = large(false, 100);
                let before = packet.clone();
                let header = NetHeader {
                    flags: HEADER_NEEDS_CHECKSUM,
                    checksum_start: start,
                    checksum_offset: at,
                    ..NetHeader::default()
                };
                let o = Offload::from_header(&header).unwrap();
                finish(&mut packet, o, Abilities::default(), &mut Vec::new(), &mut |p, _| {
                    assert_eq!(p[..34], before[..34], "{start} {at}");
                });
            }
        }
    }

    #[test]
    fn a_partial_checksum_is_filled_in() {
        let mut packet = large(false, 100);
        let pseudo = Sum::default().bytes(&packet[26..34]).long(120).word(6).folded();
        packet[50..52].copy_from_slice(&pseudo.to_be_bytes());
        packet[24..26].fill(0);
        let ip = Sum::default().bytes(&packet[14..34]).checksum();
        packet[24..26].copy_from_slice(&ip.to_be_bytes());
        let mut right = false;
        finish(&mut packet, offload(false, 0), Abilities::default(), &mut Vec::new(), &mut |p, _| {
            right = tcp_is_right(p);
        });
        assert!(right);
    }
}
