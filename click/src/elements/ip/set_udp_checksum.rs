use crate::batch::Batch;
use crate::element::{Class, Context, Element};
use crate::elements::plain;
use crate::headers::{Ipv4Header, PROTOCOL_UDP, transport_checksum};
use crate::packet::Packet;

/// Sets the checksum of UDP packets. Those that are none, or not whole, go to output 1, if it is connected.
///
/// Arguments: none. Needs the network header annotation. Input 0, outputs 0 and 1.
#[derive(Debug, Default)]
pub struct SetUDPChecksum;

/// The class.
pub const CLASS: Class = Class {
    name: "SetUDPChecksum",
    ports: "1/1-2",
    processing: "a/ah",
    keywords: &[],
    make: plain::<SetUDPChecksum>,
};

/// Sets the checksum of a whole UDP datagram; `false`: it is none.
pub fn set(packet: &mut Packet) -> bool {
    let Some(at) = packet.network() else { return false };
    let Some(h) = Ipv4Header::read(&packet.data()[at..]) else { return false };
    let Some(segment) = packet.data_mut().get_mut(at + h.header..at + h.total.max(h.header)) else { return false };
    if h.protocol != PROTOCOL_UDP || h.fragment_offset != 0 || h.more_fragments || segment.len() < 8 {
        return false;
    }
    segment[6..8].fill(0);
    let mut sum = transport_checksum(h.source, h.destination, PROTOCOL_UDP, segment);
    if sum == [0, 0] {
        // 0 means that there is none (RFC 768).
        sum = [255, 255];
    }
    segment[6..8].copy_from_slice(&sum);
    true
}

impl Element for SetUDPChecksum {
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut other = Batch::new();
        batch.sift(set, |p| other.push(p));
        cx.output(1, other);
    }
}
