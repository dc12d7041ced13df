//! Servers of applications that a network needs: addresses for hosts, and names.

mod dhcp;
mod dhcp_server;
mod dns_server;

pub use dhcp_server::DHCPServer;
pub use dns_server::DNSServer;

use crate::element::Context;
use crate::headers::{ETHERNET, ETHERTYPE_IPV4, IPV4, Ipv4Header, PROTOCOL_UDP, be16, transport_checksum};

use crate::packet::{Batch, Packet};

/// Bytes of a UDP header.
const UDP: usize = 8;

/// A UDP datagram in an Ethernet frame.
struct Datagram<'a> {
    /// The frame's source address.
    ethernet: [u8; 6],
    ip: Ipv4Header,
    /// Source port.
    from: u16,
    payload: &'a [u8],
}

/// The datagram of a frame, if that holds a whole one to a port whose checksum is right or absent (RFC 768).
fn datagram(frame: &[u8], port: u16) -> Option<Datagram<'_>> {
    if be16(frame, 12)? != ETHERTYPE_IPV4 {
        return None;
    }
    let packet = frame.get(ETHERNET..)?;
    let ip = Ipv4Header::read(packet)?;
    if ip.protocol != PROTOCOL_UDP || ip.fragment_offset != 0 || ip.more_fragments {
        return None;
    }
    let segment = packet.get(ip.header..ip.total)?;
    let length = usize::from(be16(segment, 4)?);
    let segment = segment.get(..length).filter(|s| s.len() >= UDP && be16(s, 2) == Some(port))?;
    if segment[6..8] != [0, 0]
        && transport_checksum(ip.source, ip.destination, PROTOCOL_UDP, segment) != [0, 0]
    {
        return None;
    }
    let ethernet = core::array::from_fn(|i| frame[6 + i]);
    Some(Datagram { ethernet, ip, from: be16(segment, 0)?, payload: &segment[UDP..] })
}

/// Where a datagram goes from and to: Ethernet, IP and port.
type End = ([u8; 6], [u8; 4], u16);

/// A frame with a datagram; `None` if it would be too long.
fn frame(from: End, to: End, payload: &[u8]) -> Option<Packet> {
    let length = u16::try_from(UDP + payload.len()).ok()?;
    let total = length.checked_add(IPV4 as u16)?;
    let mut packet = Packet::new(ETHERNET + usize::from(total))?;
    packet.put(ETHERNET + usize::from(total))?;
    let bytes = packet.data_mut();
    crate::headers::write_ethernet(bytes, to.0, from.0, ETHERTYPE_IPV4);
    crate::headers::write_ipv4(&mut bytes[ETHERNET..], total, 0, PROTOCOL_UDP, from.1, to.1);
    let segment = &mut bytes[ETHERNET + IPV4..];
    segment[0..2].copy_from_slice(&from.2.to_be_bytes());
    segment[2..4].copy_from_slice(&to.2.to_be_bytes());
    segment[4..6].copy_from_slice(&length.to_be_bytes());
    segment[6..8].fill(0);
    segment[UDP..].copy_from_slice(payload);
    let sum = transport_checksum(from.1, to.1, PROTOCOL_UDP, segment);
    // Zero would mean that there is none.
    segment[6..8].copy_from_slice(&if sum == [0, 0] { [0xff, 0xff] } else { sum });
    Some(packet)
}

/// Sends a server's answers out of output 0, and frames that are not for it out of output 1. `serve`: whether a frame is for the
/// server (`Some`), and the answer if there is one.
fn answer(cx: &mut Context<'_>, mut batch: Batch, mut serve: impl FnMut(&[u8]) -> Option<Option<Packet>>) {
    let mut answers = Batch::new();
    let others = batch.partition(|packet| match serve(packet.data()) {
        Some(answer) => {
            answer.into_iter().for_each(|answer| answers.push(answer));
            true
        }
        None => false,
    });
    cx.output(0, answers);
    cx.output(1, others);
}
