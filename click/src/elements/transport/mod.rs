//! UDP and TCP.

mod check_tcp_header;
mod check_udp_header;
mod dynamic_udp_ip_encap;
mod ends;
mod set_tcp_checksum;
mod set_udp_checksum;
mod tcp_fragmenter;
mod tcp_ip_encap;
mod udp_ip6_encap;
mod udp_ip_encap;

pub use check_tcp_header::CheckTCPHeader;
pub use check_udp_header::CheckUDPHeader;
pub use dynamic_udp_ip_encap::DynamicUDPIPEncap;
pub use set_tcp_checksum::SetTCPChecksum;
pub use set_udp_checksum::SetUDPChecksum;
pub use tcp_fragmenter::TCPFragmenter;
pub use tcp_ip_encap::TCPIPEncap;
pub use udp_ip_encap::UDPIPEncap;
pub use udp_ip6_encap::UDPIP6Encap;

use crate::elements::ip::header;
use crate::headers::transport_checksum;
use crate::packet::Packet;

/// Computes the checksum of the transport header at `at` in the segment, whose header has `least` bytes. Fragments have
/// none of their own.
fn set_checksum(packet: &mut Packet, protocol: u8, at: usize, least: usize) -> bool {
    let Some((network, h)) = header(packet) else { return false };
    let whole = h.fragment_offset == 0 && !h.more_fragments;
    if !whole || h.protocol != protocol || h.total < h.header + least {
        return false;
    }
    let Some(segment) = packet.data_mut().get_mut(network + h.header..network + h.total) else {
        return false;
    };
    segment[at..at + 2].fill(0);
    let mut sum = transport_checksum(h.source, h.destination, protocol, segment);
    if protocol == crate::headers::PROTOCOL_UDP && sum == [0, 0] {
        // No checksum, in UDP (RFC 768); the other zero of one's complement says the same number.
        sum = [255, 255];
    }
    segment[at..at + 2].copy_from_slice(&sum);
    true
}
