//! TCP segments in Ethernet frames, over IPv4 and IPv6.

use super::connection::Ends;
use super::segment::{self, Segment};
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpEndpoint, IpProtocol,
    Ipv4Packet, Ipv6Packet,
};

/// Hops that a packet may take.
const HOPS: u8 = 64;

/// The addresses of a device.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Ethernet's.
    pub mac: EthernetAddress,
    /// IPv4's and IPv6's, if there are any.
    pub ip: [Option<IpAddress>; 2],
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frame<'a> {
    /// Something else than TCP.
    Other,
    /// TCP that cannot be anybody's: to another, malformed, or in fragments, which are not put together.
    Invalid,
    /// A segment for this device, and its data.
    Segment(Ends, Segment, &'a [u8]),
}

/// Looks at a frame whose checksum of TCP is right.
pub fn parse<'a>(bytes: &'a [u8], own: &Addresses) -> Frame<'a> {
    let Ok(frame) = EthernetFrame::new_checked(bytes) else { return Frame::Other };
    let found = match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let Ok(packet) = Ipv4Packet::new_checked(&bytes[ETHERNET_HEADER_LEN..]) else {
                return Frame::Other;
            };
            if packet.next_header() != IpProtocol::Tcp {
                return Frame::Other;
            }
            let whole = !packet.more_frags() && packet.frag_offset() == 0 && packet.verify_checksum();
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            let start = ETHERNET_HEADER_LEN + usize::from(packet.header_len());
            let end = ETHERNET_HEADER_LEN + usize::from(packet.total_len());
            whole.then(|| (from, to, bytes.get(start..end)))
        }
        EthernetProtocol::Ipv6 => {
            let Ok(packet) = Ipv6Packet::new_checked(&bytes[ETHERNET_HEADER_LEN..]) else {
                return Frame::Other;
            };
            if packet.next_header() != IpProtocol::Tcp {
                return Frame::Other;
            }
            let start = ETHERNET_HEADER_LEN + packet.header_len();
            let payload = bytes.get(start..start + usize::from(packet.payload_len()));
            Some((packet.src_addr().into(), packet.dst_addr().into(), payload))
        }
        _ => return Frame::Other,
    };
    let Some((from, to, Some(payload))) = found else { return Frame::Invalid };
    let from: IpAddress = from;
    let ours = frame.dst_addr() == own.mac && own.ip.contains(&Some(to)) && from.is_unicast() && from != to;
    match Segment::parse(payload).filter(|(segment, _)| ours && segment.source != 0) {
        None => Frame::Invalid,
        Some((segment, length)) => {
            let ends = Ends {
                remote: IpEndpoint::new(from, segment.source),
                local: IpEndpoint::new(to, segment.destination),
            };
            Frame::Segment(ends, segment, &payload[length..])
        }
    }
}

/// Bytes of a frame.
pub fn length(ends: &Ends, segment: &Segment, data: usize) -> usize {
    ETHERNET_HEADER_LEN + usize::from(ends.ip_header()) + segment.header_length() + data
}

/// Writes a frame of [`length`] bytes, but the checksum of TCP, which is left zero.
pub fn emit(
    bytes: &mut [u8],
    (from, to): (EthernetAddress, EthernetAddress),
    ends: &Ends,
    segment: &Segment,
    data: (&[u8], &[u8]),
) {
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(from);
    frame.set_dst_addr(to);
    let payload = segment.header_length() + data.0.len() + data.1.len();
    let start = ETHERNET_HEADER_LEN + usize::from(ends.ip_header());
    match (ends.local.addr, ends.remote.addr) {
        (IpAddress::Ipv4(local), IpAddress::Ipv4(remote)) => {
            frame.set_ethertype(EthernetProtocol::Ipv4);
            let mut packet = Ipv4Packet::new_unchecked(&mut bytes[ETHERNET_HEADER_LEN..start]);
            packet.set_version(4);
            packet.set_header_len(20);
            packet.set_dscp(0);
            packet.set_ecn(0);
            packet.set_total_len((20 + payload) as u16);
            packet.set_ident(0);
            packet.clear_flags();
            packet.set_dont_frag(true);
            packet.set_frag_offset(0);
            packet.set_hop_limit(HOPS);
            packet.set_next_header(IpProtocol::Tcp);
            packet.set_src_addr(local);
            packet.set_dst_addr(remote);
            packet.fill_checksum();
        }
        (IpAddress::Ipv6(local), IpAddress::Ipv6(remote)) => {
            frame.set_ethertype(EthernetProtocol::Ipv6);
            let mut packet = Ipv6Packet::new_unchecked(&mut bytes[ETHERNET_HEADER_LEN..start]);
            packet.set_version(6);
            packet.set_traffic_class(0);
            packet.set_flow_label(0);
            packet.set_payload_len(payload as u16);
            packet.set_next_header(IpProtocol::Tcp);
            packet.set_hop_limit(HOPS);
            packet.set_src_addr(local);
            packet.set_dst_addr(remote);
        }
        // Both ends of a connection came from one packet, or from one choice.
        _ => {}
    }
    let header = segment.header_length();
    segment.emit(&mut bytes[start..start + header]);
    let (first, second) = bytes[start + header..].split_at_mut(data.0.len());
    first.copy_from_slice(data.0);
    second[..data.1.len()].copy_from_slice(data.1);
}

/// Most bytes of TCP header and data in a packet of `bytes`.
pub fn payload(ends: &Ends, bytes: u32) -> u32 {
    bytes.saturating_sub(ends.ip_header().into()).max(segment::HEADER_MAXIMUM as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::seq::Seq;

    const MACS: (EthernetAddress, EthernetAddress) =
        (EthernetAddress([2, 0, 0, 0, 0, 1]), EthernetAddress([2, 0, 0, 0, 0, 2]));

    fn frame(local: &str, remote: &str) -> (Vec<u8>, Ends, Segment) {
        let end = |text: &str, port| IpEndpoint::new(text.parse().unwrap(), port);
        let ends = Ends { local: end(local, 80), remote: end(remote, 1000) };
        let segment =
            Segment { source: 80, destination: 1000, seq: Seq(7), flags: segment::ACK, ..Segment::default() };
        let mut bytes = vec![0xff; length(&ends, &segment, 7)];
        emit(&mut bytes, MACS, &ends, &segment, (b"abc", b"defg"));
        (bytes, ends, segment)
    }

    fn own(ip: &str) -> Addresses {
        Addresses { mac: MACS.1, ip: [Some(ip.parse().unwrap()), None] }
    }

    #[test]
    fn what_is_sent_arrives() {
        for (local, remote) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let (mut bytes, ends, segment) = frame(local, remote);
            let back = Ends { local: ends.remote, remote: ends.local };
            // A short frame is filled up.
            bytes.extend([0; 9]);
            assert_eq!(parse(&bytes, &own(remote)), Frame::Segment(back, segment, b"abcdefg"));
            assert_eq!(parse(&bytes, &own("10.0.0.3")), Frame::Invalid);
            assert_eq!(parse(&bytes, &Addresses { mac: MACS.0, ..own(remote) }), Frame::Invalid);
        }
    }

    #[test]
    fn fragments_and_wrong_headers_are_nobody_s() {
        let (mut bytes, ..) = frame("10.0.0.1", "10.0.0.2");
        bytes[20] |= 0x20;
        assert_eq!(parse(&bytes, &own("10.0.0.2")), Frame::Invalid);
        let (mut bytes, ..) = frame("10.0.0.1", "10.0.0.2");
        bytes[23] = 17;
        assert_eq!(parse(&bytes, &own("10.0.0.2")), Frame::Other);
        for length in 0..bytes.len() {
            assert!(!matches!(parse(&bytes[..length], &own("10.0.0.2")), Frame::Segment(..)));
        }
    }
}
